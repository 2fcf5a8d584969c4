"""The stages of the study, each said once: what it is of, what it reads and leaves, how its tasks run.

`dvc.yaml` wires them, ``flows/stages`` holds a module of each name, and whoever lists stages derives the list here.
"""

from __future__ import annotations

from dataclasses import dataclass

STUDY, DATASETS, NETWORKS, RUNTIME = "study", "datasets", "networks.datasets", "runtime"
METRICS, NETWORK_MODELS = "metrics", "networks"
NEVER, SMALL, ALWAYS = "never", "small training sets", "always"


@dataclass(frozen=True)
class Stage:
    """A stage of the study.

    Attributes
    ----------
    name : str
        As on the command line, in dvc.yaml and in timings.
    of : str
        The section of the params for each entry of which it runs once; STUDY: once for all.
    models : str
        What it has tasks for: METRICS (one a method), NETWORK_MODELS (one a network), or "": one task alone.
    section : str
        The section of the params with its sample of test points; "" where it goes over none.
    result : str
        Its file in data/results/DATASET; "" where it leaves none.
    kind : str
        What its results are: exact, certified or attacked (`arml.results.schemas.KINDS`).
    proofs : str
        The folder in data/certificates/DATASET of what proves its results; "" where nothing is stored.
    after : tuple of str
        The stages whose outputs it reads.
    processes : str
        Where ``run.runner: auto`` gives its tasks processes of their own: ALWAYS, for SMALL training sets (large ones
        had better share one copy), or NEVER, where Python itself is not what takes the time.
    measured : bool
        Its tasks' costs stand in data/timings, are told before a run, and shown with the report.
    preload : tuple of str
        Modules of arml that its tasks import, for the process that stages are forked from.
    """

    name: str
    of: str = DATASETS
    models: str = METRICS
    section: str = ""
    result: str = ""
    kind: str = ""
    proofs: str = ""
    after: tuple[str, ...] = ()
    processes: str = NEVER
    measured: bool = True
    preload: tuple[str, ...] = ()

    @property
    def pointwise(self) -> bool:
        """Whether its tasks go over test points."""
        return bool(self.section)

    @property
    def alone(self) -> bool:
        """Whether it runs one task at a time, which no cluster is asked for."""
        return not self.models


_RADII = ("arml.results.evidence", "arml.knn.neighbors")
TABLE = (
    Stage("inputs", of=STUDY, models="", measured=False),
    Stage("download", models="", after=("inputs",), preload=("arml.datasets",)),
    Stage("preprocess", models="", after=("download",), preload=("arml.datasets",)),
    Stage("train", after=("preprocess",), processes=ALWAYS, preload=("arml.learners",)),
    Stage(
        "verify",
        section="verify",
        result="exact.parquet",
        kind="exact",
        proofs="exact",
        after=("preprocess", "train"),
        processes=SMALL,
        preload=_RADII,
    ),
    Stage(
        "certify",
        section="certify",
        result="certified.parquet",
        kind="certified",
        proofs="certified",
        after=("preprocess", "train"),
        processes=SMALL,
        preload=_RADII,
    ),
    Stage("check", section="check", after=("preprocess", "train", "verify", "certify"), preload=_RADII),
    Stage(
        "attack",
        section="attack",
        result="attacked.parquet",
        kind="attacked",
        after=("preprocess", "train"),
        processes=ALWAYS,
        preload=("arml.attacks.options", "arml.knn.neighbors"),
    ),
    Stage(
        "tighten",
        section="tighten",
        result="tightened.parquet",
        kind="exact",
        after=("preprocess", "train"),
        processes=ALWAYS,
        preload=("arml.knn.neighbors",),
    ),
    Stage(
        "train_networks",
        of=NETWORKS,
        models=NETWORK_MODELS,
        after=("preprocess",),
        processes=ALWAYS,
        preload=("arml.networks",),
    ),
    Stage(
        "certify_networks",
        of=NETWORKS,
        models=NETWORK_MODELS,
        section="networks.certify",
        result="networks.parquet",
        kind="certified",
        after=("preprocess", "train_networks"),
        processes=ALWAYS,
        preload=("arml.networks",),
    ),
    Stage(
        "attack_networks",
        of=NETWORKS,
        models=NETWORK_MODELS,
        section="networks.attack",
        result="networks_attacked.parquet",
        kind="attacked",
        after=("preprocess", "train_networks"),
        processes=ALWAYS,
        preload=("arml.networks", "arml.attacks.options"),
    ),
    Stage("runtime", of=RUNTIME, models="", after=("preprocess",), measured=False),
    Stage("runtime_report", of=RUNTIME, models="", after=("runtime",), measured=False),
    Stage(
        "report",
        of=STUDY,
        models="",
        after=(
            *("preprocess", "train", "verify", "certify", "check", "attack", "tighten"),
            *("train_networks", "certify_networks", "attack_networks"),
        ),
        measured=False,
    ),
)
STAGES = {stage.name: stage for stage in TABLE}
STAGE_ORDER = tuple(stage.name for stage in TABLE if stage.measured or stage.name == "report")
"""Stages whose costs reports show, in the order in which they run."""


def stages_of(section: str) -> tuple[Stage, ...]:
    """The stages that run once for each entry of a section of the params."""
    return tuple(stage for stage in TABLE if stage.of == section)


def leading_to(*names: str) -> tuple[str, ...]:
    """The stages that these need, and they themselves, in the order in which they run."""
    wanted = set(names)
    for stage in reversed(TABLE):
        wanted |= set(stage.after) if stage.name in wanted else set()
    return tuple(stage.name for stage in TABLE if stage.name in wanted)


def stage_of(kind: str, tightened: bool = False) -> str:
    """The stage of K-NN classifiers that results of a kind come from; of intervals, where they are `tightened`."""
    if tightened:
        return "tighten"
    return next(stage.name for stage in TABLE if stage.kind == kind and stage.models == METRICS)
