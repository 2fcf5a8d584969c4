"""What a cluster's workers must be, and what is said where they are not."""

from __future__ import annotations

import copy
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import layout
from flows.errors import ClusterError
from flows.runners import cluster
from flows.runners.cluster import require_fit, require_reachable, require_root, visitor

python = ".".join(platform.python_version_tuple()[:2])
SERVER = "http://127.0.0.1:4200/api"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of its own."""
    monkeypatch.setattr(layout, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def fit(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a worker tells that can run this project's tasks."""
    monkeypatch.setattr("flows.processes.server.healthy", lambda url, timeout: url == SERVER)
    with visitor(SERVER) as visit:
        return dict(visit())


def test_a_worker_in_this_environment_is_fit(root: Path, fit: dict[str, Any]) -> None:
    require_fit([fit, copy.deepcopy(fit)], SERVER)
    assert fit["root"] == str(root) and fit["seen"] and not cluster.is_stale(fit)
    assert not list((root / ".prefect").iterdir())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seen": False}, "does not see this project's folder"),
        ({"error": "ModuleNotFoundError: No module named 'prefect'"}, "cannot run this project: ModuleNotFoundError"),
        ({"code": "0" * 64}, "has loaded other code"),
        ({"root": "elsewhere"}, "has loaded other code, of elsewhere"),
        ({"versions": {"python": "3.10"}}, r"has python 3\.10, this machine 3\.1"),
        ({"versions": {"python": python}}, "has no numpy, this machine .*: start it in this environment"),
        ({"server": False}, "does not reach the Prefect server at http.* export PREFECT_API_URL"),
    ],
)
def test_an_unfit_worker_is_named(fit: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ClusterError, match=said) as caught:
        require_fit([fit, fit | changes], SERVER)
    assert fit["host"] in str(caught.value)


def test_other_versions_are_refused(fit: dict[str, Any]) -> None:
    other = copy.deepcopy(fit)
    other["versions"]["numpy"] = "1.0"
    with pytest.raises(ClusterError, match=r"numpy 1\.0, this machine .* results could differ"):
        require_fit([other], SERVER)


def test_a_cluster_without_workers_is_refused() -> None:
    with pytest.raises(ClusterError, match="no worker"):
        require_fit([], SERVER)


def test_a_worker_elsewhere_does_not_see_the_mark(root: Path) -> None:
    with visitor(SERVER) as visit:
        for mark in (root / ".prefect").iterdir():
            mark.unlink()
        assert visit()["seen"] is False


def test_a_task_of_another_folder_is_refused() -> None:
    require_root(str(layout.ROOT))
    with pytest.raises(ClusterError, match="not of elsewhere: restart it"):
        require_root("elsewhere")


def test_the_code_s_digest_sees_every_source(root: Path) -> None:
    assert len(cluster.LOADED) == 64
    (root / "arml" / "sub").mkdir(parents=True)
    (root / "flows").mkdir()
    seen = {cluster.source_digest()}
    for name, text in (("arml/sub/a.py", ""), ("arml/sub/a.py", "x"), ("flows/a.py", "x")):
        (root / name).write_text(text)
        seen.add(cluster.source_digest())
    assert len(seen) == 4


def test_nothing_at_an_address_is_said_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(ClusterError, match=r"nothing answers at tcp://127\.0\.0\.1:1 "):
        require_reachable("tcp://127.0.0.1:1")
    assert time.monotonic() - begun < 15


def test_what_a_killed_process_left_is_ended_and_its_folder_removed(tmp_path: Path) -> None:
    shared, script = tmp_path / "shared", "import subprocess, sys, time; from pathlib import Path;"
    shared.mkdir()
    script += "from flows.processes.watch import leave_nothing; leave_nothing(Path(sys.argv[1]));"
    script += "child = subprocess.Popen(['sleep', '600'], start_new_session=True);"
    script += "print(child.pid, flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(shared)], cwd=layout.ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    left = psutil.Process(int(process.stdout.readline()))
    time.sleep(3)  # to be seen
    process.kill()
    process.communicate()
    psutil.wait_procs([left], timeout=60)
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    limit = time.monotonic() + 60
    while shared.exists() and time.monotonic() < limit:
        time.sleep(0.1)
    assert not shared.exists()
