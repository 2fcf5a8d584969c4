"""A Prefect server for each worker and one finished toy study for all integration tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from workspace import ROOT, Workspace, base_environment, clone

from flows.workspaces.study import merge

STUDY = ("test_faults", "test_injected_faults", "test_toy_study")
_SERVER = """
import sys
from flows.processes import server as _server
print(_server.ensure_server(), flush=True)
sys.stdin.read()
_server.release()
"""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Integration tests in two workers at most; `make test` runs those that look at one finished study."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("study" if item.path.stem in STUDY else "more"))
            if item.path.stem != "test_toy_study" or "study" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.pipeline)


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
def finished(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, home: Path, server: str
) -> tuple[Workspace, str]:
    """A workspace whose toy study is done and committed, and what the run printed. Not to be changed.

    One for all workers of pytest: the first to ask for it makes it.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "study"
    folder.mkdir(exist_ok=True)
    environment = {**base_environment(home), "PREFECT_API_URL": server}
    printed, project = folder / "printed", folder / "project"
    with FileLock(folder / "lock"):
        if not printed.exists():
            shutil.rmtree(project, ignore_errors=True)  # of a worker that has failed
            workspace = clone(project, environment, toy_params())
            output = workspace.repro()
            workspace.commit("results")
            printed.write_text(output)
    return Workspace(project, environment), printed.read_text()


@pytest.fixture
def study(finished: tuple[Workspace, str], tmp_path: Path) -> Workspace:
    """A copy of the finished study to do things to."""
    return finished[0].copy(tmp_path / "project")


@pytest.fixture
def home_of_its_own(home: Path, server: str, tmp_path: Path) -> Path:
    """PREFECT_HOME of runs that start a server of their own: a copy, since making its database takes a while."""
    copied = tmp_path / "home"
    shutil.copytree(home, copied, ignore=shutil.ignore_patterns("server*", "owners"))
    return copied
