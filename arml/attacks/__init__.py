"""Attacks on Mahalanobis K-NN: upper bounds on robust radii, each verified by the classifier."""

from arml.attacks.boundary import boundary_attack
from arml.attacks.result import AttackResult

__all__ = ["AttackResult", "boundary_attack"]
