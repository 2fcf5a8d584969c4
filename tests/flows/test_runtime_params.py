"""params.yaml is checked as a whole, and what is wrong is named."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flows import layout, repro
from flows import params as params_module
from flows.errors import ParamsError
from flows.params import yaml12
from flows.params.models import Params
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
        ("tighten.sample", 0, "tighten.sample must be a whole number >= 1 or all"),
        ("tighten.n_neighbors", [1, 11], "tighten.n_neighbors has 1, whose radii are exact already"),
        ("tighten.programs", 0, "tighten.programs must be a whole number >= 1"),
        ("tighten.nodes", -1, "tighten.nodes must be a whole number >= 0"),
        ("tighten.time_limit", 0, "tighten.time_limit must be a positive number of seconds, or null"),
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
        ("verify", None, "verify must be a mapping with the keys sample, time_limit; got None"),
        ("runtime", {"pendigits": {"threads": [1]}}, "runtime.pendigits lacks the key 'trials'"),
        ("networks", {"models": []}, "networks.models must map names to networks"),
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


@pytest.mark.parametrize("missing", ["datasets", "methods"])
def test_what_has_no_default_must_be_there(params: dict[str, Any], missing: str) -> None:
    del params[missing]
    with pytest.raises(ParamsError, match=f"params.yaml lacks the key '{missing}'"):
        params_module.check_params(params)


def test_every_fault_has_its_line(params: dict[str, Any]) -> None:
    params["seed"], params["run"]["workers"], params["atack"] = -1, 0, {}
    with pytest.raises(ParamsError) as error:
        params_module.check_params(params)
    assert [line.split()[0] for line in str(error.value).splitlines()] == ["seed", "run.workers", "params.yaml"]


def test_one_data_set_and_one_method_are_enough() -> None:
    found = params_module.check_params({"datasets": {"pendigits": None}, "methods": ["arml"]})
    assert found["train"] == {"arml": {}} and found["networks"]["datasets"] == [] and found["runtime"] == {}
    assert found["certify"] == {"sample": "all", "n_neighbors": [1, 11], "bound": "theorem1"}


def test_a_section_takes_some_of_its_keys(params: dict[str, Any]) -> None:
    params["tighten"] = {"sample": 5}
    assert params_module.check_params(params)["tighten"] == {
        "sample": 5,
        "skip": {},
        "n_neighbors": [11],
        "programs": 100,
        "nodes": 1000,
        "time_limit": None,
    }


def test_what_names_other_data_sets_is_ignored_and_said(params: dict[str, Any]) -> None:
    params["networks"]["datasets"] = ["mnist", "optdigits"]
    params["attack"]["sample"] = {"usps": 5, "default": 5}
    params["runtime"] = {"usps": {"trials": 1, "threads": [1], "fits": {"a": {"method": "nca"}}}}
    params["tighten"]["skip"] = {"mnist": ["lfda"]}
    found = params_module.check_params(params)
    assert found["networks"]["datasets"] == ["optdigits"] and found["runtime"] == {}
    assert params_module.sample_of(found["attack"], "pendigits") == 5
    assert params_module.strangers(params) == [
        "networks.datasets names 'mnist', not under datasets: ignored",
        "runtime names 'usps', not under datasets: ignored",
        "attack.sample names 'usps', not under datasets: ignored",
        "tighten.skip names 'mnist', not under datasets: ignored",
    ]


def test_a_short_file_is_completed_for_dvc_and_keeps_its_comments() -> None:
    text = "datasets:\n  pendigits: {}   # pens\nmethods: [arml]\nnetworks:\n  datasets: [mnist]\n"
    full, told = params_module.completed(text)
    assert full.startswith(text.replace("[mnist]", "[]")) and len(told) == 3
    assert yaml12.parse(full) == params_module.check_params(yaml12.parse(text)) | {"datasets": {"pendigits": {}}}
    assert params_module.completed(full) == (full, [])


def test_the_committed_file_needs_nothing_more() -> None:
    text = layout.PARAMS.read_text(encoding="utf-8")
    assert params_module.completed(text) == (text, []) and yaml12.dump(yaml12.edited(text)) == text


@pytest.mark.parametrize("written", ["1e-05", "1.0e-5", "1E-5", "0.00001", ".00001", "+1e-5"])
def test_small_numbers_are_read_as_dvc_writes_them(tmp_path: Path, written: str) -> None:
    text = layout.PARAMS.read_text(encoding="utf-8").replace("learning_rate: 0.001", f"learning_rate: {written}")
    (tmp_path / "params.yaml").write_text(text)
    assert params_module.load_params(tmp_path / "params.yaml")["train"]["arml"]["learning_rate"] == 1e-5


def test_words_are_words() -> None:
    assert yaml12.parse("a: no\nb: on\nc: true\nd: 010\n") == {"a": "no", "b": "on", "c": True, "d": 10}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "line 2: expected ',' or ']'"),
        ("a: 1\nseed: 2\nseed: 3\n", "line 3: the key 'seed' stands twice; keep one of the two"),
        ("verify:\n  sample: all\nrun:\n\tworkers: 2\n", "line 4: a tab; YAML is indented with blanks"),
        ("a: b: c\n", "line 1: mapping values are not allowed here"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=re.escape(f"params.yaml is not valid YAML: {said}")):
        params_module.load_params(tmp_path / "params.yaml")


def test_a_missing_file_or_other_bytes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="cannot read"):
        params_module.load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes("seed: 1  # für".encode("latin-1"))
    with pytest.raises(ParamsError, match="byte 12 is not UTF-8; save it as UTF-8"):
        params_module.load_params(tmp_path / "params.yaml")


def test_the_main_command_says_what_is_wrong_before_it_completes_anything(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    for content in (b"datasets: {pendigits: {}}\nmethods: [svm]\n", "a: f\u00fcr".encode("latin-1")):
        file.write_bytes(content)
        with pytest.raises(ParamsError):
            list(repro.complete(file))
        assert file.read_bytes() == content
    file.write_text("datasets: {pendigits: {}}\nmethods: [arml]\n")
    assert len(list(repro.complete(file))) == 1 and "tighten:" in file.read_text() and not list(repro.complete(file))


def described(model: type[BaseModel], where: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if field.description:
            yield f"{where}{name}", field.description
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from described(field.annotation, f"{where}{name}.")


def test_the_comments_of_params_yaml_are_the_sentences_of_the_models() -> None:
    comments = (line.partition("#")[2].strip() for line in layout.PARAMS.read_text(encoding="utf-8").splitlines())
    said = " ".join(comments)
    sentences = dict(described(Params))
    assert len(sentences) > 25
    assert {key: sentence for key, sentence in sentences.items() if sentence not in said} == {}


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
    assert yaml12.read(workspace / "params.yaml")["datasets"] == {"toy": {}}
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
