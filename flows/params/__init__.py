"""params.yaml, read once and checked as a whole before any work.

Every experimental number is there. What is unknown, misspelt or out of range is an error that names the key and
what it may be, raised before the first download, not after an hour of training.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from arml.results.stages import NETWORK_MODELS, STAGES
from flows import layout
from flows.errors import ParamsError
from flows.params import yaml12
from flows.params.models import TRUSTED, Params
from flows.params.values import DEFAULT

SETTINGS = ("run", "schedule")  # sections that say how and when, and change no result
CHECKED = "ARML_PARAMS_CHECKED"  # in the environment of a run: digest of the params it has checked


def load_params(path: Path | None = None) -> dict[str, Any]:
    """Read and check params.yaml; what it leaves out has its default.

    Raises
    ------
    ParamsError
        The file is missing, is not YAML, or names something unknown or out of range.
    """
    return check_params(yaml12.read(path or layout.PARAMS))


def current_params() -> dict[str, Any]:
    """params.yaml, checked, but not twice in one run: the check imports every learner."""
    content = layout.PARAMS.read_bytes() if layout.PARAMS.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    params = check_params(yaml12.read(layout.PARAMS), trusted=os.environ.get(CHECKED) == digest)
    os.environ[CHECKED] = digest
    return params


def check_params(params: Any, trusted: bool = False) -> dict[str, Any]:
    """The parsed params, complete with defaults, without what they say of data sets that the study has not.

    Raises
    ------
    ParamsError
        With a line for each key that is unknown or out of range.
    """
    if not isinstance(params, Mapping):
        raise ParamsError(f"params.yaml must be a mapping with the keys {_known(Params)}; got {params!r}")
    known, _ = _without_strangers(params)
    try:
        checked = Params.model_validate(known, context={TRUSTED: trusted})
    except ValidationError as error:
        raise ParamsError("\n       ".join(_sentences(error))) from error
    return checked.model_dump()


def strangers(params: Mapping[str, Any]) -> list[str]:
    """What is ignored, a line each: networks and running times of data sets that the study has not."""
    return _without_strangers(params)[1]


def completed(text: str) -> tuple[str, list[str]]:
    """params.yaml's text with every key that dvc.yaml names, and a line for each thing ignored or added.

    DVC keeps the value of every key that a result depends on, and takes the data sets of networks and running times
    from this file, so that what is a default for us must stand there for it.
    """
    full = check_params(yaml12.parse(text))  # first: what is wrong is said here
    content = yaml12.edited(text)
    told, added = strangers(content), []
    for name, value in full.items():
        if name not in content:
            content[name] = value
            added.append(name)
    missing = [key for key in full["networks"] if key not in content["networks"]]
    content["networks"] |= {key: full["networks"][key] for key in missing}
    added += [f"networks.{key}" for key in missing]
    others = [name for name in content["networks"]["datasets"] if name not in content["datasets"]]
    if others:
        content["networks"]["datasets"] = full["networks"]["datasets"]
    for name in [name for name in content["runtime"] if name not in content["datasets"]]:
        others.append(name)
        del content["runtime"][name]
    if added:
        told.append(f"params.yaml leaves out {', '.join(added)}: their defaults are written there, for DVC to keep")
    if others:
        told.append(f"params.yaml: {', '.join(others)} taken out, which DVC would look for")
    return (yaml12.dump(content) if added or others else text), told


def require_dataset(params: Mapping[str, Any], name: str) -> str:
    if name not in params["datasets"]:
        known = ", ".join(params["datasets"])
        raise ParamsError(f"unknown data set {name!r}: datasets in params.yaml has {known}")
    return name


def dataset_spec(params: Mapping[str, Any], name: str) -> Any:
    """The registry's (or the user's own) description of a data set named in params."""
    from arml.datasets import spec_from_entry

    return spec_from_entry(name, dict(params["datasets"][name] or {}))


def methods_of(params: Mapping[str, Any], stage: str, dataset: str) -> list[str]:
    """What a stage has tasks for on a data set: networks, or the methods that its section does not skip there."""
    if STAGES[stage].models == NETWORK_MODELS:
        return list(params["networks"]["models"])
    skipped = params.get(stage, {}).get("skip", {}).get(dataset, [])
    return [method for method in params["methods"] if method not in skipped]


def section_of(params: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """The section of a stage that goes over test points."""
    section: Any = params
    for name in STAGES[stage].section.split("."):
        section = section[name]
    return dict(section)


def sample_of(section: Mapping[str, Any], dataset: str) -> Any:
    """The sample that a section of the params names for a data set: all, a number, or one for each of n_neighbors."""
    sample = section["sample"]
    return sample.get(dataset, sample.get(DEFAULT)) if isinstance(sample, Mapping) else sample


def network_options(model: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `NetworkClassifier` in an entry of networks.models."""
    return {key: value for key, value in model.items() if key != "certificate"}


