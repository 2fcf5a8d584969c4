"""Whatever is wrong is one line and an exit code; files on disk survive; help comes at once."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arml import __version__
from arml.learners import LearningError, MetricLearner
from tests.unit.cli_data import arrays, files, refusal, run, unchanged, write_csv

COMMANDS = ("fit", "certify", "verify", "attack", "curve", "check")


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, str, str, str]:
    return (*files(tmp_path), "--label", "kind")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "arml", *map(str, arguments)]


def test_a_session_in_processes_of_their_own(data, tmp_path: Path) -> None:
    train, test, *label = data
    metric, proofs = tmp_path / "metric.npz", tmp_path / "proofs.parquet"

    def say(*arguments: object) -> dict[str, object]:
        done = subprocess.run(command(*arguments, "--json"), capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return dict(json.loads(done.stdout))

    fitted = say("fit", train, *label, "--method", "lfda", "--scaling", "minmax", "--out", metric)
    assert fitted["files"] == {"metric": str(metric)}
    assert say("certify", train, test, *label, "--metric", metric, "--certificates", proofs)["n_points"] == 20
    assert say("check", train, test, proofs, *label, "--metric", metric)["rejected"] == 0
    wrong = subprocess.run(command("check", train, test, proofs, *label), capture_output=True, text=True)
    assert (
        wrong.returncode == 2 and wrong.stdout == "" and wrong.stderr.startswith("error: certificates are about lfda")
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("certify", "nowhere.csv", "TEST"), "nowhere.csv: there is no such file"),
        (("certify", "TRAIN", "."), "it is a folder|is a folder"),
        (("certify", "TRAIN", "TEST", "--label", "species"), "there is no label column 'species'"),
        (("certify", "TRAIN", "TEST", "-k", "4"), "odd K only"),
        (("certify", "TRAIN", "TEST", "-k", "71"), "larger than the training set"),
        (("certify", "TRAIN", "TEST", "--bound", "guess"), "bound must be one of"),
        (("certify", "TRAIN", "TEST", "--scaling", "log"), "--scaling must be one of none, minmax, unit"),
        (("certify", "TRAIN", "TEST", "--out", "rows.csv"), "must end with .parquet"),
        (("certify", "TRAIN", "TEST", "--metric", "TRAIN"), "a metric is a file of 'arml fit'"),
        (("certify", "TRAIN", "TEST", "--metric", "no.npz"), "no.npz: there is no such file"),
        (("verify", "TRAIN", "TEST", "--box", "1", "0"), "low < high"),
        (("verify", "TRAIN", "TEST", "--time-limit", "0"), "must be positive"),
        (("verify", "TRAIN", "TEST", "-k", "3", "--box", "0", "1"), "--certificates and --box are for K = 1"),
        (("attack", "TRAIN", "TEST", "--algorithm", "luck"), "--algorithm must be one of geometric, boundary"),
        (("attack", "TRAIN", "TEST", "--steps", "9"), "--steps is no option of --algorithm geometric"),
        (("attack", "TRAIN", "TEST", "--programs", "0"), "programs must be a whole number of at least 1"),
        (("fit", "TRAIN", "--out", "m.npz", "--method", "magic"), "unknown method 'magic'; known: euclidean"),
        (("fit", "TRAIN", "--out", "m.npz", "-p", "speed=3"), "unknown parameter.*known: average, batch_size"),
        (("fit", "TRAIN", "--out", "m.npz", "-p", "max_iter"), "-p takes NAME=VALUE, got 'max_iter'"),
        (("fit", "TRAIN", "--out", "m.npz", "-p", "a=1", "-p", "a=2"), "-p a: comes twice"),
        (("fit", "TRAIN", "--out", "m.npz", "-p", "random_state=1"), "what --seed gives"),
        (("fit", "TRAIN", "--out", "m.npz", "-p", "max_iter=-1"), "max_iter must be"),
        (("fit", "TRAIN", "--out", "metric.txt"), "must end with .npz"),
        (("fit", "TRAIN.xlsx", "--out", "m.npz"), "the suffix says what a file is|there is no such file"),
        (("curve", "TRAIN"), "expected a Parquet file"),
        (("check", "TRAIN", "TEST", "TEST"), "expected a Parquet file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(
    data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [{"TRAIN": data[0], "TEST": data[1]}.get(word, word) for word in arguments]
    label = [] if "--label" in arguments or arguments[0] == "curve" else data[2:]
    said = refusal(*given, *label)
    assert said.startswith("error: ")
    assert re.search(words, said), said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.csv", "train.csv"]


def test_files_that_do_not_fit_are_named(data, tmp_path: Path) -> None:
    train, test, *label = data
    X_train, y_train, X, y = arrays()
    other = write_csv(tmp_path / "other.csv", X, y, ("height", "girth", "width"))
    assert "missing 'age'" in refusal("certify", train, other, *label)
    gap = tmp_path / "gap.csv"
    gap.write_text(Path(test).read_text().replace("ash", "oak", 1))
    assert "test labels 'oak' do not occur" in refusal("certify", train, gap, *label)
    table = tmp_path / "train.xlsx"
    table.write_bytes(b"PK")
    assert "is a spreadsheet (.xlsx); CSV, Parquet" in refusal("certify", table, test, *label)
    metric = tmp_path / "metric.npz"
    run("fit", train, *label, "--method", "euclidean", "--scaling", "minmax", "--out", metric)
    turned = write_csv(tmp_path / "turned.csv", X_train[:, ::-1], y_train, ("age", "girth", "height"))
    assert "feature 1 is 'age', but" in refusal("certify", turned, test, *label, "--metric", metric)
    wide = write_csv(tmp_path / "wide.csv", np.c_[X_train, X_train[:, 0]], y_train, ("height", "girth", "age", "more"))
    assert "has 4 features, the metric is for 3" in refusal("certify", wide, wide, *label, "--metric", metric)
    learned = refusal("certify", train, test, *label, "--metric", metric, "--scaling", "none")
    assert "learned on features with --scaling minmax" in learned
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(metric.read_bytes()[:100])
    assert "cannot read a learner from" in refusal("certify", train, test, *label, "--metric", damaged)


def test_a_learner_without_a_metric_is_exit_code_1(data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: MetricLearner, X: object, y: object) -> MetricLearner:
        raise LearningError("lfda gave a complex transformation")

    monkeypatch.setattr(MetricLearner, "fit", fit)
    said = refusal("fit", data[0], *data[2:], "--method", "lfda", "--out", tmp_path / "m.npz", code=1)
    assert said == "error: lfda gave a complex transformation\n" and not (tmp_path / "m.npz").exists()


def test_no_output_is_replaced_unless_forced(data, tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    asked = ("certify", *data, "-k", 3, "--out", rows)
    run(*asked)
    with unchanged(rows):
        assert "exists; give --force" in refusal(*asked)
        run(*asked, "--force")
    with unchanged(Path(data[0])):
        assert "must end with .parquet" in refusal("certify", *data, "--out", data[0], "--force")
    with unchanged(rows):
        assert "already an input or another output" in refusal(*asked, "--certificates", rows, "--force")
        assert "already an input" in refusal("check", *data[:2], rows, *data[2:], "--out", rows, "--force")
    folder = tmp_path / "folder.parquet"
    folder.mkdir()
    assert "cannot be written there" in refusal("certify", *data, "--out", folder, "--force")
    below = tmp_path / "train.csv" / "rows.parquet"
    assert "cannot be written there" in refusal("certify", *data, "--out", below)


def test_an_interrupted_command_loses_no_file_and_ends_with_130(data, tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    run("certify", *data, "-k", 3, "--out", rows)
    script = """
