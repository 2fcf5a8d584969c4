"""``dvc repro`` with independent stages side by side, for the main command alone.

DVC runs the stages of a pipeline one after another, though verify, certify and attack of one data set, and all stages
of two, do not need each other. ``python -m flows.processes.sidebyside dvc repro ARGS`` is ``dvc repro ARGS`` in which a
stage begins as soon as those it reads from have ended. Everything that DVC itself does stays one thing at a time, under
DVC's lock of the repository; only the stages' commands overlap. Bytes and dvc.lock are those of ``dvc repro``.

For this private names of DVC are used and replaced, here alone, on versions on which that was tried; on any other (or
where a name is missing) `usable` is False, and it is plain ``dvc repro``. tests/flows/test_private_interfaces.py holds
the contract.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import metadata
from pathlib import Path
from typing import Any

from arml.system.files import write_json
from flows.processes.commands import dvc_command

VARIABLE = "ARML_STAGES_AT_ONCE"  # in the environment of a run: how many stages may run side by side
TRIED = ("3.67",)  # versions of DVC
UNDISTURBED = ("runtime",)  # stages whose result is how long something takes: nothing runs beside them
_PRIVATE = (
    ("dvc.repo.reproduce", "_reproduce"),
    ("dvc.repo.reproduce", "_reproduce_stage"),
    ("dvc.repo.reproduce", "_raise_error"),
    ("dvc.stage.run", "_run"),
    ("dvc.rwlock", "rwlock"),
    ("dvc.dvcfile", "modify_yaml"),
)


def usable() -> bool:
    """Whether the DVC that is installed is one whose stages can be run side by side."""
    if metadata.version("dvc").rpartition(".")[0] not in TRIED:
        return False
    return all(hasattr(importlib.import_module(module), name) for module, name in _PRIVATE)


def command(at_once: int, *arguments: str) -> list[str]:
    """``dvc ARGUMENTS``, with up to `at_once` stages side by side where that can be."""
    plain = dvc_command(*arguments)
    return [sys.executable, "-m", "flows.processes.sidebyside", *plain[2:]] if at_once > 1 else plain


def main(arguments: list[str]) -> int:
    """Run a command of DVC; exit code as DVC's."""
    from dvc import cli
    from dvc.repo import reproduce

    sys.argv = list(arguments)  # what DVC calls itself where it says who holds a file
    at_once = int(os.environ.pop(VARIABLE, "1"))  # stages are told it where they have company
    if at_once < 2 or not usable():
        return int(cli.main(arguments[1:]))
    plain = reproduce._reproduce

    def side_by_side(steps: list[Any], graph: Any = None, **options: Any) -> list[Any]:
        usual = _as_usual(steps, graph, options)
        return _reproduce(steps, graph, at_once, options) if usual else list(plain(steps, graph=graph, **options))

    with _replaced(reproduce, "_reproduce", side_by_side):
        # a person's `dvc status` of some seconds may hold the lock just when a stage ends
        return int(cli.main(["--wait-for-lock", *arguments[1:]]))


def several() -> bool:
    """Whether other stages may print where this one does."""
    return VARIABLE in os.environ


def whole_lines() -> None:
    """Have this process, a stage with company, print a line at once: Python unbuffered ends a line apart."""
    for stream in (sys.stdout, sys.stderr):
        if several() and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)


def _as_usual(steps: Sequence[Any], graph: Any, options: Mapping[str, Any]) -> bool:
    """Whether it is the run that is meant here. What DVC's options make of it otherwise is left to DVC."""
    special = any(options.get(name) for name in ("dry", "interactive", "force_downstream", "repro_fn"))
    frozen = any(stage.frozen for stage in steps)  # their inputs do not order them
    return graph is not None and options.get("on_error", "fail") == "fail" and not special and not frozen


def _reproduce(steps: Sequence[Any], graph: Any, at_once: int, options: Mapping[str, Any]) -> list[Any]:
    """In the place of DVC's ``_reproduce``: the stages that ran, in DVC's order."""
    from dvc.repo import reproduce

    needs = {stage: list(graph.successors(stage)) for stage in steps}
    passed = {name: value for name, value in options.items() if name not in ("on_error", "force_downstream")}
    ran: list[Any] = []
    with _turns(steps, at_once) as turn:

        def run(stage: Any) -> None:
            with turn(stage):
                if ran:
                    reproduce.logger.info("")
                if reproduce._reproduce_stage(stage, upstream=needs[stage], **passed):
                    ran.append(stage)

        failed = schedule(
            steps, needs, run, at_once, lambda stage: str(stage.addressing).partition("@")[0] in UNDISTURBED
        )
    for _, error in failed[:-1]:
        reproduce.logger.warning("%s", error)
    if failed:  # the last: its own error is the last that was printed
        stage, error = failed[-1]
        reproduce._raise_error(error, stage)
    _note(steps[0].repo).unlink(missing_ok=True)
    return [stage for stage in steps if stage in ran]


