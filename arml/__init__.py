"""Provably robust metric learning: Mahalanobis metrics, exact robust radii, certificates and attacks for K-NN.

Importing this package costs next to nothing: each name is imported when it is first used, and torch, foolbox and
metric-learn by what needs them, when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

if TYPE_CHECKING:
    from arml.attacks import boundary_attack, geometric_attack
    from arml.certify.radii import certified_radii
    from arml.curves import robust_error
    from arml.errors import ArmlError, DataError
    from arml.estimator.classifier import MahalanobisKNN
    from arml.intervals.radii import radius_intervals
    from arml.knn.mahalanobis import MahalanobisMetric
    from arml.learners import ARML, ITML, LFDA, LMNN, NCA, Euclidean, load_learner
    from arml.prototypes.estimator import RobustPrototypes
    from arml.verify.radii import exact_radii

__version__ = "0.2.0"

_HOMES = {
    "ARML": "arml.learners",
    "ArmlError": "arml.errors",
    "DataError": "arml.errors",
    "Euclidean": "arml.learners",
    "ITML": "arml.learners",
    "LFDA": "arml.learners",
    "LMNN": "arml.learners",
    "MahalanobisKNN": "arml.estimator.classifier",
    "MahalanobisMetric": "arml.knn.mahalanobis",
    "NCA": "arml.learners",
    "RobustPrototypes": "arml.prototypes",
    "boundary_attack": "arml.attacks",
    "certified_radii": "arml.certify",
    "exact_radii": "arml.verify",
    "geometric_attack": "arml.attacks",
    "load_learner": "arml.learners",
    "radius_intervals": "arml.intervals",
    "robust_error": "arml.curves",
}
__all__ = [
    "ARML",
    "ITML",
    "LFDA",
    "LMNN",
    "NCA",
    "ArmlError",
    "DataError",
    "Euclidean",
    "MahalanobisKNN",
    "MahalanobisMetric",
    "RobustPrototypes",
    "__version__",
    "boundary_attack",
    "certified_radii",
    "exact_radii",
    "geometric_attack",
    "load_learner",
    "radius_intervals",
    "robust_error",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