import os, signal, sys, time
import arml.certify.radii
def interrupted(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)
arml.certify.radii.certify_points = interrupted
from arml.cli import main
main()
"""
    arguments = ["certify", *data, "-k", "5", "--out", str(rows), "--force"]
    with unchanged(rows):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr == "interrupted; no output file was left half written\n"


@pytest.mark.parametrize("arguments", [(name, "--help") for name in COMMANDS] + [("--help",)])
def test_help_teaches_by_example(arguments: tuple[str, ...]) -> None:
    said = " ".join(run(*arguments).stdout.split())
    name = arguments[0] if len(arguments) == 2 else "fit"
    assert f"arml {name} " in said and ("Exit codes" in said or len(arguments) == 2)


def test_usage_errors_are_exit_code_2(data) -> None:
    assert "Missing argument" in run("certify", data[0], code=2).stderr
    assert "No such option" in run("certify", *data, "--radius", "3", code=2).stderr
    assert "No such command" in run("prove", code=2).stderr
    assert run("--version").stdout == f"arml {__version__}\n"


def test_help_comes_at_once_and_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "scipy", "sklearn", "pyarrow", "matplotlib", "foolbox")
    script = f"""
import sys
from arml.cli import app
try:
    app(["--help"])
except SystemExit as end:
    print([name for name in {heavy} if name in sys.modules], end.code, file=sys.stderr)
"""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[] 0\n"
    assert spent() - before < 1.0


@pytest.mark.parametrize(("encoding", "said"), [("latin-1", "lower <= radius"), ("utf-8", "lower ≤ radius")])
def test_help_is_readable_in_the_terminals_encoding(encoding: str, said: str) -> None:
    told = subprocess.run(
        command("verify", "--help"), env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=True
    )
    assert said in told.stdout.decode(encoding) and "?" not in told.stdout.decode(encoding)
