"""The rooms of arml and flows: what stands on top, what may know what, and that nothing goes round in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from arml.results.stages import STAGES
from tests.flows.wiring import rewired, rooms_of

ROOT = Path(__file__).resolve().parents[2]
# public faces of modules that live in a room: names and nothing else
FACES = {"arml.audit": "arml.results.audit", "arml.evidence": "arml.results.evidence"}
# check_distances is the checker's own: it must share nothing with a room that solvers know
TOP = {
    *("__init__", "__main__", "errors", "validation", "certificate", "check", "check_distances", "curves"),
    *("audit", "evidence"),
}
MATHEMATICS = ("solvers", "knn", "geometry", "verify", "certify", "intervals", "attacks", "learners", "networks")
# each room of the mathematics: the others that it may import; solvers know no neighbours, knn no geometry
BELOW = {
    "solvers": (),
    "knn": ("solvers",),
    "geometry": ("solvers", "knn"),
    "verify": ("solvers", "knn", "geometry"),
    "certify": ("solvers", "knn", "geometry"),
    "learners": (),
    "networks": (),
    "attacks": ("solvers", "knn", "geometry", "verify", "networks"),
    "intervals": ("solvers", "knn", "geometry", "verify", "certify", "attacks"),
}
# of flows: each room, and the ones below it
STAIRS = ("stages", "tasks", "runners", "processes")


@cache
def modules() -> dict[str, Path]:
    """Every module of arml and flows by its name."""
    files = (path for package in ("arml", "flows") for path in sorted((ROOT / package).rglob("*.py")))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from running(node)


@cache
def imports() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, in functions too."""
    found = {}
    for name, path in modules().items():
        theirs: set[str] = set()
        for node in running(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                theirs |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                theirs |= below & modules().keys()
                theirs |= {node.module} if below - modules().keys() else set()
        found[name] = (theirs & modules().keys()) - {name}
    return found


def circles() -> list[set[str]]:
    """Sets of modules that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        pending = [start]
        while pending:
            for name in imports()[pending.pop()] - seen:
                seen.add(name)
                pending.append(name)
        return seen

    above = {name: reached(name) for name in imports()}
    found: list[set[str]] = []
    for name in imports():
        circle = {other for other in above[name] if name in above[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def room(module: str) -> str:
    """The room of a module of arml or flows; "" on top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or (modules()[module].name == "__init__.py" and len(parts) == 2) else ""


def test_there_is_no_import_circle() -> None:
    assert circles() == []


def test_arml_has_its_modules_in_rooms() -> None:
    assert {path.stem for path in (ROOT / "arml").glob("*.py")} == TOP
    for face, home in FACES.items():
        tree = ast.parse(modules()[face].read_bytes())
        kinds = [type(node) for node in tree.body]
        assert kinds == [ast.Expr, ast.ImportFrom, ast.Assign] and imports()[face] == {home}


def test_flows_has_at_most_twelve_modules_on_top_and_no_underscored_one() -> None:
    assert len(list((ROOT / "flows").glob("*.py"))) <= 12
    assert [name for name in modules() if name.split(".")[-1].startswith("_") and not name.endswith("__main__")] == []


@pytest.mark.parametrize("name", MATHEMATICS)
def test_a_room_of_the_mathematics_knows_only_rooms_below_it(name: str) -> None:
    for module, theirs in imports().items():
        if module.startswith("arml.") and room(module) == name:
            others = {room(other) for other in theirs if other.startswith("arml.")} - {"", name, "system"}
            assert others <= set(BELOW[name]), f"{module}: {sorted(others - set(BELOW[name]))}"


def test_the_report_is_known_to_nothing_but_the_command_line_and_flows() -> None:
    for module, theirs in imports().items():
        if any(room(other) == "report" and other.startswith("arml.") for other in theirs):
            assert module.startswith(("arml.report", "arml.cli", "flows.")), module


@pytest.mark.parametrize("above", range(len(STAIRS)))
def test_rooms_of_flows_know_no_room_above_them(above: int) -> None:
    for module, theirs in imports().items():
        if module.startswith("flows.") and room(module) in STAIRS[above + 1 :]:
            upward = {other for other in theirs if other.startswith("flows.") and room(other) == STAIRS[above]}
            assert not upward, f"{module}: {sorted(upward)}"


def test_names_are_imported_from_where_they_live() -> None:
    """A task's key holds the sources that imports reach, and a room's lazy face reaches nothing."""
    lazy = {name for name, path in modules().items() if path.name == "__init__.py" and "= lazy(" in path.read_text()}
    assert len(lazy) >= 6
    for module, theirs in imports().items():
        if not module.startswith("arml.cli"):
            assert not theirs & lazy, f"{module}: {sorted(theirs & lazy)}"


def test_dvc_yaml_is_wired_as_the_imports_are() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert rewired(text) == text, "run python -m tests.flows.wiring"
    assert sum(len(rooms_of(stage)) for stage in STAGES) <= 120
