"""Private names of multiprocessing, Ray and DVC: there where they are used, and what happens where they are not.

If one of these fails after an update of Python, Ray or DVC, look in its sources where the name went, adapt
flows/processes/forkserver.py, flows/runners/ray.py or flows/processes/sidebyside.py, run tests/flows/test_warm.py,
tests/flows/test_sidebyside.py and the integration tests of runners, and add the version to TRIED.
"""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import multiprocessing.forkserver
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from flows.errors import ClusterError
from flows.processes import forkserver, sidebyside, warm
from flows.runners import ray as ray_runner
from flows.runners.processes import ProcessRunner


def test_the_fork_server_can_be_shared_on_every_version_that_is_supported() -> None:
    linux = sys.platform == "linux"  # elsewhere none is shared
    assert sys.version_info[:2] in forkserver.TRIED and forkserver.usable() == linux
    assert warm.command(["dvc"])[1:] == (["-m", "flows.processes.warm", "dvc"] if linux else [])


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(sys, "platform", "darwin"),
        lambda patch: patch.setattr(forkserver, "TRIED", ((3, 10),)),
        lambda patch: patch.delattr(multiprocessing.forkserver, "_forkserver"),
        lambda patch: patch.setattr(multiprocessing.forkserver, "_forkserver", SimpleNamespace(ensure_running=None)),
    ],
    ids=["system", "version", "handle", "fields"],
)
def test_the_plain_way_is_taken_where_it_cannot(monkeypatch: pytest.MonkeyPatch, change) -> None:
    monkeypatch.setenv(warm.VARIABLE, f'{{"address": "nowhere", "code": "{warm._code()}"}}')
    change(monkeypatch)
    assert not forkserver.usable()
    assert warm.command(["dvc", "repro"]) == ["dvc", "repro"] and warm.run("flows.stage", ["verify"]) is None


def test_a_pool_that_does_not_tell_its_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = multiprocessing.get_context("fork")
    monkeypatch.setattr(warm, "_address", "somewhere")
    monkeypatch.setattr(forkserver, "attach", {"somewhere": shared}.__getitem__)
    with ProcessRunner(max_workers=1) as runner:
        assert runner._executor._mp_context is shared
    monkeypatch.setattr("flows.runners.processes._replaceable", lambda pool: False)
    with ProcessRunner(max_workers=1) as runner:
        assert runner._executor._mp_context.get_start_method() == "spawn"


def test_ray_tells_where_a_cluster_is() -> None:
    services = pytest.importorskip("ray._private.services")
    assert callable(services.canonicalize_bootstrap_address), ray_runner._found.__doc__


def test_without_rays_private_name_the_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pytest.importorskip("ray._private.services"), "canonicalize_bootstrap_address")
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert ray_runner._found() == "ray://head:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(ClusterError, match="export RAY_ADDRESS"):
        ray_runner._found()


def test_stages_can_run_side_by_side_with_the_dvc_that_is_pinned() -> None:
    from dvc.repo import reproduce
    from dvc.stage import decorators, run

    assert sidebyside.usable()
    taken = inspect.signature(reproduce._reproduce).parameters
    assert list(taken)[:2] == ["stages", "graph"] and set(taken) - {"stages", "graph", "kwargs"} == {
        *("force_downstream", "on_error", "force", "repro_fn"),
    }
    assert list(inspect.signature(run._run).parameters) == ["executable", "cmd", "kwargs"]
    # what is replaced in a module is looked up there when it is used
    assert "dvc.rwlock import rwlock" in inspect.getsource(decorators)
    assert "_run(executable, cmd, **kwargs)" in inspect.getsource(run.cmd_run)


@pytest.mark.parametrize(
    "change",
    [lambda patch: patch.setattr(metadata, "version", lambda _name: "3.99.0")]
    + [
        lambda patch, module=module, name=name: patch.delattr(importlib.import_module(module), name)
        for module, name in sidebyside._PRIVATE
    ],
    ids=["version", *(name for _, name in sidebyside._PRIVATE)],
)
def test_plain_dvc_repro_runs_where_they_cannot(monkeypatch: pytest.MonkeyPatch, change) -> None:
    called = []
    monkeypatch.setattr("dvc.cli.main", lambda arguments: called.append(arguments) or 7)
    monkeypatch.setenv(sidebyside.VARIABLE, "2")
    monkeypatch.setattr(sys, "argv", [])
    change(monkeypatch)
    assert not sidebyside.usable()
    assert sidebyside.main(["dvc", "repro", "-f"]) == 7 and called == [["repro", "-f"]]
    assert sidebyside.command(1, "repro")[1:] == ["-m", "dvc", "repro"]
