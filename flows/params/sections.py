"""The sections of params.yaml, each a model: its keys, their types, ranges, defaults and sentences."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from flows.errors import ParamsError
from flows.params.values import (
    NAME,
    Bounds,
    Fraction,
    Neighbors,
    Sample,
    Samples,
    Skip,
    TimeLimit,
    choice,
    require_choice,
    require_whole,
    whole,
)

BOUNDS = ("theorem1", "plurality", "packing")
CERTIFICATES = ("crown", "interval", "smoothing")
ATTACKS = {"boundary": ("steps", "batch_size"), "hopskipjump": ("steps",), "pointwise": ()}  # what each takes
RUNNERS = ("auto", "threads", "processes", "dask", "ray")
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}"
CLUSTERS = {"dask": f"(tcp|tls)://{_HOST}", "ray": f"auto|ray://{_HOST}"}  # addresses of each kind
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./~^-]*")  # nothing that git would take for an option


class Section(BaseModel):
    """A mapping whose keys are known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Verify(Section):
    sample: Sample = "all"
    time_limit: TimeLimit = Field(
        default=None,
        description="seconds a point; what is not done by then is an interval, and may differ from run to run",
    )


class Certify(Section):
    sample: Sample = "all"
    n_neighbors: Neighbors = [1, 11]
    bound: Any = "theorem1"

    @field_validator("bound", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value == "exact":
            raise ValueError(": exact radii for K > 1 are the section tighten's; choose a bound for certify")
        return require_choice(value, BOUNDS)

    @model_validator(mode="after")
    def _sound(self) -> Certify:
        if not self.n_neighbors:
            raise ParamsError("certify.n_neighbors must be a list of different whole numbers, e.g. [1, 11]; got []")
        even = [k for k in self.n_neighbors if k % 2 == 0]
        if even and self.bound == "theorem1":
            raise ParamsError(
                f"certify.n_neighbors has the even {even[0]}, for which Theorem 1 is unsound: "
                "take an odd number or certify.bound: plurality or packing"
            )
        return self


class Check(Section):
    sample: Sample = 100


class Attack(Section):
    algorithm: Annotated[Any, choice(*ATTACKS)] = "boundary"
    sample: Samples = Field(
        default=100, description="one number, or one for each of n_neighbors; K = 1 is there for the gate"
    )
    skip: Skip = Field(default={}, description="methods left out on some data sets, as in {mnist: [lfda]}")
    n_neighbors: Neighbors = [1, 11]
    steps: Annotated[Any, whole(1, None)] = None
    batch_size: Annotated[Any, whole(1, None)] = Field(
        default=None, description="points that run together: changes the time, not the results"
    )
    bounds: Bounds = [0, 1]

    @model_validator(mode="after")
    def _fits(self) -> Attack:
        for name in ("steps", "batch_size"):
            if getattr(self, name) is not None and name not in ATTACKS[self.algorithm]:
                raise ParamsError(f"attack.{name} must be null: {self.algorithm} has none; got {getattr(self, name)!r}")
        given = self.sample if isinstance(self.sample, dict) else {"": self.sample}
        for dataset, value in given.items():
            if isinstance(value, list) and len(value) != len(self.n_neighbors):
                where = f"attack.sample.{dataset}" if dataset else "attack.sample"
                raise ParamsError(
                    f"{where} must be one number or {len(self.n_neighbors)}, one for each of n_neighbors; got {value!r}"
                )
        return self


class Tighten(Section):
    sample: Sample = 50
    skip: Skip = Field(default={}, description="as in attack")
    n_neighbors: Neighbors = [11]
    programs: Annotated[Any, whole(1)] = Field(default=100, description="quadratic programs of the attack, a point")
    nodes: Annotated[Any, whole(0)] = Field(
        default=1000, description="of branch and bound, a point: 0.1 milliseconds each, and up"
    )
    time_limit: TimeLimit = None

    @field_validator("n_neighbors", mode="after")
    @classmethod
    def _several(cls, value: list[int]) -> list[int]:
        if 1 in value:
            raise ValueError("has 1, whose radii are exact already (verify): take larger numbers")
        return value


class NetworksCertify(Section):
    sample: Sample = 1000
    tolerance: Fraction = 0.005
    n0: Annotated[Any, whole(1)] = 100
    n: Annotated[Any, whole(1)] = 10000
    alpha: Fraction = 0.001


class NetworksAttack(Section):
    sample: Sample = 100
    algorithm: Annotated[Any, choice("ddn", "fmn")] = "ddn"
    steps: Annotated[Any, whole(1)] = 100
    bounds: Bounds = [0, 1]


class Networks(Section):
    datasets: list[str] = []
    models: dict[str, dict[str, Any]] = {"crown": {"certificate": "crown", "architecture": "mlp", "hidden": [128, 128]}}
    certify: NetworksCertify = NetworksCertify()
    attack: NetworksAttack = NetworksAttack()

    @field_validator("datasets", mode="before")
    @classmethod
    def _different(cls, value: Any) -> Any:
        if not isinstance(value, list) or len(set(map(str, value))) != len(value):
            raise ValueError(f"must be a list of different data sets ([] for none), got {value!r}")
        return value

    @field_validator("models", mode="before")
    @classmethod
    def _named(cls, models: Any) -> Any:
        if not isinstance(models, dict) or not models:
            raise ValueError(f"must map names to networks, got {models!r}")
        for name, model in models.items():
            if not isinstance(name, str) or not NAME.fullmatch(name.replace(".", "-")):
                raise ValueError(f".{name}: a name is made of letters, digits, '-', '_' and '.'")
            if not isinstance(model, dict) or "certificate" not in model:
                raise ValueError(f".{name} must be {{certificate: …, parameters}}, got {model!r}")
            try:
                require_choice(model["certificate"], CERTIFICATES)
            except ValueError as error:
                raise ValueError(f".{name}.certificate{error}") from error
            if (model["certificate"] == "smoothing") != (model.get("noise", 0) != 0):
                raise ValueError(f".{name}.noise must be positive for smoothing, and absent for other certificates")
        return models


class Fits(Section):
    """An entry of runtime: what is timed on a data set."""

    trials: Annotated[Any, whole(1)]
    threads: Any
    fits: dict[str, dict[str, Any]]

    @field_validator("threads", mode="before")
    @classmethod
    def _counts(cls, value: Any) -> Any:
        if not isinstance(value, list) or not value:
            raise ValueError(f"must be a list such as [1, all], got {value!r}")
        return [count if count == "all" else require_whole(count, 1, "all") for count in value]

    @field_validator("fits", mode="before")
    @classmethod
    def _named(cls, fits: Any) -> Any:
        if not isinstance(fits, dict) or not fits:
            raise ValueError(f"must map names to a method and its parameters, got {fits!r}")
        for name, fit in fits.items():
            if not NAME.fullmatch(str(name)) or not isinstance(fit, dict) or "method" not in fit:
                raise ValueError(f"has {name!r}, which must be a name with {{method: …, parameters}}, got {fit!r}")
            try:
                require_whole(fit.get("trials", 1), 1)
            except ValueError as error:
                raise ValueError(f".{name}.trials {error}") from error
        return fits


class Run(Section):
    runner: Annotated[Any, choice(*RUNNERS)] = Field(
        default="auto", description="auto | threads | processes | dask | ray; auto: processes where they pay"
    )
    cluster: Any = Field(
        default=None, description="null: this machine; or one of dask or ray: tcp://head:8786 | ray://head:10001 | auto"
    )
    workers: Annotated[Any, whole(1, "auto")] = Field(
        default="auto", description="tasks of a stage side by side on this machine; auto: its cores / threads_per_task"
    )
    threads_per_task: Annotated[Any, whole(1)] = Field(default=1, description="BLAS and torch threads of a task")
    shard_size: Annotated[Any, whole(1)] = Field(default=1000, description="test points a task")
    devices: Any = Field(
        default="auto", description="auto | [cpu] | ['cuda:0', 'cuda:1']: one training task at a time on each GPU"
    )

    @field_validator("devices", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if value == "auto":
            return value
        known = isinstance(value, list) and all(
            isinstance(device, str) and re.fullmatch(r"cpu|cuda:\d+|fake:\d+", device) for device in value
        )
        if not known or not value:
            raise ValueError(f"must be auto or a list such as [cpu] or ['cuda:0']; got {value!r}")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Run:
        runner, cluster = self.runner, self.cluster
        if cluster is None:
            return self
        if runner not in CLUSTERS:
            raise ParamsError(
                f"run.cluster must be null unless run.runner is dask or ray; got {cluster!r} with {runner}"
            )
        if not isinstance(cluster, str) or not re.fullmatch(CLUSTERS[runner], cluster):
            example = "tcp://head:8786" if runner == "dask" else "ray://head:10001 or auto"
            raise ParamsError(f"run.cluster must be null or an address such as {example}; got {cluster!r}")
        return self


class Schedule(Section):
    cron: Any = Field(default="0 3 * * *", description="minute, hour, day, month, weekday")
    timezone: Any = "UTC"
    revision: Any = Field(
        default="HEAD",
        description="what is rerun, as git names it: HEAD, a branch, or one of a remote, which is fetched first",
    )
    push: Any = Field(
        default=True,
        description="to DVC's default remote, and the branch of results to git's remote origin, where there are such",
    )

    @field_validator("cron", mode="before")
    @classmethod
    def _cron(cls, value: Any) -> Any:
        from datetime import datetime

        from cronsim import CronSim, CronSimError

        try:
            CronSim(value, datetime(2000, 1, 1))
        except (CronSimError, TypeError, AttributeError) as error:
            raise ValueError(
                f"must be minute, hour, day, month and weekday, as in '0 3 * * *', got {value!r}"
            ) from error
        return value

    @field_validator("timezone", mode="before")
    @classmethod
    def _zone(cls, value: Any) -> Any:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise ValueError(f"must be a name such as UTC or Europe/Zurich, got {value!r}") from error
        return value

    @field_validator("revision", mode="before")
    @classmethod
    def _revision(cls, value: Any) -> Any:
        if not isinstance(value, str) or not REVISION.fullmatch(value):
            raise ValueError(f"must name a branch, tag or commit, got {value!r}")
        return value

    @field_validator("push", mode="before")
    @classmethod
    def _push(cls, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, got {value!r}")
        return value
