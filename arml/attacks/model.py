"""A classifier as foolbox sees it: a model whose output is the decision itself."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

from arml.attacks.forward import Bools, Floats
from arml.system.resources import recorded_warnings

__all__ = ["decision_model", "load_foolbox"]

_loading = threading.Lock()


def load_foolbox() -> None:
    """Import all of foolbox, one thread at a time; what that deprecates is foolbox's affair, and not shown.

    Its modules import each other in a circle: a second thread that asks for one of them meanwhile is given half of it.
    """
    with _loading, recorded_warnings():
        importlib.import_module("foolbox")


def decision_model(decide: Callable[[Floats], Bools]) -> tuple[Any, Any]:
    """foolbox's model and criterion for ``decide``, which says of each row whether it is misclassified.

    The model's bounds are infinite: whoever makes the candidates keeps each row in its own box.
    """
    load_foolbox()
    from eagerpy.astensor import astensor
    from foolbox.criteria import Criterion
    from foolbox.models.base import Model
    from foolbox.types import Bounds

    class Decision(Model):
        @property
        def bounds(self) -> Bounds:
            return Bounds(-float("inf"), float("inf"))

        def __call__(self, inputs: Any) -> Any:
            return astensor(decide(inputs.raw))

    class Decided(Criterion):
        def __repr__(self) -> str:
            return "Decided()"

        def __call__(self, perturbed: Any, outputs: Any) -> Any:
            return outputs

    return Decision(), Decided()
