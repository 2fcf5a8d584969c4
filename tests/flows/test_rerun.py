"""What a scheduled rerun says of a DVC command that failed."""

from __future__ import annotations

import pytest

from flows.rerun import _last_line

PULL = """1 file fetched
WARNING: Some of the cache files do not exist neither locally nor on remote. Missing cache files:
md5: 0123
ERROR: failed to pull data from the cloud - Checkout failed for following targets:
data/results/toy/exact.parquet
data/results/toy/tightened.parquet
Is your cache up to date?
<https://error.dvc.org/missing-files>
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (PULL, "failed to pull data from the cloud - Checkout failed for following targets: "
               "data/results/toy/exact.parquet data/results/toy/tightened.parquet"),
        ("ERROR: no remote", "no remote"),
        ("one\ntwo", "two"),
        ("", "it printed nothing"),
    ],
)  # fmt: skip
def test_the_files_that_a_pull_could_not_bring_are_named(said: str, told: str) -> None:
    assert _last_line(said) == told
