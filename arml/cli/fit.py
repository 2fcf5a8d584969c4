"""``arml fit``: learn a metric."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from arml.cli import options
from arml.cli.console import print_json, print_table, progress
from arml.cli.inputs import read_training, remember
from arml.cli.outputs import check_targets

__all__ = ["fit"]


def fit(
    train: options.Train,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", show_default=False, help="Write the metric here; the name ends with .npz."
        ),
    ],
    label: options.Label = "label",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="arml|nca|lmnn|itml|lfda|euclidean",
            help="*arml* learns for robustness; the others are what it is compared with.",
        ),
    ] = "arml",
    param: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--param",
            metavar="NAME=VALUE",
            show_default=False,
            help="A parameter of the method, as often as needed: `-p max_iter=200 -p learning_rate=0.01`.",
        ),
    ] = None,
    seed: options.Seed = 42,
    scaling: options.Scaling = None,
    as_json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Learn a Mahalanobis metric from labelled points.

    The file remembers the method, its parameters, the features' names and their scaling, so that the other commands
    scale alike and refuse other features. An unknown parameter is answered with the list of known ones.

    Exit code 1 means that the method ended without a usable metric.

    `arml fit train.csv --label kind --method arml -p max_iter=500 --scaling minmax --out metric.npz`
    """
    check_targets((out,), (train,), force, (".npz",))
    params = parsed(param or ())
    from arml.learners import make_learner

    learner = make_learner(method, random_state=seed, **params)
    training = read_training(train, label, scaling)
    with progress(f"fit {method} on {len(training.y)} points", None):
        learner.fit(training.X, training.y)
    remember(learner, training)
    learner.save(out)
    facts = learner.fit_summary_
    if as_json:
        print_json({"command": "fit", "fit": facts, "seconds": learner.seconds_, "files": {"metric": str(out)}})
        return
    lines = [
        (name, _shown(facts[name])) for name in ("n_train", "n_features", "rank", "n_iter", "converged", "scaling")
    ]
    lines += [("seconds", f"{learner.seconds_:.2f}"), *(("note", text) for text in facts["notes"])]
    print_table(f"{method}: {out}", ("", "fit"), lines)


def parsed(pairs: Iterable[str]) -> dict[str, Any]:
    """Parameters from NAME=VALUE: numbers, true, false, null and lists as in JSON; anything else is text.

    Raises
    ------
    ValueError
        No "=", no name, or a name twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier():
            raise ValueError(f"-p takes NAME=VALUE, got {pair!r}")
        if name == "random_state":
            raise ValueError("-p random_state: is what --seed gives")
        if name in found:
            raise ValueError(f"-p {name}: comes twice")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = {"True": True, "False": False, "None": None}.get(text, text)
    return found


def _shown(value: Any) -> str:
    return {"True": "yes", "False": "no", "None": "no criterion"}.get(str(value), str(value))
