"""params.yaml, read once and checked as a whole before any work.

Every experimental number is there. What is unknown, misspelt or out of range is an error that names the key and
what it may be, raised before the first download, not after an hour of training.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flows import layout
from flows.errors import ParamsError

SECTIONS = {
    *("seed", "datasets", "methods", "train", "verify", "certify", "check", "attack", "tighten", "networks", "runtime"),
    *("run", "schedule"),
}
VERIFY = {"sample", "time_limit"}
CERTIFY = {"sample", "n_neighbors", "bound"}
ATTACK = {"sample", "skip", "n_neighbors", "algorithm", "steps", "batch_size", "bounds"}
TIGHTEN = {"sample", "skip", "n_neighbors", "programs", "nodes", "time_limit"}
CHECK = {"sample"}
NETWORKS = {"datasets", "models", "certify", "attack"}
NETWORKS_CERTIFY = {"sample", "tolerance", "n0", "n", "alpha"}
NETWORKS_ATTACK = {"sample", "algorithm", "steps", "bounds"}
CERTIFICATES = ("crown", "interval", "smoothing")
BOUNDS = ("theorem1", "plurality", "packing")
ATTACKS = {"boundary": ("steps", "batch_size"), "hopskipjump": ("steps",), "pointwise": ()}  # what each takes
RUN = {"runner", "cluster", "workers", "shard_size", "devices", "threads_per_task"}
RUNTIME = {"trials", "threads", "fits"}
SCHEDULE = {"cron", "timezone", "revision", "push"}
SETTINGS = ("run", "schedule")  # sections that say how and when, and change no result
DEFAULT = "default"  # of a sample that differs between data sets
CHECKED = "ARML_PARAMS_CHECKED"  # in the environment of a run: digest of the params it has checked
RUNNERS = ("auto", "threads", "processes", "dask", "ray")
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}"
CLUSTERS = {"dask": f"(tcp|tls)://{_HOST}", "ray": f"auto|ray://{_HOST}"}  # addresses of each kind
# the part of a stage's name, a file's name and a command line: nothing a shell would read twice
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./~^-]*")  # nothing that git would take for an option


def load_params(path: Path | None = None) -> dict[str, Any]:
    """Read and check params.yaml.

    Raises
    ------
    ParamsError
        The file is missing, is not YAML, or names something unknown or out of range.
    """
    path = path or layout.PARAMS
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"cannot read {path}: {error.strerror}; run from a full checkout") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path.name} is not valid YAML: {error}") from error
    return check_params(params)


def current_params() -> dict[str, Any]:
    """params.yaml, checked, but not twice in one run: the check imports every learner."""
    content = layout.PARAMS.read_bytes() if layout.PARAMS.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if os.environ.get(CHECKED) == digest:
        return dict(yaml.safe_load(content))
    params = load_params()
    os.environ[CHECKED] = digest
    return params


def check_params(params: Any) -> dict[str, Any]:
    """Check the parsed params; return them unchanged."""
    _keys("params.yaml", params, SECTIONS, required=SECTIONS)
    _integer("seed", params["seed"], 0)
    _check_datasets(params["datasets"])
    _check_methods(params["methods"], params["train"], params["seed"])
    verify, certify, attack = params["verify"], params["certify"], params["attack"]
    _keys("verify", verify, VERIFY, required=VERIFY)
    _sample("verify.sample", verify["sample"], params["datasets"])
    _time_limit("verify.time_limit", verify["time_limit"])
    _keys("certify", certify, CERTIFY, required=CERTIFY)
    _sample("certify.sample", certify["sample"], params["datasets"])
    if certify["bound"] == "exact":
        raise ParamsError("certify.bound: exact radii for K > 1 are the section tighten's; choose a bound for certify")
    _one_of("certify.bound", certify["bound"], BOUNDS)
    _neighbors("certify.n_neighbors", certify["n_neighbors"])
    even = [k for k in certify["n_neighbors"] if k % 2 == 0]
    if even and certify["bound"] == "theorem1":
        raise ParamsError(
            f"certify.n_neighbors has the even {even[0]}, for which Theorem 1 is unsound: "
            "take an odd number or certify.bound: plurality or packing"
        )
    _keys("check", params["check"], CHECK, required=CHECK)
    _sample("check.sample", params["check"]["sample"], params["datasets"])
    _keys("attack", attack, ATTACK, required=ATTACK)
    _one_of("attack.algorithm", attack["algorithm"], tuple(ATTACKS))
    _neighbors("attack.n_neighbors", attack["n_neighbors"], or_none=True)
    _sample("attack.sample", attack["sample"], params["datasets"], len(attack["n_neighbors"]))
    _skip("attack.skip", attack["skip"])
    for name in ("steps", "batch_size"):
        if attack[name] is not None:
            if name not in ATTACKS[attack["algorithm"]]:
                raise ParamsError(f"attack.{name} must be null: {attack['algorithm']} has none; got {attack[name]!r}")
            _integer(f"attack.{name}", attack[name], 1, "or null")
    _check_bounds("attack.bounds", attack["bounds"])
    _check_tighten(params["tighten"], params["datasets"])
    _skip("tighten.skip", params["tighten"]["skip"])
    _check_networks(params["networks"], params["datasets"], params["seed"])
    _check_runtime(params["runtime"], params["datasets"], params["seed"])
    _check_run(params["run"])
    _check_schedule(params["schedule"])
    return dict(params)


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
    """The methods that a stage goes over on a data set: all but those that its section of the params skips there."""
    skipped = params[stage].get("skip", {}).get(dataset, [])
    return [method for method in params["methods"] if method not in skipped]


def sample_of(section: Mapping[str, Any], dataset: str) -> Any:
    """The sample that a section of the params names for a data set: all, a number, or one for each of n_neighbors."""
    sample = section["sample"]
    return sample.get(dataset, sample.get(DEFAULT)) if isinstance(sample, Mapping) else sample


# --- sections ------------------------------------------------------------------------------------


def _check_datasets(datasets: Any) -> None:
    if not isinstance(datasets, Mapping) or not datasets:
        raise ParamsError("datasets must map at least one data set's name to its entry, e.g. 'pendigits: {}'")
    from arml.datasets import spec_from_entry

    for name, entry in datasets.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ParamsError(f"datasets has the name {name!r}: use letters, digits, - and _ (at most 64)")
        if entry is not None and not isinstance(entry, Mapping):
            raise ParamsError(f"datasets.{name} must be a mapping such as {{source: package}}, got {entry!r}")
        try:
            spec_from_entry(name, dict(entry or {}))
        except ValueError as error:
            raise ParamsError(f"datasets.{name}: {error}") from error


def _skip(key: str, value: Any) -> None:
    """A mapping data set → methods left out there; of data sets and methods that the study may not have."""
    from arml.learners import METHODS

    if not isinstance(value, Mapping):
        raise ParamsError(f"{key} must be a mapping of data sets to lists of methods ({{}} for none), got {value!r}")
    for name, methods in value.items():
        if not isinstance(methods, list) or not set(map(str, methods)) <= set(METHODS):
            raise ParamsError(f"{key}.{name} must be a list of methods ({', '.join(METHODS)}), got {methods!r}")


def _check_tighten(tighten: Any, datasets: Mapping[str, Any]) -> None:
    _keys("tighten", tighten, TIGHTEN, required=TIGHTEN)
    _sample("tighten.sample", tighten["sample"], datasets)
    _neighbors("tighten.n_neighbors", tighten["n_neighbors"], or_none=True)
    if 1 in tighten["n_neighbors"]:
        raise ParamsError("tighten.n_neighbors has 1, whose radii are exact already (verify): take larger numbers")
    _integer("tighten.programs", tighten["programs"], 1)
    _integer("tighten.nodes", tighten["nodes"], 0)
    _time_limit("tighten.time_limit", tighten["time_limit"])


def network_options(model: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `NetworkClassifier` in an entry of networks.models."""
    return {key: value for key, value in model.items() if key != "certificate"}


