"""What is written holds: pages are found, links lead somewhere, Python runs, commands exist, names are public."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pages import DOCS, PAGES, ROOT, blocks, commands, links, relative, run_python, strict

import arml
from docs.build import _anchor

BIN = Path(sys.executable).parent
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_readme_is_short_and_has_one_table_of_results_and_one_picture() -> None:
    readme = text(ROOT / "README.md")
    assert len(readme.splitlines()) < 150
    assert len(re.findall(r"^!\[", readme, re.MULTILINE)) == 1
    assert len(re.findall(r"^\| -", readme, re.MULTILINE)) == 1


@pytest.mark.parametrize("source", [ROOT / "README.md", ROOT / "docs" / "index.md"], ids=relative)
def test_every_page_is_found_from_the_readme_and_from_the_index(source: Path) -> None:
    linked = {target for target, _ in links(source)}
    assert not {*DOCS, NOTEBOOK} - linked - {source, ROOT / "docs" / "index.md"}
    assert ROOT / "CONTRIBUTING.md" in linked


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not (target.is_relative_to(ROOT / "reports") and target.suffix in (".pdf", ".png")), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", text(target), re.MULTILINE)
            assert anchor in {_anchor(title.replace("`", "")) for title in titles}, (target, anchor)


def test_the_notebooks_links_lead_somewhere() -> None:
    found = re.findall(r"\]\(([^)#]+)", text(NOTEBOOK))
    assert len(found) == 3 and all((NOTEBOOK.parent / link).exists() for link in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cluster", "data", "library"])
def test_python_of_a_page_runs_as_printed_and_asserts_something(name: str) -> None:
    page = ROOT / "docs" / f"{name}.md"
    names = run_python(page)
    assert names.keys() > {"np"}
    assert sum("assert" in block for block in blocks(page, "python")) >= len(blocks(page, "python")) - 1
    assert sum("no error" in strict(block) for block in blocks(page, "python")) == text(page).count("except ValueError")


def test_no_page_has_python_that_nothing_runs() -> None:
    run = {"README.md", "docs/cluster.md", "docs/data.md", "docs/guide.md", "docs/library.md"}
    assert {relative(page) for page in PAGES if blocks(page, "python")} == run
    assert not [page for page in PAGES if re.search(r"^```(?!python|sh|yaml|text)\w", text(page), re.MULTILINE)]


def test_eight_lines_of_the_readme_certify_a_classifier_of_scikit_learn(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    assert sum(bool(line.strip()) for line in block.splitlines()) == 8
    names = run_python(ROOT / "README.md")
    radii, yours, X_test, y_test = (names[name] for name in ("radii", "yours", "X_test", "y_test"))
    assert re.fullmatch(r"0\.\d{3} right, 0\.\d{3} proved right for changes up to 0\.2 cm\n", capsys.readouterr().out)
    rng = np.random.default_rng(0)
    assert (radii > 0).mean() > 0.9
    for _ in range(200):
        step = rng.normal(size=X_test.shape)
        moved = X_test + 0.999 * radii[:, None] * step / np.linalg.norm(step, axis=1, keepdims=True)
        assert (yours.predict(moved) == y_test)[radii > 0].all()


# --- commands


def shown() -> list[str]:
    return sorted({command for page in PAGES for command in commands(page)})


@cache
def help_of(*words: str) -> str:
    done = subprocess.run(
        [*words, "--help"], cwd=ROOT, env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def has_options(words: list[str], said: str) -> bool:
    options = [word.split("=")[0] for word in words if word.startswith("-")]
    return all(re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", said) for option in options)


def test_pages_show_the_commands_that_people_need() -> None:
    assert {"make repro", "make test", "pip install .", "make paper", "make docs"} <= set(shown())
    assert len(shown()) > 50


def test_indented_blocks_hold_no_commands() -> None:
    started = re.compile(r"^    (make|pip|python|arml|dvc|git|bash) ", re.MULTILINE)
    assert not [page for page in PAGES if started.search(text(page))]


@pytest.mark.slow
@pytest.mark.parametrize("command", shown())
def test_a_command_exists_with_its_options(command: str) -> None:
    """What has a Makefile's target, a module, or a tool's help behind it; git's, cd and export need none."""
    first, *rest = shlex.split(command.removeprefix(".venv/bin/").replace("<", "").replace(">", ""))
    extras = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    if first == "make":
        assert len(rest) == 1 and re.search(rf"^\.PHONY:.* {rest[0]}\b", text(ROOT / "Makefile"), re.MULTILINE)
    elif first == "python" and rest[:2] == ["-m", "pytest"]:
        assert all((ROOT / word).exists() for word in rest[2:] if "/" in word)
    elif first == "python" and rest[1].split(".")[0] in ("flows", "docs"):
        stage = rest[2:3] if rest[1] == "flows" else []
        assert rest[0] == "-m" and has_options(rest[2:], help_of(sys.executable, "-m", rest[1], *stage))
    elif first == "pip" or (first == "python" and rest[1] == "pip"):
        for names in re.findall(r"\.\[([\w,]+)\]", command):
            assert set(names.split(",")) <= set(extras), command
    elif first == "python":
        assert rest[1] == "prefect" and "--all" in help_of(str(BIN / "prefect"), "deploy")
    elif first == "arml":
        assert has_options(rest, help_of(sys.executable, "-m", "arml", rest[0]))
    elif first in ("dask", "prefect", "dvc"):
        words = rest[: 1 if first == "dask" or rest[0] in ("push", "pull", "repro", "dag", "checkout") else 2]
        assert has_options(rest[len(words) :], help_of(str(BIN / first), *words))
    elif first in ("bash", "cp"):
        assert first == "cp" or (ROOT / rest[0]).is_file()
    else:
        assert first in ("git", "cd", "export", "pre-commit"), command


