"""The clone in which scheduled reruns work, beside the one that people work in; it shares the DVC cache.

It is ``.studies/scheduled``. Every rerun starts from a commit of this project, never from what lies uncommitted in it;
what git ignores (data, finished parts of a stopped run) stays in the clone from one rerun to the next.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows import layout
from flows.errors import CheckoutError
from flows.processes.commands import dvc_command, outer_environment, stage_environment

BRANCH = "scheduled"  # in this project's repository: a commit for each rerun that changed something
RESULTS = ("dvc.lock", "reports")  # what a rerun changes in tracked files
CLONE = layout.WORKSPACES / BRANCH
_IDENTITY = ("-c", "user.name=arml", "-c", "user.email=arml@localhost", "-c", "commit.gpgsign=false")


def git(*arguments: str, folder: Path | None = None, given: str | None = None) -> str:
    """What a git command prints.

    Raises
    ------
    CheckoutError
        It failed.
    """
    folder = folder or CLONE
    done = subprocess.run(
        ["git", *_IDENTITY, *arguments],
        cwd=folder,
        env=outer_environment(),
        capture_output=True,
        text=True,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
    )
    if done.returncode:
        raise CheckoutError(
            f"git {' '.join(arguments)} failed in {folder}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout.strip()


def dvc(*arguments: str, folder: Path | None = None) -> tuple[int, str]:
    """Exit code of a DVC command, and what it printed."""
    done = subprocess.run(
        dvc_command(*arguments),
        cwd=folder or CLONE,
        env={**stage_environment(), "COLUMNS": "10000"},  # lest it folds what it prints
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.strip()


def resolve(revision: str) -> str:
    """The commit that a revision names now. One of a remote, such as ``origin/main``, is fetched first.

    Raises
    ------
    CheckoutError
        There is no git repository, no such revision, or the remote does not answer.
    """
    remotes = git("remote", folder=layout.ROOT).split()
    remote = revision.partition("/")[0]
    if remote in remotes and remote != revision:
        git("fetch", "-q", remote, folder=layout.ROOT)
    return git("rev-parse", "--verify", "-q", f"{revision}^{{commit}}", folder=layout.ROOT)


def prepare(commit: str) -> Path:
    """Bring the clone to a commit of this project and to its DVC cache and remotes; return its folder.

    What the last rerun has computed counts (its dvc.lock and reports, whether it came to its end or not), unless the
    project has committed other results since.
    """
    if not (CLONE / ".git").is_dir():
        if CLONE.exists():
            shutil.rmtree(CLONE)
        CLONE.parent.mkdir(parents=True, exist_ok=True)
        git("clone", "-q", "--no-checkout", str(layout.ROOT), str(CLONE), folder=layout.ROOT)
    git("fetch", "-q", "--tags", "--force", str(layout.ROOT), "HEAD", "+refs/*:refs/project/*")
    before, left = _lock_of("HEAD"), _left()
    git("checkout", "-q", "--force", "--detach", commit)
    git("clean", "-fdq")  # not what is ignored: data, and parts that a stopped rerun had finished
    if left is not None and before == _lock_of(commit):
        git("checkout", "-q", left, "--", *git("ls-tree", "--name-only", left, *RESULTS).split())
    own, local = layout.ROOT / ".dvc" / "config.local", CLONE / ".dvc" / "config.local"
    local.unlink(missing_ok=True)
    if own.is_file():  # remotes and credentials of this machine
        shutil.copyfile(own, local)
    code, cache = dvc("cache", "dir", folder=layout.ROOT)
    if code == 0:
        code, cache = dvc("cache", "dir", "--local", cache.splitlines()[-1])
    if code != 0:
        raise CheckoutError(f"DVC cannot share its cache with {CLONE}: {cache}")
    for line in dvc("remote", "list", folder=layout.ROOT)[1].splitlines():
        name, address = line.split()[:2]
        if Path(address).is_absolute():  # a folder that the config may name from where it lies itself
            dvc("remote", "modify", "--local", name, "url", address)
    _bring_own()
    return CLONE


def _bring_own() -> None:
    """Bring own files into the clone: as the commit has them where DVC tracks them, else as they lie in the project."""
    here, there = layout.own(), CLONE / "data" / "own"
    if there.is_symlink():
        there.unlink()
    there.mkdir(parents=True, exist_ok=True)
    tracked = [str(file.relative_to(CLONE)) for file in sorted(there.rglob("*.dvc"))]
    if tracked:
        dvc("checkout", "--force", *tracked)  # what is not in the cache, `dvc pull` brings
    for link in [path for path in there.iterdir() if path.is_symlink() and not path.exists()]:
        link.unlink()
    for file in sorted(here.iterdir()) if here.is_dir() else ():
        link = there / file.name
        if not (link.exists() or file.suffix == ".dvc" or (there / f"{file.name}.dvc").exists()):
            link.symlink_to(file, target_is_directory=file.is_dir())


def has_remote() -> bool:
    """Whether DVC knows where to push to."""
    code, name = dvc("config", "core.remote")
    return code == 0 and bool(name)


def commit_results(commit: str, message: Sequence[str]) -> str:
    """Commit what a rerun of `commit` changed in tracked files, on this project's branch `BRANCH`.

    Returns
    -------
    str
        The new commit, whose parents are `commit` and the last of these; `commit` itself where nothing has changed.
    """
    git("add", "-A")
    tree = git("write-tree")
    if tree == git("rev-parse", f"{commit}^{{tree}}"):
        return commit
    parents, last = ["-p", commit], _last()
    if last is not None:
        if tree == git("rev-parse", f"{last}^{{tree}}") and commit in git("rev-list", "--parents", "-n1", last).split():
            return last  # the same again
        parents += ["-p", last]
    made = git("commit-tree", tree, *parents, given="\n".join(message) + "\n")
    git("push", "-q", str(layout.ROOT), f"{made}:refs/heads/{BRANCH}")
    return made


def _last() -> str | None:
    return _object(f"refs/heads/{BRANCH}", layout.ROOT)


def _left() -> str | None:
    """The clone's files as the last rerun left them, as git names the tree; None if no result is among them."""
    if not (CLONE / "dvc.lock").is_file():
        return None
    git("add", "-A")
    return git("write-tree")


def _lock_of(commit: str) -> str | None:
    """The dvc.lock of a commit, as git names it; None if it has none."""
    return _object(f"{commit}:dvc.lock", CLONE)


def _object(name: str, folder: Path) -> str | None:
    try:
        return git("rev-parse", "--verify", "-q", name, folder=folder)
    except CheckoutError:
        return None


def repro_command(*arguments: str) -> list[str]:
    """The main command, run by the clone's own code."""
    return [sys.executable, "-m", "flows.repro", *arguments]
