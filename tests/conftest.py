"""Settings shared by all tests: one thread a BLAS, Hypothesis without a clock and, by default, without chance.

`make test` draws the same examples every time. `make nightly` draws others, by a seed that it prints
(``--hypothesis-profile nightly --hypothesis-seed N``).
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

for _profile, _fixed in (("arml", True), ("nightly", False)):
    settings.register_profile(
        _profile, deadline=None, derandomize=_fixed, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("arml")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=8, help="kills injected into the toy study (make faults: 60)")
    parser.addoption("--fault-seed", type=int, default=1, help="of their moments, victims and signals")
