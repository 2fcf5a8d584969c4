"""A temporary clone of this project in which tests run real studies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROOMS = ("raw", "processed", "metrics", "results")  # what equal runs make equal, byte for byte
COMPUTED = (*ROOMS, "networks", "certificates", "work")  # and runs with equal parts


def git(*arguments: str, cwd: Path) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


@dataclass(frozen=True)
class Workspace:
    """A project folder and the environment its commands run in."""

    path: Path
    environment: dict[str, str]

    def start(self, *command: str, **changes: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own; outputs are joined."""
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**self.environment, **changes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, code: int = 0, timeout: float = 400, **changes: str) -> str:
        """Run a command to its end, expect its exit code, return what it printed."""
        process = self.start(*command, **changes)
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            if process.poll() is None:
                process.kill()
        assert process.returncode == code, f"{command} ended with {process.returncode}:\n{output}"
        return output

    def stage(self, name: str, *arguments: str, code: int = 0, **changes: str) -> str:
        return self.run(sys.executable, "-m", "flows", name, *arguments, code=code, **changes)

    def repro(self, *arguments: str, code: int = 0, **changes: str) -> str:
        return self.run(sys.executable, "-m", "flows.repro", *arguments, code=code, **changes)

    def dvc(self, *arguments: str, code: int = 0, **changes: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, code=code, **changes)

    def commit(self, message: str) -> None:
        git("add", "-A", cwd=self.path)
        git("commit", "-q", "--allow-empty", "-m", message, cwd=self.path)

    def params(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.path / "params.yaml").read_text()))

    def set_params(self, params: dict[str, Any]) -> None:
        (self.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def copy(self, target: Path) -> Workspace:
        """An independent copy, DVC's cache included."""
        shutil.copytree(self.path, target, symlinks=True)
        return Workspace(target, self.environment)

    def hashes(self, *folders: str) -> dict[str, str]:
        """SHA-256 of every file below folders (of the workspace), by path."""
        found = {}
        for folder in folders:
            for file in sorted((self.path / folder).rglob("*")):
                if file.is_file() and file.name != "README.md":  # what git keeps of a folder that may be empty
                    found[file.relative_to(self.path).as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def empty(self) -> None:
        """Make it as it was cloned: nothing computed, nothing in DVC's cache."""
        for room in (*(f"data/{room}" for room in COMPUTED), "data/timings", "reports", ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.path / room, ignore_errors=True)
        (self.path / "dvc.lock").unlink(missing_ok=True)
        git("checkout", "-q", "--", "data", cwd=self.path)  # what git keeps of a folder that may be empty

    def computed_hashes(self) -> dict[str, str]:
        """Of all that a study computes, its finished parts included."""
        return self.hashes(*(f"data/{room}" for room in COMPUTED))

    def study_hashes(self) -> dict[str, str]:
        return self.hashes(*(f"data/{room}" for room in ROOMS))


def clone(target: Path, environment: dict[str, str], params: dict[str, Any]) -> Workspace:
    """Clone HEAD, lay the working tree's files over it, set params, commit."""
    git("clone", "-q", "--no-hardlinks", str(ROOT), str(target), cwd=ROOT)
    listed = git("ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith("reports/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    for name in git("ls-files", "-z", "reports", "dvc.lock", cwd=target).split("\0"):
        if name:
            (target / name).unlink()
    workspace = Workspace(target, environment)
    workspace.set_params(params)
    workspace.commit("toy study")
    return workspace


def base_environment(home: Path) -> dict[str, str]:
    """This process's environment without what would lead a study elsewhere."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PREFECT_", "DVC_", "ARML_", "PYTEST_", "COV_")) and k != "PYTHONPATH"
    }
    return {**kept, "PREFECT_HOME": str(home), "PATH": f"{BIN}{os.pathsep}{kept.get('PATH', '')}"}


def asked(url: str, path: str, body: dict[str, Any]) -> Any:
    """What a Prefect server answers."""
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
