"""Where everything lies: the only place that knows the folders of the study."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PREFECT_HOME = Path(os.environ.get("PREFECT_HOME") or ROOT / ".prefect")
PARAMS = ROOT / "params.yaml"
DATA = ROOT / "data"
REPORTS = ROOT / "reports"
STUDIES = ROOT / "flows" / "studies"
WORKSPACES = ROOT / ".studies"

RESULT_FILES = {
    "verify": "exact.parquet",
    "certify": "certified.parquet",
    "attack": "attacked.parquet",
    "tighten": "tightened.parquet",
}
NETWORK_RESULT_FILES = {"certify_networks": "networks.parquet", "attack_networks": "networks_attacked.parquet"}
PROOFS = {"verify": "exact", "certify": "certified"}


def raw(dataset: str) -> Path:
    return DATA / "raw" / dataset


def own() -> Path:
    """Where people put their own data files (source: file)."""
    return DATA / "own"


def train_split(dataset: str) -> Path:
    return DATA / "processed" / dataset / "train.parquet"


def test_split(dataset: str) -> Path:
    return DATA / "processed" / dataset / "test.parquet"


def metric(dataset: str, method: str) -> Path:
    return DATA / "metrics" / dataset / f"{method}.parquet"


def network(dataset: str, name: str) -> Path:
    return DATA / "networks" / dataset / f"{name}.parquet"


def model(dataset: str, stage: str, method: str) -> Path:
    """What a stage of many test points asks about them: a network or a metric."""
    return (network if stage in NETWORK_RESULT_FILES else metric)(dataset, method)


def result(dataset: str, stage: str) -> Path:
    return DATA / "results" / dataset / {**RESULT_FILES, **NETWORK_RESULT_FILES}[stage]


def certificates(dataset: str, stage: str) -> Path:
    """What proves the results of a stage of PROOFS, a file a part."""
    return DATA / "certificates" / dataset / PROOFS[stage]


def checked(dataset: str) -> Path:
    """The verdicts on certificates."""
    return DATA / "results" / dataset / "checked.parquet"


def work(dataset: str, stage: str) -> Path:
    """Task records of a stage, in ``records/``, and its part files where they are not results themselves."""
    return DATA / "work" / dataset / stage


def parts(dataset: str, stage: str) -> Path:
    """Where a stage of many test points leaves its parts."""
    return certificates(dataset, stage) if stage in PROOFS else work(dataset, stage)


def timings(dataset: str, stage: str) -> Path:
    return DATA / "timings" / dataset / f"{stage}.parquet"


def trials(dataset: str) -> Path:
    """Running times of the fits of §4.4."""
    return timings(dataset, "runtime")


def scratch(dataset: str, stage: str) -> Path:
    """Measured times of parts until their stage ends: outside data/, since times differ from run to run."""
    return ROOT / ".prefect" / "parts" / dataset / stage


def relative(path: Path) -> str:
    """The path as records and messages name it: from the root, with forward slashes."""
    return path.resolve().relative_to(ROOT).as_posix()