@pytest.mark.slow
def test_the_command_lines_commands_run_as_printed(tmp_path: Path) -> None:
    from sklearn.datasets import load_iris

    table = load_iris(as_frame=True)
    frame = table.data.assign(kind=table.target_names[table.target]).sample(frac=1.0, random_state=0)
    frame[:100].to_csv(tmp_path / "train.csv", index=False)
    frame[100:120].to_csv(tmp_path / "test.csv", index=False)
    first, of_the_pipeline = blocks(ROOT / "docs" / "command-line.md", "sh")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", first], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = {"metric.npz", "proofs.parquet", "exact.parquet", "attacked.parquet", "curve.svg"}
    assert made <= {path.name for path in tmp_path.iterdir()}
    assert "data/certificates" in of_the_pipeline


@pytest.mark.slow
def test_what_the_readme_installs_certifies(tmp_path: Path) -> None:
    """Its commands in a copy of the sources and an environment that has the packages, but not this one."""
    clone, by_clone, by_wheel = tmp_path / "arml", tmp_path / "one", tmp_path / "two"
    clone.mkdir()
    for name in ("arml", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, clone / name)
    clone_it, wheel_it = blocks(ROOT / "README.md", "sh")[:2]
    fetch, enter, *install = clone_it.splitlines()
    assert fetch.startswith("git clone ") and enter == "cd arml" and install == ["pip install ."]
    site = next(path for path in sys.path if path.endswith("site-packages"))
    (code,) = blocks(ROOT / "README.md", "python")
    for folder, script in ((by_clone, "\n".join(install)), (by_wheel, wheel_it)):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        # Python 3.11 brings a setuptools of its own, older than what the build asks for
        subprocess.run([folder / "bin" / "pip", "uninstall", "-qy", "setuptools"], check=True, capture_output=True)
        own = next(folder.glob("lib/python*/site-packages"))
        (own / "packages.pth").write_text(f"{site}\n")
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment = {**os.environ, **offline, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=clone, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        where = f"import arml; print(arml.__file__)\n{code}"
        said = subprocess.run([folder / "bin" / "python", "-c", where], cwd=tmp_path, env=environment, check=True,
                              capture_output=True, text=True).stdout  # fmt: skip
        assert said.startswith(str(own)) and "proved right" in said
        assert (folder / "bin" / "arml").exists()


# --- the notebook


def test_the_notebook_is_kept_without_outputs_and_in_the_format_it_says() -> None:
    notebook: dict[str, Any] = json.loads(text(NOTEBOOK))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in ids)
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning:sklearn")
def test_the_notebook_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(text(NOTEBOOK))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"quickstart.ipynb, cell {cell['id']}", "exec"), names)
    certified, attacked = names["certified"], names["attacked"]
    assert set(certified) == set(attacked) == {"Euclidean", "ARML"}
    assert all((certified[name] <= attacked[name].norm).all() for name in certified)
    assert np.median(certified["ARML"]) > 0.1
    assert len(names["axes"].get_lines()) == 4


# --- what is said once more elsewhere


def test_the_table_of_public_names_is_what_the_modules_say() -> None:
    table = re.findall(r"^\| `(arml[\w.]*)` \| (.*) \|$", text(ROOT / "VERSIONING.md"), re.MULTILINE)
    assert len(table) == 16
    for module, cell in table:
        names = re.findall(r"`(\w+)`", cell)
        home = importlib.import_module(module)
        assert names == sorted(home.__all__), module
        assert all(getattr(home, name) is not None for name in names)


def test_citation_names_this_version_and_the_papers_authors() -> None:
    cited = yaml.safe_load(text(ROOT / "CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["version"] == arml.__version__ and cited["license"] == "MIT"
    (paper,) = cited["references"]
    assert [f"{a['given-names']} {a['family-names']}" for a in paper["authors"]] == [
        "Lu Wang", "Xuanqing Liu", "Jinfeng Yi", "Yuan Jiang", "Cho-Jui Hsieh",
    ]  # fmt: skip
    urls = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["urls"]
    assert urls == {"Paper": paper["url"]}


def test_hooks_and_the_workflow_run_what_is_here() -> None:
    (repo,) = yaml.safe_load(text(ROOT / ".pre-commit-config.yaml"))["repos"]
    for hook in repo["hooks"]:
        program, command, *options = hook["entry"].split()
        assert program == ".venv/bin/ruff"
        assert has_options(options, help_of(str(BIN / "ruff"), command))
    (job,) = yaml.safe_load(text(ROOT / ".github/workflows/ci.yml"))["jobs"].values()
    assert "bash .ci/run" in [step.get("run") for step in job["steps"]]
    supported = re.findall(r"Python :: (3\.\d+)", text(ROOT / "pyproject.toml"))
    assert job["strategy"]["matrix"]["python"] == supported
