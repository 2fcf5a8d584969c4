"""The benchmark of learned prototypes at its smallest: what it writes holds, whatever it has learned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from arml.prototypes import load_prototypes

ROOT = Path(__file__).resolve().parents[2]


def test_the_small_benchmark_leaves_a_table_radii_and_prototypes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.prototypes",
        "--small",
        "--processes",
        "1",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "prototypes.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| optdigits")]
    assert len(rows) == 1 + 3  # the test set; the base and two changes
    assert sum("kept" in row for row in rows) >= 1
    model = load_prototypes(tmp_path / "optdigits.npz")
    assert model.prototypes_.shape == (50, 64)
    radii = np.load(tmp_path / "optdigits-radii.npz")
    assert radii["exact"].shape == (60,)
    assert (radii["certified"] <= radii["exact"] * (1 + 1e-9) + 1e-9).all()
    errors = [float(cell) for cell in rows[0].split("|")[4:12]]
    assert errors[0] < 0.3 and errors[1:] == sorted(errors[1:])
    assert errors[1] == round(float((radii["exact"] <= 0).mean()), 4)