# --- what is said --------------------------------------------------------------------------------


def _without_strangers(params: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The params without networks and running times of other data sets; and a line for each place that names others."""
    known, named = dict(params), dict[str, list[Any]]()
    datasets, networks, runtime = (params.get(name) for name in ("datasets", "networks", "runtime"))
    if not isinstance(datasets, Mapping):
        return known, []
    if isinstance(networks, Mapping) and isinstance(networks.get("datasets"), list):
        named["networks.datasets"] = networks["datasets"]
        known["networks"] = {**networks, "datasets": [name for name in networks["datasets"] if name in datasets]}
    if isinstance(runtime, Mapping):
        named["runtime"] = list(runtime)
        known["runtime"] = {name: entry for name, entry in runtime.items() if name in datasets}
    for stage in STAGES.values():
        section: Any = params
        for name in stage.section.split("."):
            section = section.get(name) if isinstance(section, Mapping) else None
        for key in ("sample", "skip") if stage.pointwise and isinstance(section, Mapping) else ():
            named[f"{stage.section}.{key}"] = list(section[key]) if isinstance(section.get(key), Mapping) else []
    told = []
    for where, names in named.items():
        others = [repr(name) for name in names if name not in (*datasets, DEFAULT)]
        if others:
            told.append(f"{where} names {', '.join(others)}, not under datasets: ignored")
    return known, told


def _sentences(error: ValidationError) -> Iterator[str]:
    """A sentence for each fault: its key, what was expected, what came."""
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        model = _model_at(fault["loc"])
        if fault["type"] == "extra_forbidden":
            above, _, key = where.rpartition(".")
            yield f"{above or 'params.yaml'} has the unknown key {key!r}; known: {_known(_model_at(fault['loc'][:-1]))}"
        elif fault["type"] == "missing":
            above, _, key = where.rpartition(".")
            yield f"{above or 'params.yaml'} lacks the key {key!r}"
        elif fault["type"] == "value_error":
            said = str(fault["ctx"]["error"])
            if not where or isinstance(fault["ctx"]["error"], ParamsError):
                yield said
            else:
                yield f"{where}{'' if said[0] in '.:' else ' '}{said}"
        else:
            keys = f" with the keys {_known(model)}" if model is not None else ""
            kind = "a list" if "list" in fault["type"] else f"a mapping{keys}"
            yield f"{where} must be {kind}; got {fault['input']!r}"


def _model_at(loc: tuple[Any, ...]) -> Any:
    """The model of the section at a place in params.yaml; None where there is none."""
    model: Any = Params
    for part in loc:
        if model is None or part not in model.model_fields:
            return None
        kind = model.model_fields[part].annotation
        model = kind if isinstance(kind, type) and hasattr(kind, "model_fields") else None
    return model


def _known(model: Any) -> str:
    return "" if model is None else ", ".join(sorted(model.model_fields))
