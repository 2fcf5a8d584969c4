"""What a stage is stands in one table; dvc.yaml, the stages' modules and every list of stages agree with it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from arml.results.schemas import KINDS
from arml.results.stages import NEVER, STAGE_ORDER, STAGES, STUDY, TABLE, Stage, leading_to, stage_of
from flows.params import load_params, section_of, yaml12

ROOT = Path(__file__).resolve().parents[2]
WIRED: dict[str, Any] = yaml12.read(ROOT / "dvc.yaml")["stages"]


def outs(name: str) -> set[str]:
    """What a stage of dvc.yaml leaves, as paths with DATASET in place of the variable."""
    stage = WIRED[name].get("do", WIRED[name])
    paths = (next(iter(out)) if isinstance(out, dict) else out for out in stage.get("outs", []))
    return {path.replace("${key}", "DATASET").replace("${item}", "DATASET") for path in paths}


def deps(name: str) -> set[str]:
    stage = WIRED[name].get("do", WIRED[name])
    return {dep.replace("${key}", "DATASET").replace("${item}", "DATASET") for dep in stage["deps"]}


def test_dvc_yaml_has_the_tables_stages_in_its_order() -> None:
    assert list(WIRED) == list(STAGES)
    assert {path.stem for path in (ROOT / "flows/stages").glob("*.py")} == {*STAGES, "__init__"}


@pytest.mark.parametrize("stage", TABLE, ids=lambda stage: stage.name)
def test_a_stage_is_wired_as_the_table_says(stage: Stage) -> None:
    over = WIRED[stage.name].get("foreach")
    assert over == (None if stage.of == STUDY else f"${{{stage.of}}}")
    made = outs(stage.name)
    assert {out for out in made if out.startswith("data/results")} >= (
        {f"data/results/DATASET/{stage.result}"} if stage.result else set()
    )
    assert {out for out in made if out.startswith("data/certificates")} == (
        {f"data/certificates/DATASET/{stage.proofs}"} if stage.proofs else set()
    )
    assert stage.models == "" or f"data/work/DATASET/{stage.name}" in made
    assert stage.kind in (*KINDS, "") and bool(stage.kind) == bool(stage.result)
    assert not stage.alone or (stage.processes == NEVER and not stage.pointwise)


@pytest.mark.parametrize("stage", TABLE, ids=lambda stage: stage.name)
def test_it_reads_what_the_stages_before_it_leave(stage: Stage) -> None:
    """Each stage under ``after`` leaves something that this one names, and no other stage does."""

    def within(path: str, folder: str) -> bool:
        return f"{path}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{path}/")

    read = {dep.replace("/DATASET", "") for dep in deps(stage.name) if dep.startswith("data/")}
    left = {
        other: {out.replace("/DATASET", "") for out in outs(other) if not out.startswith(("data/work", "data/timings"))}
        for other in STAGES
    }
    left["runtime"] = {"data/timings/runtime.parquet"}
    found = {
        other
        for other, paths in left.items()
        if any(within(dep.replace(".json", ""), path) for dep in read for path in paths)
    }
    assert found == set(stage.after)


@pytest.mark.parametrize("stage", TABLE, ids=lambda stage: stage.name)
def test_its_section_of_the_params_is_there(stage: Stage) -> None:
    if stage.pointwise:
        assert "sample" in section_of(load_params(), stage.name)


def test_lists_of_stages_come_from_the_table() -> None:
    assert STAGE_ORDER[0] == "download" and STAGE_ORDER[-1] == "report" and len(STAGE_ORDER) == 12
    assert leading_to("certify") == ("inputs", "download", "preprocess", "train", "certify")
    assert [stage_of("exact"), stage_of("exact", tightened=True)] == ["verify", "tighten"]
    assert [stage_of("certified"), stage_of("attacked")] == ["certify", "attack"]


def test_no_other_module_lists_stages() -> None:
    """Three names of stages side by side in a literal are a second list."""
    for path in sorted([*(ROOT / "arml").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        if path == ROOT / "arml/results/stages.py":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            values: list[Any] = []
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                values = node.elts
            elif isinstance(node, ast.Dict):
                values = [key for key in node.keys if key is not None]
            named = [value.value for value in values if isinstance(value, ast.Constant) and value.value in STAGES]
            assert len(named) < 3, f"{path.relative_to(ROOT)}, line {node.lineno}: {named}"  # type: ignore[attr-defined]
