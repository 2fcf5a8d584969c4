"""Functions of foolbox and metric-learn that arml runs with other globals are still what it takes them for.

Where one of these fails after an update: read the function in the new version. If what is replaced only moved or has a
new name, adapt the caller named here and this table; if the algorithm changed, its results are other ones: keep the
version in constraints.txt and say so in CHANGELOG.md.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest

from arml.system.rebuilt import ChangedLibraryError, rebuilt, rebuilt_methods

USED = {
    # caller: (module, function or class, its parameters, what is replaced)
    "arml.attacks.boundary": (
        "foolbox.attacks.boundary_attack",
        "BoundaryAttack.run",
        ["self", "model", "inputs", "criterion", "early_stop", "starting_points", "kwargs"],
        {"draw_proposals": ["bounds", "originals", "perturbed", "unnormalized_source_directions",
                            "source_directions", "source_norms", "spherical_steps", "source_steps"]},
    ),
    "arml.learners.classical (nca)": (
        "metric_learn.nca", "NCA.fit", ["self", "X", "y"],
        {"minimize": None},
    ),
    "arml.learners.classical (lfda)": (
        "metric_learn.lfda", "LFDA.fit", ["self", "X", "y"],
        {"_eigh": ["a", "b", "dim"]},
    ),
}  # fmt: skip
CLASSES = {
    "arml.attacks.query (hopskipjump)": ("foolbox.attacks.hop_skip_jump", "HopSkipJumpAttack", {"ep", "np"}),
    "arml.attacks.query (pointwise)": ("foolbox.attacks.pointwise", "PointwiseAttack", {"ep", "np"}),
}


def found(module: str, name: str) -> Any:
    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize("caller", USED)
def test_a_function_that_is_rebuilt_is_the_one_expected(caller: str) -> None:
    importlib.import_module("foolbox")
    module, name, parameters, replaced = USED[caller]
    function = found(module, name)
    remedy = f"{module}.{name}, rebuilt by {caller}, has changed: see this file's head"
    assert list(inspect.signature(function).parameters) == parameters, remedy
    rebuilt(function, **dict.fromkeys(replaced))
    for global_name, expected in replaced.items():
        assert global_name in function.__globals__, remedy
        if expected is not None:
            assert list(inspect.signature(function.__globals__[global_name]).parameters) == expected, remedy


@pytest.mark.parametrize("caller", CLASSES)
def test_a_class_that_is_rebuilt_looks_up_its_tensors_and_numbers(caller: str) -> None:
    importlib.import_module("foolbox")
    module, name, replaced = CLASSES[caller]
    kind = found(module, name)
    assert "run" in rebuilt_methods(kind, **dict.fromkeys(replaced))
    assert replaced <= vars(importlib.import_module(module)).keys()


def scale(values, *, by=2):
    return [np.multiply(by, value) for value in values]


class Thing:
    def double(self, value):
        return [np.add(one, one) for one in (value,)]

    def plain(self):
        return 1


def test_the_copy_finds_what_it_is_given_and_the_original_what_it_had():
    class Other:
        @staticmethod
        def multiply(left, right):
            return ("times", left, right)

    copy = rebuilt(scale, np=Other)
    assert copy([3]) == [("times", 2, 3)] and copy([3], by=5) == [("times", 5, 3)]
    assert scale([3]) == [6]


def test_methods_of_a_class_are_rebuilt_together():
    class Other:
        @staticmethod
        def add(left, right):
            return "sum"

    methods = rebuilt_methods(Thing, np=Other)
    assert methods["double"](Thing(), 1) == ["sum"] and methods["plain"](Thing()) == 1
    assert Thing().double(1) == [2]


def test_a_name_that_is_not_looked_up_is_an_error_that_says_what_to_do():
    with pytest.raises(
        ChangedLibraryError, match=r"test_rebuilt\.scale was expected to look up gone.*constraints\.txt"
    ):
        rebuilt(scale, gone=1)
    with pytest.raises(ChangedLibraryError, match=r"Thing was expected to look up gone"):
        rebuilt_methods(Thing, np=np, gone=1)
    with pytest.raises(ChangedLibraryError, match="no plain Python function"):
        rebuilt(len, np=np)