def _check_networks(networks: Any, datasets: Mapping[str, Any], seed: int) -> None:
    from arml.attacks.options import GRADIENT_ATTACKS
    from arml.learners import METHODS
    from arml.networks.classifier import NetworkClassifier

    _keys("networks", networks, NETWORKS, required=NETWORKS)
    names, models = networks["datasets"], networks["models"]
    if not isinstance(names, list) or len(set(map(str, names))) != len(names):
        raise ParamsError(f"networks.datasets must be a list of different data sets ([] for none), got {names!r}")
    for name in names:
        _one_of("networks.datasets", name, tuple(datasets))
    if not isinstance(models, Mapping) or not models:
        raise ParamsError(f"networks.models must map names to networks, got {models!r}")
    for name, model in models.items():
        where = f"networks.models.{name}"
        if not isinstance(name, str) or not NAME.fullmatch(name.replace(".", "-")) or name in METHODS:
            raise ParamsError(f"{where}: a name is made of letters, digits, '-', '_' and '.', and no name of a metric")
        if not isinstance(model, Mapping) or "certificate" not in model:
            raise ParamsError(f"{where} must be {{certificate: …, parameters}}, got {model!r}")
        _one_of(f"{where}.certificate", model["certificate"], CERTIFICATES)
        if (model["certificate"] == "smoothing") != (model.get("noise", 0) != 0):
            raise ParamsError(f"{where}.noise must be positive for smoothing, and absent for other certificates")
        try:
            NetworkClassifier(**{"random_state": seed, **network_options(model)})._check_params()
        except (ValueError, TypeError) as error:
            raise ParamsError(f"{where}: {error}") from error
    certify, attack = networks["certify"], networks["attack"]
    _keys("networks.certify", certify, NETWORKS_CERTIFY, required=NETWORKS_CERTIFY)
    _sample("networks.certify.sample", certify["sample"], datasets)
    for key in ("n0", "n"):
        _integer(f"networks.certify.{key}", certify[key], 1)
    for key in ("tolerance", "alpha"):
        if not (_is_number(certify[key]) and 0 < certify[key] < 1):
            raise ParamsError(f"networks.certify.{key} must lie between 0 and 1, got {certify[key]!r}")
    _keys("networks.attack", attack, NETWORKS_ATTACK, required=NETWORKS_ATTACK)
    _sample("networks.attack.sample", attack["sample"], datasets)
    _one_of("networks.attack.algorithm", attack["algorithm"], GRADIENT_ATTACKS)
    _integer("networks.attack.steps", attack["steps"], 1)
    _check_bounds("networks.attack.bounds", attack["bounds"])


