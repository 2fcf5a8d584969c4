"""Who may know whom (the rooms of the project), read from the sources."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows.stage import STAGES
from flows.tasks.cache import module_closure

ROOT = Path(__file__).resolve().parents[2]
ARML = sorted((ROOT / "arml").rglob("*.py"))
FLOWS = sorted((ROOT / "flows").rglob("*.py"))
LEARNING = {"sklearn", "torch", "metric_learn", "foolbox", "eagerpy", "scipy", "numpy", "pyarrow", "pandas"}


def imported(path: Path) -> set[str]:
    """Top-level names of everything a file imports, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


def code_strings(path: Path) -> Iterator[str]:
    """String literals that are not docstrings."""
    tree = ast.parse(path.read_bytes())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(n.body[0].value) for n in ast.walk(tree)
            if isinstance(n, documented) and n.body and isinstance(n.body[0], ast.Expr)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


@pytest.mark.parametrize("path", ARML, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_arml_knows_no_orchestration(path: Path) -> None:
    assert not imported(path) & {"prefect", "prefect_dask", "prefect_ray", "dvc", "yaml", "flows"}
    pattern = re.compile(r"(^|/)data/(raw|processed|metrics|results|certificates|work|timings|own)(/|$)")
    assert not [text for text in code_strings(path) if pattern.search(text)]


@pytest.mark.parametrize("path", ARML, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_each_foreign_library_has_one_importer(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    if "metric_learn" in imported(path):
        assert relative == "arml/learners/classical.py"
    if "foolbox" in imported(path):
        assert relative in {f"arml/attacks/{name}.py" for name in ("boundary", "gradient", "model", "query")}
    assert not imported(path) & {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}


@pytest.mark.parametrize("path", FLOWS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_flows_hold_no_learning_code(path: Path) -> None:
    allowed = {"torch"} if path.name == "device.py" else set()  # to count the machine's GPUs
    assert not imported(path) & (LEARNING - allowed)
    assert not imported(path) & {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}


@pytest.mark.parametrize("path", FLOWS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_flows_build_no_shell_command(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            assert not any(k.arg == "shell" for k in node.keywords)
            assert ast.unparse(node.func) not in {"os.system", "os.popen", "subprocess.getoutput", "eval", "exec"}


def wiring() -> dict[str, dict[str, object]]:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def test_dvc_yaml_wires_every_stage_there_is() -> None:
    assert {name: stage["cmd"] for name, stage in wiring().items()} == {
        name: f"python -m flows {name}" for name in STAGES
    }


def test_dvc_yaml_has_no_numbers() -> None:
    def numbers(value: object) -> list[object]:
        if isinstance(value, dict):
            return [n for v in value.values() for n in numbers(v)]
        if isinstance(value, list):
            return [n for v in value for n in numbers(v)]
        return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []

    assert numbers(wiring()) == []
    commands = [str(stage["cmd"]) for stage in wiring().values()]
    assert not [c for c in commands if re.search(r"\d", c)]


def test_params_yaml_has_no_paths() -> None:
    for file in (ROOT / "params.yaml", *(ROOT / "flows" / "studies").glob("*.yaml")):
        name, lines = file.name, file.read_text().splitlines()
        values = "\n".join(line.split("#")[0] for line in lines)
        assert "/" not in values and "\\" not in values, name


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_names_all_code_a_stage_runs(stage: str) -> None:
    declared = [str(dep) for dep in wiring()[stage]["deps"]]  # type: ignore[attr-defined]
    entries = [f"flows.stages.{stage}"]
    if stage in ("train", "runtime"):
        entries += [f"arml.learners.{p.stem}" for p in (ROOT / "arml/learners").glob("*.py") if p.stem != "__init__"]
    names = [path.relative_to(ROOT).as_posix() for path in module_closure(entries)]
    missing = [n for n in names if not any(n == dep or n.startswith(dep + "/") for dep in declared)]
    assert not missing, f"add to the deps of {stage} in dvc.yaml: {', '.join(missing)}"
    for dep in declared:
        assert "$" in dep or dep.startswith("data/") or (ROOT / dep).exists(), dep


def test_arml_imports_only_what_it_declares_and_extras_only_where_they_are_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {"scikit-learn": "sklearn", "metric-learn": "metric_learn", "markdown-it-py": "markdown_it"}

    def modules(requirements: list[str]) -> set[str]:
        found = {re.split(r"[^A-Za-z0-9_.-]", requirement)[0].rstrip("<>=") for requirement in requirements}
        return {names.get(name, name) for name in found}

    core = modules(project["dependencies"]) | {"arml", "eagerpy"}  # foolbox's own
    extra = modules(project["optional-dependencies"]["report"]) | {"markupsafe"}  # jinja2's own
    assert not core & {"dvc", "prefect", "pandas", "matplotlib", "jinja2"}
    for path in ARML:
        foreign = imported(path) - set(sys.stdlib_module_names)
        assert foreign <= core | extra, path
        at_once = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        roots = {(getattr(node, "module", None) or node.names[0].name).split(".")[0] for node in at_once}
        assert not roots & extra, path
        if foreign & {"typer", "rich"}:
            assert path.is_relative_to(ROOT / "arml" / "cli"), path


@pytest.mark.parametrize("path", ARML, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_library_does_not_know_its_command_line(path: Path) -> None:
    if path.parent.name != "cli" and path.name != "__main__.py":
        assert "arml.cli" not in path.read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/unit/*.py")) + sorted(ROOT.glob("tests/property/*.py")),
                         ids=lambda p: p.relative_to(ROOT).as_posix())  # fmt: skip
def test_tests_of_the_library_need_the_library_alone(path: Path) -> None:
    """They run against an installed wheel (.ci/wheel), where there is no pipeline."""
    assert not imported(path) & {"prefect", "dvc", "yaml", "flows"}
