"""Results with what proves them, under their public name; they live in :mod:`arml.results.evidence`."""

from arml.results.evidence import certificates_of, checks_table, evidence_table, rejections, results_of

__all__ = ["certificates_of", "checks_table", "evidence_table", "rejections", "results_of"]