def schedule(
    steps: Sequence[Any],
    needs: Mapping[Any, Sequence[Any]],
    run: Callable[[Any], None],
    at_once: int,
    undisturbed: Callable[[Any], bool] = lambda step: False,
) -> list[tuple[Any, Exception]]:
    """Call `run` for every step in a thread: in their order, each after all it needs of them, `at_once` at most.

    After a failure nothing new begins, and what runs comes to its end.

    Returns
    -------
    list of (step, Exception)
        Those that failed, in the order in which they did.
    """
    waiting, running = list(steps), dict[Future[None], Any]()
    failed: list[tuple[Any, Exception]] = []

    def ready() -> Iterator[Any]:
        unfinished = {*waiting, *running.values()}
        for step in waiting:
            free = not running or not any(undisturbed(one) for one in (step, *running.values()))
            if free and unfinished.isdisjoint(needs[step]):
                yield step

    with ThreadPoolExecutor(at_once, thread_name_prefix="stage") as pool:
        while True:
            while not failed and len(running) < at_once and (step := next(ready(), None)) is not None:
                waiting.remove(step)
                running[pool.submit(run, step)] = step
            if not running:
                return failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step, error = running.pop(future), future.exception()
                if isinstance(error, Exception):
                    failed.append((step, error))
                elif error is not None:
                    raise error


@contextlib.contextmanager
def _turns(steps: Sequence[Any], at_once: int) -> Iterator[Callable[[Any], contextlib.AbstractContextManager[None]]]:
    """Make DVC's own work one thing at a time.

    Yields a context in which a thread does what DVC does for a stage: no other thread is in one, and DVC's lock of the
    repository is held, except while the stage's command runs. DVC itself opens that lock around the command.
    """
    from dvc import dvcfile, rwlock
    from dvc.stage import run

    lock, mutex, current = steps[0].repo.lock, threading.Lock(), threading.local()

    @contextlib.contextmanager
    def turn(stage: Any) -> Iterator[None]:
        with mutex, lock:
            current.name = stage.addressing
            yield

    run_command, lock_files = run._run, rwlock.rwlock

    def outside(*arguments: Any, env: Mapping[str, str], **options: Any) -> None:
        mutex.release()
        try:
            run_command(*arguments, env={**env, VARIABLE: str(at_once)}, **options)
        finally:
            mutex.acquire()

    def of_stage(folder: Any, fs: Any, command: str, *arguments: Any) -> Any:
        # who holds a file is a process and a command: were it one for all stages, the first to end would let go for all
        return lock_files(folder, fs, f"{command} ({current.name})", *arguments)

    lock.unlock()
    try:
        with (
            _replaced(run, "_run", outside),
            _replaced(rwlock, "rwlock", of_stage),
            _replaced(
                dvcfile,
                "modify_yaml",
                _in_order(dvcfile.modify_yaml, [stage.addressing for stage in steps], _note(steps[0].repo)),
            ),
        ):
            yield turn
    finally:
        lock.lock()


def _in_order(modify: Callable[..., Any], names: Sequence[str], note: Path) -> Callable[..., Any]:
    """DVC's way to change a YAML file, with the entries that are new in dvc.lock kept in the order of `names`.

    New is what was not there when the last run that came to its end began: `note` tells it to the run after one that
    was stopped, unless something else has changed dvc.lock since.
    """

    @contextlib.contextmanager
    def ordered(path: str, fs: Any = None) -> Iterator[Any]:
        with modify(path, fs=fs) as data:
            stages = data.get("stages", {})
            old = _noted(note, list(stages))
            yield data
            stages = data["stages"]
            for name in names:
                if name in stages and name not in old:
                    stages[name] = stages.pop(name)  # to the end
            write_json(note, {"old": old, "now": list(stages)})

    return ordered


def _note(repo: Any) -> Path:
    return Path(repo.tmp_dir) / "arml.lock-order.json"


def _noted(note: Path, now: list[str]) -> list[str]:
    """Entries of dvc.lock that are not new, where it has those of `now`."""
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(note.read_text(encoding="utf-8"))
        if kept["now"] == now:
            return list(kept["old"])
    return now


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
