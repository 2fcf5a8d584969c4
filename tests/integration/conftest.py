"""One Prefect server and one finished toy study for all integration tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from workspace import ROOT, Workspace, base_environment, clone

from flows._study import merge

STUDY = ("test_faults", "test_toy_study")
_SERVER = """
import sys
from flows import _server
print(_server.ensure_server(), flush=True)
sys.stdin.read()
_server.release()
"""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Integration tests in two workers at most, half of the time each: those of one share the finished study."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("study" if item.path.stem in STUDY else "more"))


def toy_params() -> dict[str, object]:
    overlay = yaml.safe_load((ROOT / "flows" / "studies" / "toy.yaml").read_text())
    return merge(yaml.safe_load((ROOT / "params.yaml").read_text()), overlay)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PREFECT_HOME of the tests."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[str]:
    """URL of a Prefect server that lives as long as the tests."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        cwd=ROOT,
        env=base_environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    yield holder.stdout.readline().strip()
    holder.communicate("", timeout=60)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, home: Path, server: str) -> tuple[Workspace, str]:
    """A workspace whose toy study is done and committed, and what the run printed. Not to be changed."""
    environment = {**base_environment(home), "PREFECT_API_URL": server}
    workspace = clone(tmp_path_factory.mktemp("study") / "project", environment, toy_params())
    output = workspace.repro()
    workspace.commit("results")
    return workspace, output


@pytest.fixture
def study(finished: tuple[Workspace, str], tmp_path: Path) -> Workspace:
    """A copy of the finished study to do things to."""
    return finished[0].copy(tmp_path / "project")
