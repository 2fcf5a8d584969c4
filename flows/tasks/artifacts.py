"""What a run shows in Prefect's pages: commit and params of its run, the report's tables, costs, links to the files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from flows import layout
from flows.params import yaml12
from flows.workspaces.commit import of_code

TABLES = {
    "overview": "At the middle radius",
    "table1": "Table 1",
    "table2": "Table 2",
    "networks": "Figure 2",
}
SECONDS_BETWEEN = 5.0  # calls of the server about the same stage
_KEY = re.compile(r"[^a-z0-9]+")


def key(*words: str) -> str:
    """A name as Prefect wants it: lower case, digits and dashes."""
    return _KEY.sub("-", " ".join(words).lower()).strip("-")


def describe(stage: str, arguments: Mapping[str, str], params: Mapping[str, Any]) -> Callable[..., None]:
    """What a flow calls as it begins: its run's page then says which params the stage depends on, and the commit.

    The params stand under Parameters; the commit and the data set are tags, by which runs can be looked for.
    """
    facts = {**arguments, **depends_on(stage, arguments.get("dataset", ""), params)}
    code = of_code()
    tags = [*arguments.values(), *([f"commit {code}"] if code else [])]

    def tell(_flow: Any, run: Any, _state: Any) -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, parameters=facts, tags=tags)

    return tell


def depends_on(stage: str, dataset: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The params that dvc.yaml names for a stage, by their dotted names."""
    entry = yaml12.read(layout.ROOT / "dvc.yaml")["stages"][stage]
    found: dict[str, Any] = {}
    for name in entry.get("do", entry).get("params", ()):
        value: Any = params
        words = [dataset if word in ("${key}", "${item}") else word for word in name.split(".")]
        for word in words:
            value = value[word]
        found[".".join(words)] = value
    return found


class LiveShare:
    """How far a stage is, as a progress bar on Prefect's pages; told at most once in some seconds."""

    def __init__(self, stage: str, dataset: str) -> None:
        self.key, self.told = key("progress", stage, dataset), 0.0
        self.artifact: Any = None

    def show(self, share: float, line: str) -> None:
        """Tell the server, unless it has just been told: the share, and rate and time left in words."""
        if time.monotonic() - self.told >= SECONDS_BETWEEN:
            self.end(share, line)

    def end(self, share: float, line: str) -> None:
        """Tell it whatever was told last: the stage has ended, well or not."""
        self.told = time.monotonic()
        if self.artifact is None:
            self.artifact = create_progress_artifact(100 * share, key=self.key, description=line)
        else:
            update_progress_artifact(self.artifact, 100 * share, description=line)


def publish_report(reports: Path, written: Sequence[Path]) -> None:
    """An artifact for the report as a whole and one a table; each links to the page and figures on this machine."""
    pictures = sorted(path for path in written if path.suffix == ".svg")
    links = [f"- [{path.name}]({path.resolve().as_uri()})" for path in (reports / "index.html", *pictures)]
    index = reports / "index.md"
    if index in written:
        verdict = index.read_text(encoding="utf-8").partition("## Verdict")[2].partition("\n## ")[0].strip()
        create_markdown_artifact(f"{verdict}\n\nOn this machine:\n\n" + "\n".join(links) + "\n", key="report")
    for name, title in TABLES.items():
        table = reports / "tables" / f"{name}.md"
        if table in written:
            text = f"{table.read_text(encoding='utf-8')}\n\nOn this machine:\n\n" + "\n".join(links) + "\n"
            create_markdown_artifact(text, key=key("report", name), description=title)


def publish_lineage(commit: str, params: Mapping[str, Any], datasets: Mapping[str, Mapping[str, Any]]) -> None:
    """An artifact about what the results come from: the commit, the data sets' fingerprints, and every parameter."""
    lines = [_made_from(commit), ""]
    lines += ["| data set | source | fingerprint |", "|---|---|---|"]
    lines += [f"| {name} | {facts['source']} | `{facts['fingerprint'][:16]}` |" for name, facts in datasets.items()]
    lines += ["", "```yaml", yaml12.dump(dict(params)).rstrip(), "```"]
    create_markdown_artifact("\n".join(lines), key="lineage", description="What the results come from")


def _made_from(commit: str) -> str:
    return f"Code and parameters: {f'commit {commit}' if commit else 'not in git'}."


def publish_costs(dataset: str, stage: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """An artifact about a stage that has ended: what each part took, as its file of timings has it."""
    points, cpu = sum(row["n_points"] for row in rows), sum(row["cpu_seconds"] for row in rows)
    rate = f", {points / cpu:.3g} points a CPU second" if points and cpu > 0 else ""
    lines = [
        f"{len(rows)} parts, {cpu:.1f} CPU seconds{rate}.",
        "",
        "| part | points | seconds | CPU seconds | peak MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        part = " ".join(str(row[name]) for name in ("method", "n_neighbors", "start") if row[name])
        lines.append(
            f"| {part or stage} | {row['n_points'] or ''} | {row['seconds']:.2f} | {row['cpu_seconds']:.2f} "
            f"| {row['peak_memory_mib']:.0f} |"
        )
    timings, page = layout.timings(dataset, stage), layout.REPORTS / "index.html"
    links = [f"[{layout.relative(path)}]({path.resolve().as_uri()})" for path in (timings, page)]
    lines += ["", f"From {links[0]}. {_made_from(of_code())} The study's report: {links[1]}."]
    create_markdown_artifact("\n".join(lines), key=key(stage, dataset), description=f"{stage}, {dataset}")
