"""The written pages: README, CONTRIBUTING and docs/*.md, their blocks, links and commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "VERSIONING.md", *DOCS]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[Path, str]]:
    """Files that a page links to, with the anchors in them; addresses elsewhere are left out."""
    found = re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8"))
    return [((page.parent / path).resolve() if path else page, anchor) for path, anchor in found]


def strict(block: str) -> str:
    """A block in which an error that is expected has to come."""
    return re.sub(
        r"^(except ValueError as error:\n(?:    .*\n)+)", r"\1else:\n    raise AssertionError('no error')\n", block,
        flags=re.MULTILINE,
    )  # fmt: skip


def run_python(page: Path) -> dict[str, Any]:
    """Run a page's Python in its order, with its own line numbers; returns its names."""
    text, names = page.read_text(encoding="utf-8"), {"__name__": page.stem}
    for block in blocks(page, "python"):
        line = text[: text.index(block)].count("\n")
        exec(compile("\n" * line + strict(block), relative(page), "exec"), names)
    return names


def commands(page: Path) -> list[str]:
    """The commands of a page, one a line, without comments."""
    joined = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in joined.splitlines())
    return [part.strip() for line in lines if line for part in line.split("&&")]
