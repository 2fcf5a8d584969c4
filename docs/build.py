"""Build the documentation as pages that open from disk and fetch nothing: `python -m docs.build`.

The reference is made from docstrings by pdoc (the optional dependencies ``docs``), the pages of docs/*.md and the
gallery's text from Markdown. Everything goes into docs/_build, which git ignores:

    index.html          what there is; a page for each other Markdown file beside it
    reference/          arml and its modules, with a search
    gallery/            pictures, and index.html beside them
"""

from __future__ import annotations

import argparse
import html
import importlib
import inspect
import os
import pkgutil
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import arml
from arml.system.files import write_bytes
from docs import gallery

__all__ = ["build", "main", "page", "public_modules", "text_page", "write_pages", "write_reference"]

HERE = Path(__file__).parent
FOLDER = HERE / "_build"

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
nav { margin-bottom: 2rem; border-bottom: 1px solid #8888; padding-bottom: .5rem; }
pre { background: #8881; padding: .75rem; overflow-x: auto; font-size: .85rem; line-height: 1.4; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
img { max-width: 100%; height: auto; background: #fff; }
"""


def public_modules() -> list[str]:
    """Names of arml and of all its modules that say what is public in them (``__all__``), sorted."""
    names = ["arml", *(info.name for info in pkgutil.walk_packages(arml.__path__, "arml."))]
    return sorted(n for n in names if not n.endswith("__main__") and hasattr(importlib.import_module(n), "__all__"))


def resolve_lazy_names(modules: Sequence[str]) -> None:
    """Put names that a module imports at first use where pdoc looks for them.

    Raises
    ------
    AttributeError
        A module's ``__all__`` names what it has not.
    """
    for module in map(importlib.import_module, modules):
        for name in module.__all__:
            vars(module).setdefault(name, getattr(module, name))


class _Written:
    """An annotation as its author wrote it: ``ArrayLike``, not the dozen lines that it stands for."""

    def __init__(self, text: object) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text if isinstance(self.text, str) else inspect.formatannotation(self.text)


def _as_written(annotation: object, *_: object) -> object:
    """In the place of pdoc's evaluation of annotations, which has no option to leave them."""
    return annotation if annotation is inspect.Signature.empty else _Written(annotation)


def write_reference(folder: Path) -> None:
    """Render the docstrings of all public modules into ``folder``; what pdoc cannot resolve is an error."""
    import pdoc
    import pdoc.doc
    import pdoc.doc_types
    import pdoc.render

    modules = public_modules()
    resolve_lazy_names(modules)
    pdoc.render.configure(docformat="numpy", show_source=False, footer_text=f"arml {arml.__version__}")
    with (
        warnings.catch_warnings(),
        mock.patch.object(pdoc.doc, "safe_eval_type", _as_written),
        mock.patch.object(pdoc.doc_types, "safe_eval_type", _as_written),
    ):
        warnings.simplefilter("error", UserWarning)
        pdoc.pdoc(*modules, output_directory=folder)
    write_bytes(folder / "index.html", page("arml: reference", _contents(modules), "../").encode())


def _contents(modules: Sequence[str]) -> str:
    """What there is, in Markdown: the names of arml, and every module with the first line of its docstring."""
    lines = ["# Reference", "", "## Names of arml", "", "| name | what it is |", "| --- | --- |"]
    for name in (name for name in arml.__all__ if not name.startswith("_")):
        lines.append(f"| [{name}](arml.html#{name}) | {_summary(getattr(arml, name))} |")
    lines += ["", "## Modules", "", "| module | what it holds |", "| --- | --- |"]
    for name in modules:
        lines.append(f"| [{name}]({name.replace('.', '/')}.html) | {_summary(importlib.import_module(name))} |")
    return "\n".join(lines) + "\n"


def _summary(thing: object) -> str:
    """The first sentence of a docstring, as a cell of a table."""
    text = re.sub(r":\w+:`([^`]*)`", r"\1", (inspect.getdoc(thing) or "").split("\n\n")[0])
    return text.replace("\n", " ").replace("|", "\\|")


def page(title: str, text: str, up: str = "") -> str:
    """A page of HTML from Markdown; ``up`` leads from its folder to the build's."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = re.sub(r"<h2>(.*?)</h2>", lambda found: f'<h2 id="{_anchor(found[1])}">{found[1]}</h2>', body)
    pages = (("index.html", "Pages"), ("guide.html", "Guide"))
    links = (*pages, ("reference/index.html", "Reference"), ("gallery/index.html", "Gallery"))
    nav = " · ".join(f'<a href="{up}{to}">{name}</a>' for to, name in links)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><nav>arml {arml.__version__}: {nav}</nav>\n{body}</body></html>\n"
    )


def _anchor(title: str) -> str:
    """The id that Markdown links to a heading by, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", html.unescape(re.sub(r"<.*?>", "", title)).lower()).replace(" ", "-")


def text_page(name: str, folder: Path) -> str:
    """A page of docs, such as "guide", as HTML for ``folder``, from where links into the repository are found."""
    text = (HERE / f"{name}.md").read_text(encoding="utf-8")
    root = Path(os.path.relpath(HERE.parent, folder)).as_posix()

    def target(found: re.Match[str]) -> str:
        path, anchor = found[1], found[2] or ""
        if path.startswith("../"):
            return f"]({root}/{path.removeprefix('../')}{anchor})"
        if path.endswith(".md"):
            return f"]({path.removesuffix('.md')}.html{anchor})"
        return f"]({root}/docs/{path}{anchor})"

    title = text.splitlines()[0].removeprefix("# ")
    return page(f"arml: {title}", re.sub(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)", target, text))


def write_pages(folder: Path) -> None:
    """Write a page into ``folder`` for each docs/*.md."""
    for source in sorted(HERE.glob("*.md")):
        write_bytes(folder / f"{source.stem}.html", text_page(source.stem, folder).encode())


def build(folder: Path) -> None:
    """Build pages, reference and gallery into ``folder``; about a minute."""
    gallery.build(folder / "gallery")
    pictures = (folder / "gallery" / "index.md").read_text(encoding="utf-8")
    write_bytes(folder / "gallery" / "index.html", page("arml: gallery", pictures, "../").encode())
    write_reference(folder / "reference")
    write_pages(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build into the folder named on the command line, docs/_build by default; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description="Build the documentation.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to (default: docs/_build)")
    folder: Path = parser.parse_args(arguments).folder
    try:
        import pdoc  # noqa: F401
    except ImportError:
        print("error: the reference is made by pdoc, which is not installed: pip install '.[docs]'", file=sys.stderr)
        return 2
    build(folder)
    print(f"documentation: {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
