"""Every public name says what it takes, gives and raises."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import arml

MODULES = sorted(info.name for info in pkgutil.walk_packages(arml.__path__, "arml.") if ".cli" not in info.name)
USED_BY_PEOPLE = (
    "arml.attacks.boundary",
    "arml.attacks.geometric",
    "arml.attacks.gradient",
    "arml.attacks.query",
    "arml.certify",
    "arml.check",
    "arml.curves",
    "arml.datasets",
    "arml.estimator.classifier",
    "arml.intervals",
    "arml.learners",
    "arml.learners.base",
    "arml.knn.mahalanobis",
    "arml.networks.bounds",
    "arml.networks.classifier",
    "arml.networks.smoothing",
    "arml.knn.reference",
    "arml.prototypes",
    "arml.prototypes.estimator",
    "arml.prototypes.loading",
    "arml.prototypes.persistence",
    "arml.estimator.robustness",
    "arml.estimator.scaling",
    "arml.validation",
    "arml.verify",
)
# parts for other modules: what their methods take is said by the classes' own attributes
INTERNAL = {"Search", "around_point", "ReferenceSet"}
_SAME_AS = re.compile(r"^:func:|[Pp]arameters\b[^.]*\b(are those of|as in)|^Others are those of", re.MULTILINE)


def own_public(module: str) -> Iterator[tuple[str, Any]]:
    """Functions and classes that the module defines and names in its __all__, and the classes' public methods."""
    home = importlib.import_module(module)
    for name in getattr(home, "__all__", ()):
        thing = getattr(home, name)
        if getattr(thing, "__module__", None) != module or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        yield name, thing
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                value = getattr(value, "fget", value)
                value = getattr(value, "__func__", value)
                if not attribute.startswith("_") and inspect.isfunction(value):
                    yield f"{name}.{attribute}", value


def parameters(function: Any) -> list[str]:
    return [p for p in inspect.signature(function).parameters if p not in ("self", "cls") and not p.startswith("_")]


def raises_itself(function: Any) -> bool:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def complaints(name: str, thing: Any) -> Iterator[str]:
    """What the docstring leaves open."""
    doc = inspect.getdoc(thing) or ""
    if inspect.isclass(thing):
        if "__init__" in vars(thing):
            yield from (f"{name}: {p}" for p in parameters(thing.__init__) if not re.search(rf"\b{p}\b", doc))
        return
    if raises_itself(thing) and not re.search(r"Raises\n---|Error|[Ee]rrors", doc):
        yield f"{name}: says nothing of the errors it raises"
    if _SAME_AS.search(doc):
        return
    named = [p for p in parameters(thing) if not re.search(rf"\b{re.escape(p)}\b", doc)]
    if named:
        yield f"{name}: says nothing of {', '.join(named)}"
    silent = inspect.signature(thing).return_annotation == "None" or doc.startswith("Return")
    if "Parameters\n---" in doc and not silent and not re.search(r"Returns\n---|Yields\n---", doc):
        yield f"{name}: no Returns"


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_has_a_docstring(module: str) -> None:
    assert importlib.import_module(module).__doc__
    missing = [name for name, thing in own_public(module) if not inspect.getdoc(thing)]
    assert not missing


@pytest.mark.parametrize("module", USED_BY_PEOPLE)
def test_what_people_use_names_parameters_result_and_errors(module: str) -> None:
    found = ((name, thing) for name, thing in own_public(module) if name.split(".")[0] not in INTERNAL)
    assert not [complaint for name, thing in found for complaint in complaints(name, thing)]


def test_the_package_exports_what_its_modules_have() -> None:
    for name in arml.__all__:
        assert getattr(arml, name) is not None, name
    assert set(dir(arml)) >= set(arml.__all__)


FUNCTIONS = {
    "arml.verify.exact_radii": "M",
    "arml.certify.certified_radii": "M n_neighbors bound",
    "arml.certify.certificates": "M n_neighbors bound",
    "arml.intervals.radius_intervals": "M n_neighbors",
    "arml.attacks.geometric_attack": "M n_neighbors",
    "arml.attacks.boundary_attack": "M n_neighbors",
    "arml.attacks.hopskipjump_attack": "M n_neighbors",
    "arml.attacks.pointwise_attack": "M n_neighbors",
}
PREPARED = {
    "arml.verify.verify_points": "",
    "arml.certify.certify_points": "n_neighbors bound",
    "arml.intervals.interval_points": "n_neighbors",
    "arml.attacks.geometric.attack_points": "n_neighbors",
    "arml.attacks.boundary.boundary_points": "n_neighbors",
    "arml.attacks.query.hopskipjump_points": "n_neighbors",
    "arml.attacks.query.pointwise_points": "n_neighbors",
}


def function(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("path", [*FUNCTIONS, *PREPARED])
def test_parameters_come_in_one_order(path: str) -> None:
    """Training set, points, metric and K by position, in this order; everything else by name, with a default."""
    first = "X_train y_train X y" if path in FUNCTIONS else "reference X y"
    rest = FUNCTIONS.get(path) or PREPARED.get(path) or ""
    found = inspect.signature(function(path)).parameters
    assert [n for n, p in found.items() if p.kind is not p.KEYWORD_ONLY] == [*first.split(), *rest.split()]
    assert all(p.default is not p.empty for p in found.values() if p.kind is p.KEYWORD_ONLY)
    if "n_neighbors" in found:
        assert found["n_neighbors"].default == 11
    if "M" in found:
        assert found["M"].default is None


def test_prepared_and_plain_functions_have_the_same_options() -> None:
    plain = ("verify.exact_radii", "certify.certified_radii", "intervals.radius_intervals", "attacks.geometric_attack",
             "attacks.boundary_attack", "attacks.hopskipjump_attack", "attacks.pointwise_attack")  # fmt: skip
    for ours, prepared in zip(plain, PREPARED, strict=True):
        left, right = (inspect.signature(function(path)).parameters for path in (f"arml.{ours}", prepared))
        assert [str(p) for p in left.values() if p.kind is p.KEYWORD_ONLY] == [
            str(p) for p in right.values() if p.kind is p.KEYWORD_ONLY
        ]
