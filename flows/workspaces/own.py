"""Own data files as DVC tracks them: with the .dvc file beside each, it reaches colleagues and experiments."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows import layout
from flows.processes.commands import dvc_command, stage_environment


def files(params: Mapping[str, Any]) -> list[Path]:
    """The own files that params name and that are here."""
    entries = [entry for entry in params["datasets"].values() if entry and entry.get("source") == "file"]
    named = [entry.get(key) for entry in entries for key in ("file", "test_file")]
    return [layout.own() / name for name in dict.fromkeys(named) if name and (layout.own() / name).is_file()]


def track(params: Mapping[str, Any]) -> Iterator[str]:
    """Let DVC track own files that it does not know, and say so; without git there is nobody to bring them to."""
    new = [file for file in files(params) if not file.with_name(f"{file.name}.dvc").exists()]
    if not new or not (layout.ROOT / ".git").exists() or (layout.own()).is_symlink():
        return
    names = [layout.relative(file) for file in new]
    done = subprocess.run(
        dvc_command("add", "--quiet", *names),
        cwd=layout.ROOT,
        env=stage_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:]
        yield f"DVC does not track {', '.join(names)} ({' '.join(last)}): experiments and colleagues go without"
    else:
        pointers = " ".join(f"{name}.dvc" for name in names)
        yield f"DVC tracks {', '.join(names)} now: `git add {pointers}`, and experiments and colleagues have them too"
