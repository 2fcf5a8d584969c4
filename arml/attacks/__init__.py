"""Attacks on Mahalanobis K-NN: upper bounds on robust radii, each verified by the classifier."""

from arml.attacks.boundary import boundary_attack
from arml.attacks.geometric import geometric_attack
from arml.attacks.query import hopskipjump_attack, pointwise_attack
from arml.attacks.result import AttackResult

__all__ = ["AttackResult", "boundary_attack", "geometric_attack", "hopskipjump_attack", "pointwise_attack"]
