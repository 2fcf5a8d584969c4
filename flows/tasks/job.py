"""One task's work as it travels from the flow to a worker, and how a worker does it: paths and ids, no arrays."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arml.system.files import write_json
from flows import layout
from flows.errors import TimeUpError
from flows.runners import cluster
from flows.runners.choice import limit_threads
from flows.tasks.cache import make_record

Record = dict[str, str]


@dataclass(frozen=True)
class Identity:
    """Which part of the study a task computes."""

    dataset: str
    stage: str
    method: str = ""
    n_neighbors: int = 0
    start: int = 0
    n_points: int = 0


@dataclass(frozen=True)
class Job:
    """What a worker is told.

    Attributes
    ----------
    identity : Identity
    name : str
        Of the part, within its stage and data set.
    params : mapping
        The parameters that its result depends on.
    scratch : str
        Folder of its notes: costs and checkpoints.
    threads : int
        BLAS and torch threads it may use.
    output : str
        The file it writes, from the root of the study.
    entries : sequence of str
        The modules whose code it runs; they, and what they import from arml, are part of the key.
    key : str
        What its result is reused under (`flows.tasks.cache`).
    devices : "auto" or sequence of str
        As ``run.devices`` says.
    root : str
        The study's folder, which a worker has to see under the same path.
    until : float
        The time (seconds since 1970) from which on no task begins.
    """

    identity: Identity
    name: str
    params: Mapping[str, Any]
    scratch: str
    threads: int
    output: str = ""
    entries: Sequence[str] = ()
    key: str = ""
    devices: str | Sequence[str] = "auto"
    root: str = ""
    until: float = math.inf

    @property
    def dataset(self) -> str:
        return self.identity.dataset

    @property
    def stage(self) -> str:
        return self.identity.stage

    @property
    def method(self) -> str:
        return self.identity.method

    @property
    def n_neighbors(self) -> int:
        return self.identity.n_neighbors


def execute(job: Job, compute: Callable[[Job], Mapping[str, float] | None]) -> Record:
    """Run `compute` for one part: it writes the job's output and may return better figures of its cost."""
    if time.time() >= job.until:
        raise TimeUpError("the time is up")
    cluster.require_root(job.root)
    limit_threads(job.threads)
    with record_costs(job) as better:
        better.update(compute(job) or {})
    return make_record(job.key, layout.ROOT / job.output)


@contextlib.contextmanager
def record_costs(job: Job) -> Iterator[dict[str, float]]:
    """Measure the block and note it for `collect_timings`; the dict given takes better figures, if any."""
    from arml.system.resources import Meter

    better: dict[str, float] = {}
    begun = time.time()
    with Meter() as meter:
        yield better
    costs = {k: getattr(meter, k) for k in ("seconds", "cpu_seconds", "peak_memory_mib")}
    times = {"begun": begun, "ended": time.time()}
    write_json(Path(job.scratch) / f"{job.name}.json", {**asdict(job.identity), **costs, **better, **times})
