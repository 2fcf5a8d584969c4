"""params.yaml is checked as a whole, and what is wrong is named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import layout
from flows import params as params_module
from flows.errors import ParamsError
from flows.workspaces import study as study_module

ROOT = layout.ROOT


@pytest.fixture
def params() -> dict[str, Any]:
    return copy.deepcopy(params_module.load_params())


def put(params: dict[str, Any], key: str, value: Any) -> None:
    if key == "run":
        value = params["run"] | value
    *above, last = key.split(".")
    for name in above:
        params = params[name]
    params[last] = value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", -1, "seed must be a whole number >= 0"),
        ("seed", 1.5, "seed must be a whole number"),
        ("sede", 1, "unknown key 'sede'"),
        ("datasets", {}, "datasets must map at least one"),
        ("datasets", {"mnits": {}}, "mnits"),
        ("datasets", {"x; rm -rf .": {"source": "file"}}, "use letters, digits"),
        ("datasets", {"pendigits": {"sorce": "url"}}, "sorce"),
        ("datasets", {"pendigits": {"source": "moon"}}, "moon"),
        ("datasets", {"pendigits": "package"}, "must be a mapping"),
        ("methods", ["euclidean", "svm"], "'svm' is unknown; choose from euclidean, nca"),
        ("methods", ["nca", "nca"], "names one twice"),
        ("methods", [], "methods must be a list"),
        ("train", {"euclidean": {}}, "train has no entry for 'nca'"),
        ("train.arml", {"lr": 0.1}, "lr"),
        ("train.arml", {"loss": "square", "learning_rate": "fast"}, "train.arml"),
        ("train.arml", {"random_state": -1}, "train.arml: random_state"),
        ("train.svm", {}, "'svm' is unknown"),
        ("verify.sample", 0, "verify.sample must be a whole number >= 1 or all"),
        ("verify.time_limit", 0, "verify.time_limit must be a positive number of seconds, or null"),
        ("verify.time_limit", "1 s", "verify.time_limit must be a positive number of seconds, or null"),
        ("check.sample", "some", "check.sample must be a whole number >= 1 or all"),
        ("attack.sample", [5], "attack.sample must be one number or 2, one for each of n_neighbors"),
        ("attack.sample", [5, 0], "attack.sample must be a whole number >= 1 or all"),
        ("attack.sample", {"pendigits": 5}, "attack.sample lacks the key 'default'"),
        ("attack.sample", {"usps": 5, "default": 5}, "attack.sample has the unknown key 'usps'"),
        ("attack.sample", {"pendigits": [5], "default": 5}, "attack.sample.pendigits must be one number or 2"),
        ("verify.sample", {"pendigits": 0, "default": 5}, "verify.sample.pendigits must be a whole number >= 1 or all"),
        ("verify.sample", [5, 5], "verify.sample must be a whole number >= 1 or all"),
        ("certify.n_neighbors", [2], "Theorem 1 is unsound"),
        ("certify.n_neighbors", [11, 11], "different whole numbers"),
        ("certify.bound", "exact", "exact radii for K > 1 are the section tighten's"),
        ("certify.bound", "theorem2", "choose from theorem1"),
        ("attack.steps", 0, "attack.steps"),
        ("attack.bounds", [1, 0], "low < high"),
        ("attack.algorithm", "magic", "choose from boundary, hopskipjump, pointwise"),
        ("attack.algorithm", "pointwise", "attack.steps must be null: pointwise has none"),
        ("attack.algorithm", "hopskipjump", "attack.batch_size must be null: hopskipjump has none; got 256"),
        ("attack.batch_size", 0, "attack.batch_size must be a whole number >= 1 or null"),
        ("tighten", {"sample": 5}, "tighten lacks the key"),
        ("tighten.sample", 0, "tighten.sample must be a whole number >= 1 or all"),
        ("tighten.n_neighbors", [1, 11], "tighten.n_neighbors has 1, whose radii are exact already"),
        ("tighten.programs", 0, "tighten.programs must be a whole number >= 1"),
        ("tighten.nodes", -1, "tighten.nodes must be a whole number >= 0"),
        ("tighten.time_limit", 0, "tighten.time_limit must be a positive number of seconds, or null"),
        ("networks", {"datasets": []}, "networks lacks the key"),
        ("networks.datasets", ["mnist"], "networks.datasets: 'mnist' is unknown"),
        ("networks.datasets", "pendigits", "networks.datasets must be a list of different data sets"),
        ("networks.models", {}, "networks.models must map names to networks"),
        ("networks.models", {"arml": {"certificate": "crown"}}, "no name of a metric"),
        ("networks.models", {"a/b": {"certificate": "crown"}}, "a name is made of letters"),
        ("networks.models", {"a": {"noise": 1}}, "must be {certificate"),
        ("networks.models", {"a": {"certificate": "lipschitz"}}, "choose from crown, interval, smoothing"),
        ("networks.models", {"a": {"certificate": "smoothing"}}, "noise must be positive for smoothing"),
        ("networks.models", {"a": {"certificate": "crown", "noise": 1}}, "absent for other certificates"),
        ("networks.models", {"a": {"certificate": "crown", "epochs": 0}}, "networks.models.a: epochs must be"),
        ("networks.models", {"a": {"certificate": "crown", "lr": 1}}, "networks.models.a"),
        ("networks.certify.alpha", 1, "networks.certify.alpha must lie between 0 and 1"),
        ("networks.certify.n", 0, "networks.certify.n must be"),
        ("networks.certify.sample", 0, "networks.certify.sample must be"),
        ("networks.attack.algorithm", "pgd", "choose from ddn, fmn"),
        ("networks.attack.steps", 0, "networks.attack.steps"),
        ("networks.attack.bounds", [1, 0], "networks.attack.bounds must be .low, high."),
        ("runtime", {"usps": {}}, "runtime has the unknown key 'usps'"),
        ("runtime", {"pendigits": {"trials": 1}}, "runtime.pendigits"),
        ("runtime", {"pendigits": {"trials": 0, "threads": [1], "fits": {"a": {"method": "nca"}}}}, "trials"),
        (
            "runtime",
            {"pendigits": {"trials": 1, "threads": "all", "fits": {"a": {"method": "nca"}}}},
            "such as .1, all.",
        ),
        ("runtime", {"pendigits": {"trials": 1, "threads": [0], "fits": {"a": {"method": "nca"}}}}, "or all"),
        ("runtime", {"pendigits": {"trials": 1, "threads": [1], "fits": {"a/b": {"method": "nca"}}}}, "must be a name"),
        ("runtime", {"pendigits": {"trials": 1, "threads": [1], "fits": {"a": {"method": "svm"}}}}, "'svm' is unknown"),
        ("runtime", {"pendigits": {"trials": 1, "threads": [1], "fits": {"a": {"method": "nca", "lr": 1}}}}, "fits.a"),
        ("run.runner", "slurm", "choose from auto, threads, processes"),
        ("run.cluster", "tcp://head:8786", "run.cluster must be null unless run.runner is dask or ray"),
        ("run", {"runner": "dask", "cluster": "ray://head:10001"}, "an address such as tcp://head:8786; got 'ray:"),
        ("run", {"runner": "ray", "cluster": "head"}, "an address such as ray://head:10001 or auto; got 'head'"),
        ("run.workers", 0, "run.workers must be a whole number >= 1 or auto"),
        ("run.devices", ["gpu"], "run.devices must be auto or a list"),
        ("verify", None, "verify must be a mapping"),
    ],
)
def test_what_is_wrong_is_named(params: dict[str, Any], key: str, value: Any, said: str) -> None:
    put(params, key, value)
    with pytest.raises(ParamsError, match=said.replace("(", r"\(")):
        params_module.check_params(params)


@pytest.mark.parametrize(
    ("runner", "cluster"),
    [("dask", None), ("dask", "tls://10.0.0.7:8786"), ("ray", "ray://head.site:10001"), ("ray", "auto")],
)
def test_a_cluster_is_named_by_its_address(params: dict[str, Any], runner: str, cluster: str | None) -> None:
    params["run"] |= {"runner": runner, "cluster": cluster}
    assert params_module.check_params(params)["run"]["cluster"] == cluster


def test_a_missing_section_is_named(params: dict[str, Any]) -> None:
    del params["attack"]
    with pytest.raises(ParamsError, match="lacks the key 'attack'"):
        params_module.check_params(params)


def test_a_broken_or_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="cannot read"):
        params_module.load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1\n")
    with pytest.raises(ParamsError, match="not valid YAML"):
        params_module.load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("study", study_module.available())
def test_every_study_can_be_run(params: dict[str, Any], study: str) -> None:
    params_module.check_params(study_module.merge(params, study_module.overlay(study)))


def test_merging_replaces_data_sets_and_keeps_the_rest(params: dict[str, Any]) -> None:
    merged = study_module.merge(params, {"datasets": {"toy": {}}, "attack": {"steps": 7}})
    assert list(merged["datasets"]) == ["toy"] and merged["attack"]["steps"] == 7
    assert merged["attack"]["bounds"] == params["attack"]["bounds"] and params["attack"]["steps"] != 7


def test_a_workspace_is_a_copy_that_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "WORKSPACES", tmp_path)
    workspace = study_module.prepare("toy")
    assert yaml.safe_load((workspace / "params.yaml").read_text())["datasets"] == {"toy": {}}
    assert (workspace / "data" / "networks").is_dir()  # the report reads it, and a study may train none
    (workspace / "flows" / "gone.py").write_text("")
    (workspace / "flows" / "stages" / "verify.py").write_text("old")
    state = (workspace / "flows" / "stages" / "train.py").stat().st_mtime_ns
    study_module.prepare("toy")
    assert not (workspace / "flows" / "gone.py").exists()
    assert (workspace / "flows" / "stages" / "verify.py").read_bytes() == (
        ROOT / "flows" / "stages" / "verify.py"
    ).read_bytes()
    assert (workspace / "flows" / "stages" / "train.py").stat().st_mtime_ns == state
    with pytest.raises(ParamsError, match="unknown study 'x'; there are full, gap, networks, paper"):
        study_module.prepare("x")


def test_a_sample_may_differ_between_data_sets(params: dict[str, Any]) -> None:
    params["attack"]["sample"] = {"pendigits": [5, "all"], "default": 7}
    section = params_module.check_params(params)["attack"]
    assert params_module.sample_of(section, "pendigits") == [5, "all"]
    assert params_module.sample_of(section, "satimage") == 7
    assert params_module.sample_of(params["verify"], "satimage") == "all"
