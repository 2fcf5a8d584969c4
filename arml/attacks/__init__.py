"""Attacks on Mahalanobis K-NN: upper bounds on robust radii, each verified by the classifier."""

from collections.abc import Callable

from arml.attacks.boundary import boundary_attack, boundary_points
from arml.attacks.geometric import attack_points, geometric_attack
from arml.attacks.query import hopskipjump_attack, hopskipjump_points, pointwise_attack, pointwise_points
from arml.attacks.result import AttackResult

__all__ = [
    "POINT_ATTACKS",
    "AttackResult",
    "boundary_attack",
    "geometric_attack",
    "hopskipjump_attack",
    "pointwise_attack",
]

POINT_ATTACKS: dict[str, Callable[..., AttackResult]] = {
    "geometric": attack_points,
    "boundary": boundary_points,
    "hopskipjump": hopskipjump_points,
    "pointwise": pointwise_points,
}
"""Each attack by name, in the form that takes a prepared training set."""
