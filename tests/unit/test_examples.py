"""Every example in a docstring runs and gives what it says; what people call first has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import arml

FINDER = doctest.DocTestFinder(exclude_empty=True)
ENTRY_POINTS = (
    "arml.ARML",
    "arml.MahalanobisKNN",
    "arml.MahalanobisKNN.attack",
    "arml.MahalanobisKNN.certify",
    "arml.MahalanobisKNN.robust_error",
    "arml.MahalanobisKNN.verify",
    "arml.MahalanobisMetric",
    "arml.RobustPrototypes",
    "arml.boundary_attack",
    "arml.certified_radii",
    "arml.check.CertificateChecker",
    "arml.datasets.load",
    "arml.exact_radii",
    "arml.geometric_attack",
    "arml.learners.make_learner",
    "arml.load_learner",
    "arml.networks.NetworkClassifier",
    "arml.networks.SmoothedClassifier",
    "arml.networks.certified_radii",
    "arml.prototypes.load_prototypes",
    "arml.radius_intervals",
    "arml.robust_error",
)


def found() -> list[doctest.DocTest]:
    names = [info.name for info in pkgutil.walk_packages(arml.__path__, "arml.")]
    modules = [importlib.import_module(name) for name in ("arml", *names) if not name.endswith("__main__")]
    return [test for module in modules for test in FINDER.find(module) if test.examples]


EXAMPLES = found()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_example_gives_what_it_says(example: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner().run(example, out=said.append)
    assert result.attempted and not result.failed, "".join(said)


@pytest.mark.parametrize("path", ENTRY_POINTS)
def test_entry_point_has_an_example(path: str) -> None:
    thing = resolved(path)
    assert ">>> " in (inspect.getdoc(thing) or "")
    assert f"{thing.__module__}.{thing.__qualname__}" in {example.name for example in EXAMPLES}


def resolved(path: str) -> Any:
    names = path.split(".")
    for cut in range(len(names) - 1, 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(names[:cut]))
        except ModuleNotFoundError:
            continue
        for name in names[cut:]:
            thing = getattr(thing, name)
        return thing
    raise AssertionError(path)