def _check_runtime(runtime: Any, datasets: Mapping[str, Any], seed: int) -> None:
    from arml.learners import METHODS, make_learner

    _keys("runtime", runtime, set(datasets), required=set())
    for dataset, entry in runtime.items():
        where = f"runtime.{dataset}"
        _keys(where, entry, RUNTIME, required=RUNTIME)
        threads, fits = entry["threads"], entry["fits"]
        if not isinstance(threads, list) or not threads:
            raise ParamsError(f"{where}.threads must be a list such as [1, all], got {threads!r}")
        for count in threads:
            if count != "all":
                _integer(f"{where}.threads", count, 1, "or all")
        if not isinstance(fits, Mapping) or not fits:
            raise ParamsError(f"{where}.fits must map names to a method and its parameters, got {fits!r}")
        for name, fit in fits.items():
            if not NAME.fullmatch(str(name)) or not isinstance(fit, Mapping) or "method" not in fit:
                raise ParamsError(f"{where}.fits: {name!r} must be a name with {{method: …, parameters}}, got {fit!r}")
            _one_of(f"{where}.fits.{name}.method", fit["method"], METHODS)
            options = {key: value for key, value in fit.items() if key not in ("method", "trials")}
            _integer(f"{where}.fits.{name}.trials", fit.get("trials", entry["trials"]), 1)
            try:
                make_learner(fit["method"], **{"random_state": seed, **options})._check_params()
            except (ValueError, TypeError) as error:
                raise ParamsError(f"{where}.fits.{name}: {error}") from error


def _check_methods(methods: Any, train: Any, seed: int) -> None:
    from arml.learners import METHODS, make_learner

    if not isinstance(methods, list) or not methods:
        raise ParamsError(f"methods must be a list of some of {', '.join(METHODS)}; got {methods!r}")
    for name in methods:
        _one_of("methods", name, METHODS)
    if len(set(methods)) != len(methods):
        raise ParamsError(f"methods names one twice: {methods}")
    if not isinstance(train, Mapping):
        raise ParamsError(f"train must map methods to their parameters, got {train!r}")
    for name, options in train.items():
        _one_of("train", name, METHODS)
        if not isinstance(options, Mapping):
            raise ParamsError(f"train.{name} must be a mapping of parameters ({{}} for none), got {options!r}")
        try:
            make_learner(name, **{"random_state": seed, **options})._check_params()
        except (ValueError, TypeError) as error:
            raise ParamsError(f"train.{name}: {error}") from error
    missing = [name for name in methods if name not in train]
    if missing:
        raise ParamsError(f"train has no entry for {missing[0]!r}, which methods names: add {missing[0]}: {{}}")


def _check_bounds(where: str, bounds: Any) -> None:
    if bounds is None:
        return
    good = isinstance(bounds, list) and len(bounds) == 2 and all(_is_number(b) for b in bounds)
    if not good or not bounds[0] < bounds[1]:
        raise ParamsError(f"{where} must be [low, high] with low < high, or null; got {bounds!r}")


