"""params.yaml as it may be: every key once, with its type, range, default and the sentence that explains it.

What is said here of a section or key is what the comments of params.yaml say (a test compares them). Values are
checked, never converted: a result depends on what stands in the file.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from arml.results.stages import TABLE
from flows.errors import ParamsError
from flows.params.sections import (
    Attack,
    Certify,
    Check,
    Fits,
    Networks,
    Run,
    Schedule,
    Section,
    Tighten,
    Verify,
)
from flows.params.values import NAME, whole

TRUSTED = "trusted"  # in a validation's context: this text was checked before, and nothing needs to be imported for it


class Params(Section):
    """The whole file: data sets and methods are named, all else has defaults."""

    seed: Annotated[Any, whole(0)] = Field(
        default=42,
        description="of the sample of test points, of learners (unless train says random_state), attacks and splits",
    )
    datasets: dict[str, dict[str, Any] | None] = Field(
        description="The data sets, and where each comes from: mirror | url | package | file | openml (the last two: "
        "docs/data.md)."
    )
    methods: list[str]
    train: dict[str, dict[str, Any]] = Field(default={}, description="Parameters of each learner.")
    verify: Verify = Field(
        default=Verify(),
        description="Exact 1-NN radii. sample: all, or a number: the first so many of the paper's shuffle of the test "
        "set; or one a data set, as in {mnist: 100, default: 1000}.",
    )
    certify: Certify = Field(
        default=Certify(),
        description="K-NN certificates. K = 1 beside the paper's 11 lets the gate compare them with the exact radii. "
        "bound: theorem1 (the paper's, odd K only) | plurality (any K) | packing (the strongest of the three, 3 to 30 "
        "times the time). Exact radii for K > 1, or intervals around them, are the section tighten's.",
    )
    check: Check = Field(
        default=Check(),
        description="Stored certificates checked again by arml.check, which has none of the solvers' code; one it "
        "cannot confirm fails the run. sample: all, or a number as above, of every method and K (1 to 5 milliseconds "
        "each, 40 to 80 on MNIST).",
    )
    attack: Attack = Field(
        default=Attack(),
        description="The paper's attack, with its number of steps, on a sample of the test points. algorithm: boundary "
        "| hopskipjump | pointwise, all by foolbox. steps, batch_size: null leaves them to the attack, and must be "
        "where it has none (hopskipjump has steps, pointwise neither). n_neighbors: [] switches the attack off.",
    )
    tighten: Tighten = Field(
        default=Tighten(),
        description="Radii for K > 1 from both sides: the geometric attack above, branch and bound below, on a sample "
        "of the test points. More programs or nodes never loosen an interval. time_limit: seconds a point besides; "
        "intervals may then differ from run to run. n_neighbors: [] switches it off.",
    )
    networks: Networks = Field(
        default=Networks(),
        description="The paper's Figure 2: 1-NN beside neural networks, on image-like data sets. models: by name, how "
        "a network is certified (crown | interval: bounds that are proofs; smoothing: with probability 1 - alpha, by "
        "the noise it is trained with) and the parameters of arml.networks.NetworkClassifier. tolerance ends the "
        "search for a CROWN radius; n0 and n noisy copies of a point choose a smoothed class and bound its "
        "probability. Attacks are gradient-based (foolbox): ddn | fmn.",
    )
    runtime: dict[str, Fits] = Field(
        default={},
        description="Running times of fits, one after the other, as in the paper's section 4.4: a stage that is off "
        "here. `make runtime` runs flows/studies/runtime.yaml, which explains an entry.",
    )
    run: Run = Field(
        default=Run(),
        description="How it is run: no setting changes a result (threads_per_task may its last digits); changing one "
        "recomputes nothing.",
    )
    schedule: Schedule = Field(
        default=Schedule(),
        description="Reruns by the clock, in a clone of their own (python -m flows.schedule; docs/team.md).",
    )

    @field_validator("datasets", mode="before")
    @classmethod
    def _described(cls, datasets: Any, info: ValidationInfo) -> Any:
        if not isinstance(datasets, dict) or not datasets:
            raise ValueError("must map at least one data set's name to its entry, e.g. 'pendigits: {}'")
        for name, entry in datasets.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ValueError(f"has the name {name!r}: use letters, digits, - and _ (at most 64)")
            if entry is not None and not isinstance(entry, dict):
                raise ValueError(f".{name} must be a mapping such as {{source: package}}, got {entry!r}")
            if not (info.context or {}).get(TRUSTED):
                _require_dataset(name, entry)
        return datasets

    @field_validator("methods", mode="before")
    @classmethod
    def _known(cls, methods: Any) -> Any:
        from arml.learners import METHODS

        if not isinstance(methods, list) or not methods:
            raise ValueError(f"must be a list of some of {', '.join(METHODS)}; got {methods!r}")
        for name in methods:
            if name not in METHODS:
                raise ValueError(f": {name!r} is unknown; choose from {', '.join(METHODS)}")
        if len(set(methods)) != len(methods):
            raise ValueError(f"names one twice: {methods}")
        return methods

    @model_validator(mode="after")
    def _learnable(self, info: ValidationInfo) -> Params:
        """Every method has its parameters, and every estimator takes those it is given."""
        self.train = {**self.train, **{name: {} for name in self.methods if name not in self.train}}
        if not (info.context or {}).get(TRUSTED):
            for name, options in self.train.items():
                _require_learner(f"train.{name}", name, options, self.seed)
            for name, model in self.networks.models.items():
                _require_network(f"networks.models.{name}", name, model, self.seed)
            for dataset, entry in self.runtime.items():
                for name, fit in entry.fits.items():
                    options = {key: value for key, value in fit.items() if key not in ("method", "trials")}
                    _require_learner(f"runtime.{dataset}.fits.{name}", fit["method"], options, self.seed)
        return self

    @model_validator(mode="after")
    def _sampled(self) -> Params:
        """A sample that is given for each data set is given for all, or has a default."""
        for name in (stage.section for stage in TABLE if stage.pointwise):
            sample = attrgetter(name)(self).sample
            if isinstance(sample, dict) and "default" not in sample and not set(self.datasets) <= set(sample):
                raise ParamsError(f"{name}.sample lacks the key 'default', for the data sets that it does not name")
        return self


def _require_dataset(name: str, entry: dict[str, Any] | None) -> None:
    from arml.datasets import spec_from_entry

    try:
        spec_from_entry(name, dict(entry or {}))
    except ValueError as error:
        raise ValueError(f".{name}: {error}") from error


def _require_learner(where: str, method: Any, options: dict[str, Any], seed: int) -> None:
    from arml.learners import METHODS, make_learner

    if method not in METHODS:
        raise ParamsError(f"{where}: {method!r} is unknown; choose from {', '.join(METHODS)}")
    try:
        make_learner(method, **{"random_state": seed, **options})._check_params()
    except (ValueError, TypeError) as error:
        raise ParamsError(f"{where}: {error}") from error


def _require_network(where: str, name: str, model: dict[str, Any], seed: int) -> None:
    from arml.learners import METHODS
    from arml.networks.classifier import NetworkClassifier

    if name in METHODS:
        raise ParamsError(f"{where}: a network's name is no name of a metric")
    options = {key: value for key, value in model.items() if key != "certificate"}
    try:
        NetworkClassifier(**{"random_state": seed, **options})._check_params()
    except (ValueError, TypeError) as error:
        raise ParamsError(f"{where}: {error}") from error
