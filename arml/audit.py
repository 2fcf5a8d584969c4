"""Audit of stored certificates, under its public name; it lives in :mod:`arml.results.audit`."""

from arml.results.audit import audit, audit_rows, join_audits

__all__ = ["audit", "audit_rows", "join_audits"]