def _check_schedule(schedule: Any) -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from cronsim import CronSim, CronSimError

    _keys("schedule", schedule, SCHEDULE, required=SCHEDULE)
    try:
        CronSim(schedule["cron"], datetime(2000, 1, 1))
    except (CronSimError, TypeError, AttributeError) as error:
        raise ParamsError(
            f"schedule.cron must be minute, hour, day, month and weekday, as in '0 3 * * *', got {schedule['cron']!r}"
        ) from error
    try:
        ZoneInfo(schedule["timezone"])
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise ParamsError(
            f"schedule.timezone must be a name such as UTC or Europe/Zurich, got {schedule['timezone']!r}"
        ) from error
    if not isinstance(schedule["revision"], str) or not REVISION.fullmatch(schedule["revision"]):
        raise ParamsError(f"schedule.revision must name a branch, tag or commit, got {schedule['revision']!r}")
    if not isinstance(schedule["push"], bool):
        raise ParamsError(f"schedule.push must be true or false, got {schedule['push']!r}")


def _check_run(run: Any) -> None:
    _keys("run", run, RUN, required=RUN)
    _one_of("run.runner", run["runner"], RUNNERS)
    _check_cluster(run["runner"], run["cluster"])
    if run["workers"] != "auto":
        _integer("run.workers", run["workers"], 1, "or auto")
    _integer("run.shard_size", run["shard_size"], 1)
    _integer("run.threads_per_task", run["threads_per_task"], 1)
    devices = run["devices"]
    if devices == "auto":
        return
    if (
        not isinstance(devices, list)
        or not devices
        or not all(isinstance(d, str) and re.fullmatch(r"cpu|cuda:\d+|fake:\d+", d) for d in devices)
    ):
        raise ParamsError(f"run.devices must be auto or a list such as [cpu] or ['cuda:0']; got {devices!r}")


def _check_cluster(runner: str, cluster: Any) -> None:
    if cluster is None:
        return
    if runner not in CLUSTERS:
        raise ParamsError(f"run.cluster must be null unless run.runner is dask or ray; got {cluster!r} with {runner}")
    if not isinstance(cluster, str) or not re.fullmatch(CLUSTERS[runner], cluster):
        example = "tcp://head:8786" if runner == "dask" else "ray://head:10001 or auto"
        raise ParamsError(f"run.cluster must be null or an address such as {example}; got {cluster!r}")


# --- values --------------------------------------------------------------------------------------


def _keys(where: str, value: Any, known: set[str], required: set[str]) -> None:
    if not isinstance(value, Mapping):
        raise ParamsError(f"{where} must be a mapping with the keys {', '.join(sorted(known))}; got {value!r}")
    unknown = sorted(str(k) for k in set(value) - known)
    if unknown:
        raise ParamsError(f"{where} has the unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    missing = sorted(required - set(value))
    if missing:
        raise ParamsError(f"{where} lacks the key {missing[0]!r}")


def _one_of(where: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ParamsError(f"{where}: {value!r} is unknown; choose from {', '.join(known)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _integer(where: str, value: Any, least: int, otherwise: str = "") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ParamsError(f"{where} must be a whole number >= {least} {otherwise}".rstrip() + f"; got {value!r}")


def _time_limit(where: str, value: Any) -> None:
    if value is not None and not (_is_number(value) and value > 0):
        raise ParamsError(f"{where} must be a positive number of seconds, or null for none; got {value!r}")


def _sample(where: str, value: Any, datasets: Mapping[str, Any], count: int = 0) -> None:
    """One sample for all, or one a data set; where there is a ``count``, each a number or a list of so many."""
    if isinstance(value, Mapping):
        _keys(where, value, {*datasets, DEFAULT}, required=set() if set(datasets) <= set(value) else {DEFAULT})
        for name, own in value.items():
            _sample(f"{where}.{name}", own, {}, count)
        return
    if count and isinstance(value, list) and len(value) != count:
        raise ParamsError(f"{where} must be one number or {count}, one for each of n_neighbors; got {value!r}")
    for number in value if count and isinstance(value, list) else [value]:
        if number != "all":
            _integer(where, number, 1, "or all")


def _neighbors(where: str, values: Any, or_none: bool = False) -> None:
    if not isinstance(values, list) or not (values or or_none) or len(set(map(str, values))) != len(values):
        raise ParamsError(f"{where} must be a list of different whole numbers, e.g. [1, 11]; got {values!r}")
    for value in values:
        _integer(where, value, 1)
