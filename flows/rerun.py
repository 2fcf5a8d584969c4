"""A scheduled rerun: pull, reproduce, push, in a clone of its own; recorded in git and on Prefect's pages.

It never touches the folder that people work in, nor waits for their runs: the clone shares only the DVC cache. What
fails is named by its stage; what was computed stays, and the next rerun goes on from there.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows import layout, params
from flows.errors import CheckoutError, RerunError
from flows.processes import watch
from flows.processes.commands import run_group, stage_environment
from flows.tasks import artifacts
from flows.workspaces import checkout

LOG = layout.PREFECT_HOME / "rerun.log"  # what the last rerun printed
HISTORY = layout.PREFECT_HOME / "reruns.jsonl"  # a line a rerun
_FAILED = re.compile(r"failed to reproduce '([^']+)'")


@dataclass
class Lineage:
    """What a rerun was made from, and where its results are."""

    revision: str
    commit: str
    began: str
    results: str = ""  # commit that holds dvc.lock and the reports
    stages: list[str] = field(default_factory=list)  # that ran; others were up to date
    data: dict[str, str] = field(default_factory=dict)  # fingerprint by data set
    pulled: str = ""
    pushed: str = ""
    seconds: float = 0.0
    failed: str = ""

    def lines(self) -> list[str]:
        """For people and for the commit's message."""
        said = [
            f"Scheduled rerun of {self.commit[:12]} ({self.revision})",
            "",
            f"began: {self.began}",
            f"stages run: {', '.join(self.stages) or 'none, all were up to date'}",
            *(f"data: {name} {fingerprint}" for name, fingerprint in sorted(self.data.items())),
            f"pulled: {self.pulled}",
        ]
        return said + ([f"failed: {self.failed}"] if self.failed else [])


@flow(name="rerun")
def rerun() -> dict[str, Any]:
    """Reproduce the study at the revision that params.yaml names under ``schedule``.

    Raises
    ------
    RerunError
        Another rerun is at work, or a stage failed.
    CheckoutError
        git or DVC cannot make the clone.
    """
    schedule = params.load_params()["schedule"]
    layout.PREFECT_HOME.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(layout.PREFECT_HOME / "rerun.lock", timeout=0):
            return _rerun(schedule)
    except Timeout:
        raise RerunError("another scheduled rerun is at work here; this one does nothing") from None
    except Exception as error:  # said here too: what serves it prints nothing of a flow
        print(f"[arml] rerun failed: {error}", flush=True)
        raise


def _rerun(schedule: dict[str, Any]) -> dict[str, Any]:
    begun = time.monotonic()
    commit = checkout.resolve(schedule["revision"])
    clone = checkout.prepare(commit)
    lineage = Lineage(schedule["revision"], commit, datetime.now(UTC).isoformat(timespec="seconds"))
    lineage.pulled = _pull()
    code = _reproduce(clone)
    said = LOG.read_text(encoding="utf-8", errors="replace")
    lineage.stages = re.findall(r"^Running stage '([^']+)'", said, re.MULTILINE)
    lineage.data = _fingerprints(clone)
    if code:
        lineage.failed = _why(said, code)
    else:
        lineage.results = checkout.commit_results(commit, lineage.lines())
    # also after a failure: what was computed is worth keeping
    lineage.pushed = _push(lineage.results) if schedule["push"] else "no: schedule.push is false"
    lineage.seconds = round(time.monotonic() - begun, 1)
    _publish(lineage, clone)
    if code:
        raise RerunError(lineage.failed)
    return vars(lineage)


def _pull() -> str:
    if not checkout.has_remote():
        return "no: DVC has no default remote (dvc remote add -d NAME WHERE)"
    code, said = checkout.dvc("pull", "--run-cache", "--force")
    return "yes" if code == 0 else f"in part: {_last_line(said)}"


def _push(results: str) -> str:
    """Push to DVC's remote, and the branch of results to the git remote ``origin``; say what went where."""
    told = []
    if checkout.has_remote():
        code, said = checkout.dvc("push", "--run-cache")
        told.append("data: yes" if code == 0 else f"data: failed: {_last_line(said)}")
    else:
        told.append("data: no: DVC has no default remote")
    if results and "origin" in checkout.git("remote", folder=layout.ROOT).split():
        try:
            checkout.git("push", "-q", "origin", f"{results}:refs/heads/{checkout.BRANCH}", folder=layout.ROOT)
            told.append(f"{checkout.BRANCH}: yes")
        except CheckoutError as error:
            told.append(f"{checkout.BRANCH}: failed: {error}")
    return "; ".join(told)


def _reproduce(clone: Path) -> int:
    """Run the main command in the clone, under the server of this flow; its exit code."""
    own = ("PREFECT_HOME", params.CHECKED)
    environment = {k: v for k, v in stage_environment().items() if k not in own}
    environment |= {"PREFECT_HOME": str(clone / ".prefect"), watch.OWNER: str(os.getpid())}
    with LOG.open("wb") as log:
        return run_group(checkout.repro_command(), clone, environment, log)


def _fingerprints(clone: Path) -> dict[str, str]:
    """Of the data that was used, as the preprocessed files say."""
    from arml.results.parquet import read_provenance

    found = {}
    for file in sorted((clone / "data" / "processed").glob("*/train.parquet")):
        found[file.parent.name] = str(read_provenance(file)["fingerprint"])[:16]
    return found


def _why(said: str, code: int) -> str:
    """The stage that failed, and the line that says why."""
    stage = _FAILED.search(said)
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    reason = errors[-1].removeprefix("error: ") if errors else _last_line(said)
    return f"stage {stage[1]}: {reason}" if stage else f"exit code {code}: {reason}"


def _last_line(said: str) -> str:
    """Why a command failed: from DVC's word ERROR on, where it says that, in one line; else its last line."""
    _, found, told = said.rpartition("ERROR: ")
    if found:
        return " ".join(told.partition("Is your cache up to date?")[0].split())
    return told.splitlines()[-1] if told else "it printed nothing"


def _publish(lineage: Lineage, clone: Path) -> None:
    """Keep the lineage, show it and the tables on Prefect's pages, print a line."""
    with HISTORY.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(vars(lineage)) + "\n")
    rows = [f"| {name} | {value} |" for name, value in vars(lineage).items() if value]
    text = "\n".join(["| what | |", "|---|---|", *rows])
    create_markdown_artifact(text, key="rerun-lineage", description=f"rerun of {lineage.commit[:12]}")
    reports = clone / "reports"
    if not lineage.failed:
        artifacts.publish_report(reports, sorted(path for path in reports.rglob("*") if path.is_file()))
        took = f"{lineage.seconds} s"
        print(f"[arml] rerun of {lineage.commit[:12]}: results in {lineage.results[:12]} ({took})", flush=True)
