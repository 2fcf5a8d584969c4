"""The reference: every public module and name is in it with its docstring, and nothing is fetched to read it."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from html import unescape
from pathlib import Path

import pytest

import arml
from docs import build

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("reference")]
MODULES = build.public_modules()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reference")
    build.write_reference(made)
    return made


def text(page: Path) -> str:
    """What a reader sees of it, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", page.read_text(encoding="utf-8"))).split())


def test_what_people_import_from_is_public() -> None:
    for name in ("arml", "arml.attacks", "arml.certify", "arml.check", "arml.datasets", "arml.estimator.classifier",
                 "arml.intervals", "arml.learners", "arml.networks", "arml.verify"):  # fmt: skip
        assert name in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_there_with_all_its_names(folder: Path, name: str) -> None:
    module = importlib.import_module(name)
    page = (folder / f"{name.replace('.', '/')}.html").read_text(encoding="utf-8")
    missing = [public for public in module.__all__ if f'id="{public}"' not in page]
    assert not missing
    assert f'href="{name.replace(".", "/")}.html"' in (folder / "index.html").read_text(encoding="utf-8")


def test_names_of_the_package_are_explained(folder: Path) -> None:
    page, index = text(folder / "arml.html"), text(folder / "index.html")
    for name in arml.__all__:
        if not name.startswith("_"):
            first = (inspect.getdoc(getattr(arml, name)) or "").splitlines()[0]
            assert re.split(":func:|:meth:|`", first)[0].replace("*", "") in page, name
            assert name in index


def test_signatures_say_what_their_authors_wrote(folder: Path) -> None:
    page = text(folder / "arml" / "certify.html")
    assert "X_train: ArrayLike" in page and "NDArray[np.float64]" in page
    assert "_empty" not in page


def test_nothing_is_fetched(folder: Path) -> None:
    for page in folder.rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text(encoding="utf-8"))
        assert not [tag for tag in tags if re.search(r'(?:src|href)="(?:https?:)?//', tag)], page


def test_pages_link_to_each_other_and_to_files_of_the_repository_from_where_they_are_built(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build.write_pages(site)
    pages = {page.name: page.read_text(encoding="utf-8") for page in site.iterdir()}
    assert set(pages) == {f"{source.stem}.html" for source in build.HERE.glob("*.md")}
    own = [link for text in pages.values() for link in re.findall(r'(?:href|src)="(?!\w+:)([^"]*)"', text)]
    kept = [link for link in own if not link.startswith(("reference/", "gallery/"))]
    assert sum(link.startswith("..") for link in kept) > 20
    for link in kept:
        path, _, anchor = link.partition("#")
        assert (site / path).resolve().exists(), link
        if anchor and path in pages:
            assert f'id="{anchor}"' in pages[path], link


def test_pages_of_text_link_to_their_headings_and_to_each_other() -> None:
    html = build.page("Title", "# T\n\n## K and `radius`\n\n| a | b |\n| - | - |\n| 1 | <i> |\n", "../")
    assert '<h2 id="k-and-radius">' in html and "<table>" in html and "&lt;i&gt;" in html
    assert '<a href="../reference/index.html">Reference</a>' in html


def test_without_pdoc_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pdoc", None)
    assert build.main([str(tmp_path)]) == 2
    assert "pip install '.[docs]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
