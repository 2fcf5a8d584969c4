"""Files of a made-up data set and a way to run commands on them, for the tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner, Result

from arml.cli import app

NAMES = ("ash", "elm", "fir")
COLUMNS = ("height", "girth", "age")
N_TRAIN, N_TEST = 70, 20


def arrays(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three overlapping clouds in three features of different units."""
    rng = np.random.default_rng(seed)
    n = N_TRAIN + N_TEST
    y = np.arange(n) % 3
    X = rng.normal(size=(n, 3))
    X[np.arange(n), y] += 2.5
    X *= (1.0, 10.0, 0.1)
    return X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]


def write_csv(path: Path, X: np.ndarray, y: np.ndarray, columns: tuple[str, ...] = COLUMNS) -> Path:
    """With labels as text, in the second column."""
    lines = [",".join((columns[0], "kind", *columns[1:]))]
    for row, label in zip(X.tolist(), y, strict=True):
        lines.append(",".join((repr(row[0]), NAMES[label], *map(repr, row[1:]))))
    path.write_text("\n".join(lines) + "\n")
    return path


def files(folder: Path) -> tuple[str, str]:
    """Training and test file in the folder."""
    X_train, y_train, X, y = arrays()
    return str(write_csv(folder / "train.csv", X_train, y_train)), str(write_csv(folder / "test.csv", X, y))


def run(*arguments: object, code: int = 0) -> Result:
    """Run a command in this process and expect its exit code."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def answer(*arguments: object, code: int = 0) -> Any:
    """What a command says with --json, which is all of its standard output."""
    return json.loads(run(*arguments, "--json", code=code).stdout)


def refusal(*arguments: object, code: int = 2) -> str:
    """What a command says on standard error before it ends with this code: one line, and nothing on the other side."""
    result = run(*arguments, code=code)
    assert result.stdout == "" and result.stderr.count("\n") == 1 and "Traceback" not in result.stderr, result.output
    return result.stderr


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """The block leaves these files as they were, and no temporary file beside them."""
    before = [path.read_bytes() for path in paths]
    yield
    assert [path.read_bytes() for path in paths] == before
    assert not [name for path in paths for name in path.parent.glob(".*.tmp")]
