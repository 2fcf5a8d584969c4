"""What code each stage runs, as rooms, from its imports: ``python -m tests.flows.wiring`` writes it into dvc.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from arml.results.stages import STAGES
from flows.tasks.cache import module_closure

ROOT = Path(__file__).resolve().parents[2]
FITTING = ("train", "runtime")  # stages whose tasks name their learner's module themselves


def rooms_of(stage: str) -> list[str]:
    """The stage's module, then the rooms (folders) and modules outside of rooms that it reaches in arml."""
    entries = [f"flows.stages.{stage}"]
    if stage in FITTING:
        entries += [f"arml.learners.{p.stem}" for p in (ROOT / "arml/learners").glob("*.py") if p.stem != "__init__"]
    names = (path.relative_to(ROOT) for path in module_closure(entries))
    rooms = {str(name if len(name.parts) == 2 or name.parts[0] == "flows" else name.parent) for name in names}
    return sorted(rooms, key=lambda room: (not room.startswith("flows"), room))


def rewired(text: str) -> str:
    """dvc.yaml's text with every stage's dependencies on code as its imports have them."""
    return "\n".join(_lines(text.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    stage, inside = "", False
    for line in lines:
        begun = re.match(r"  (\w+):$", line)
        stage = begun[1] if begun else stage
        if re.match(r" +deps:$", line):
            inside = True
            yield line
            yield from (f"{' ' * (len(line) - len(line.lstrip()) + 2)}- {room}" for room in rooms_of(stage))
        elif not (inside and re.match(r" +- (flows|arml)/", line)):
            inside = inside and bool(re.match(r" +- ", line))
            yield line


if __name__ == "__main__":
    wired = ROOT / "dvc.yaml"
    wired.write_text(rewired(wired.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"dvc.yaml: {sum(len(rooms_of(stage)) for stage in STAGES)} dependencies on code")
