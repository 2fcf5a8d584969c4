"""Which commit the code and the parameters of a run are, as far as git knows."""

from __future__ import annotations

import os
import subprocess

from flows import layout

MEANT = (":/arml", ":/flows", ":/dvc.yaml", ":/params.yaml")
VARIABLE = "ARML_COMMIT"  # set by the main command: a study's workspace is a copy of the code as it was then


def of_code() -> str:
    """The last commit that changed code or params (not the one of HEAD: reports that are committed name no other).

    "… with uncommitted changes" where the checkout differs from it; "" without git.
    """
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    commit = _git("log", "-1", "--format=%h", "--abbrev=12", "--", *MEANT)
    if not commit:
        return ""
    changed = _git("status", "--porcelain", "--", *MEANT)
    return f"{commit} with uncommitted changes" if changed else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=layout.ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
