"""A sweep of params.yaml as DVC experiments: one command runs every point of flows/sweeps/NAME.yaml and reports.

The workspace ``.studies/sweep-NAME`` is a copy of the code and a git repository of its own, in which each point is
an experiment with a name: ``dvc exp show -A`` there lists them with their parameters and errors, ``dvc exp apply``
brings one back. A point that is done is not run again. The table and the figure go to reports/NAME.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arml.results.stages import leading_to
from flows import layout
from flows.errors import ParamsError, ServerError
from flows.params import SETTINGS, check_params, current_params, dataset_spec, yaml12
from flows.processes import server, warm
from flows.processes.commands import Stopped, dvc_command, run_group, signals_as_exit, stage_environment
from flows.workspaces import study

SWEEPS = layout.ROOT / "flows" / "sweeps"
FOLDER = "sweep"  # in the workspace: the stage that reads a point's errors, and what points gave
READ = ("verify", "certify")  # the stages whose results are a point's
KEY = re.compile(r"[a-z_]+(\.[a-z_]+)*")


def say(line: str) -> None:
    print(f"[arml] {line}", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run a sweep; 0 if every point is done, 1 if one failed, 2 for a bad specification."""
    parser = argparse.ArgumentParser(prog="python -m flows.sweep", description=__doc__)
    parser.add_argument("name", nargs="?", choices=available())
    parser.add_argument("--collect", action="store_true", help="the stage of a point: read its errors")
    options = parser.parse_args(argv)
    if options.collect:
        return collect()
    if options.name is None:
        parser.error(f"say which sweep: {', '.join(available())}")
    try:
        sweep = load(options.name)
        return run(options.name, sweep)
    except (ParamsError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def available() -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in SWEEPS.glob("*.yaml")))


# --- what to run ---------------------------------------------------------------------------------


def load(name: str) -> dict[str, Any]:
    """The sweep's params (checked) under ``params``, its points under ``points``: axis → label → overrides.

    Raises
    ------
    ParamsError
        The file is not as described above, or a point's params cannot be run.
    """
    where = f"flows/sweeps/{name}.yaml"
    try:
        spec = yaml12.read(SWEEPS / f"{name}.yaml")
    except ParamsError as error:
        raise ParamsError(f"cannot read {where}: {error}") from error
    if not isinstance(spec, Mapping) or set(spec) != {"study", "axes"} or not isinstance(spec["axes"], Mapping):
        raise ParamsError(f"{where} must have the keys study (an overlay of params.yaml) and axes")
    params = check_params(study.merge(yaml12.read(layout.PARAMS), spec["study"] or {}))
    if not {"euclidean", "arml"} <= set(params["methods"]) or len(params["certify"]["n_neighbors"]) != 1:
        raise ParamsError(
            f"{where}: a sweep reports ARML beside Euclidean, exact and certified for one K: its study must have "
            "methods: [euclidean, arml] and one number in certify.n_neighbors"
        )
    points = {str(axis): _points(f"{where}: axes.{axis}", values) for axis, values in spec["axes"].items()}
    if not points or not all(points.values()):
        raise ParamsError(f"{where}: axes must name at least one axis, each with at least one point")
    for axis, values in points.items():
        for label, overrides in values.items():
            try:
                check_params(apply(params, overrides))
            except ParamsError as error:
                raise ParamsError(f"{where}: axes.{axis}, {label!r}: {error}") from error
    return {"params": params, "points": points}


def _points(where: str, values: Any) -> dict[str, dict[str, Any]]:
    if isinstance(values, Mapping) and set(values) == {"key", "values"}:
        if not isinstance(values["values"], list):
            raise ParamsError(f"{where}.values must be a list, got {values['values']!r}")
        values = {str(value): {values["key"]: value} for value in values["values"]}
    if not isinstance(values, Mapping):
        raise ParamsError(f"{where} must be {{key: …, values: […]}} or map labels to overrides; got {values!r}")
    for label, overrides in values.items():
        if not isinstance(overrides, Mapping) or not all(KEY.fullmatch(str(key)) for key in overrides):
            raise ParamsError(
                f"{where}, {label!r}: overrides must map keys such as train.arml.loss to values; got {overrides!r}"
            )
    return {str(label): dict(overrides) for label, overrides in values.items()}


def apply(params: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The params with each dotted key set."""
    changed = json.loads(json.dumps(params))
    for key, value in overrides.items():
        *above, last = key.split(".")
        section = changed
        for name in above:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise ParamsError(f"{key} goes below {name}, which is no mapping")
        section[last] = value
    return dict(changed)


# --- running it ----------------------------------------------------------------------------------


def run(name: str, sweep: Mapping[str, Any]) -> int:
    """Run the points that are not done, one after the other, and write the report of all that are."""
    workspace = prepare(name, sweep["params"])
    points = [(axis, label, over) for axis, values in sweep["points"].items() for label, over in values.items()]
    results = workspace / FOLDER / "points"
    results.mkdir(exist_ok=True)
    code = _code_of(workspace)
    files = [results / f"{_digest(over, sweep['params'], code)}.json" for _, _, over in points]
    waiting = [(point, file) for point, file in zip(points, files) if not file.is_file()]
    say(f"sweep {name}: {len(points)} points, {len(points) - len(waiting)} done before; {workspace}")
    failed: list[str] = []
    try:
        with signals_as_exit():
            environment = stage_environment()
            if waiting:
                say("starting the local Prefect server")
                environment["PREFECT_API_URL"] = server.ensure_server(say)
            for number, ((axis, label, overrides), file) in enumerate(waiting, 1):
                begun = time.time()
                if not file.is_file() and not _run_point(workspace, environment, axis, label, overrides, file):
                    failed.append(f"{axis} {label}")
                say(f"point {number} of {len(waiting)}: {axis} {label}: {time.time() - begun:.0f} s")
    except Stopped as stopped:
        say("stopped; finished points are kept, and the next run goes on from there")
        return 128 + stopped.signal
    finally:
        server.release()
    done = [
        (axis, label, json.loads(file.read_text())) for (axis, label, _), file in zip(points, files) if file.is_file()
    ]
    if done:
        from arml.report.sweeps import write_report

        write_report(name, done, layout.REPORTS / name)
        say(f"reports: {os.path.relpath(layout.REPORTS / name / 'index.md')}")
    if failed:
        say(f"failed: {', '.join(failed)}; the others are done, and the next run tries these again")
    return int(bool(failed))


def prepare(name: str, params: Mapping[str, Any]) -> Path:
    """The sweep's workspace: code, params and one more stage, committed, since experiments are kept in git."""
    header = f"# params.yaml and flows/sweeps/{name}.yaml, merged; edit those\n"
    workspace = layout.WORKSPACES / f"sweep-{name}"
    if (workspace / ".git").is_dir():  # what the last point left is in its experiment; HEAD is what all start from
        _git(workspace, "reset", "-q", "--hard")
        _git(workspace, "clean", "-fdq")
    study.lay_out(workspace.name, params, header)
    stage = {
        "wdir": "..",
        "cmd": "python -m flows.sweep --collect",
        "deps": [layout.relative(layout.result(dataset, stage)) for dataset in params["datasets"] for stage in READ],
        "metrics": [{f"{FOLDER}/errors.json": {"cache": False}}],
        "outs": [{f"{FOLDER}/curves.json": {"cache": False}}],
    }
    text = "# written by flows/sweep.py\n" + yaml12.dump({"stages": {"curves": stage}})
    study.write(workspace / FOLDER / "dvc.yaml", text)
    study.write(workspace / ".dvc" / "config", f"[core]\n    analytics = false\n{study.cache_section()}")
    study.write(workspace / ".dvc" / ".gitignore", "/tmp\n/config.local\n/cache\n")
    study.write(workspace / ".gitignore", f"__pycache__/\n.prefect/\n/reports/\n/{FOLDER}/points/\n*.tmp\n")
    if not (workspace / ".git").is_dir():
        _git(workspace, "init", "-q")
    _git(workspace, "add", "-A")
    if _git(workspace, "status", "--porcelain"):
        _git(workspace, "commit", "-q", "-m", f"sweep {name}")
    return workspace


def _run_point(
    workspace: Path, environment: dict[str, str], axis: str, label: str, overrides: Mapping[str, Any], file: Path
) -> bool:
    """Run one point as a DVC experiment and keep what it gave; whether it ended well."""
    _git(workspace, "checkout", "-q", "--", "params.yaml")  # the point before left its own values there
    name = re.sub(r"[^a-z0-9.]+", "-", f"{axis}-{label}".lower()).strip("-.")
    settings = [part for key, value in overrides.items() for part in ("-S", f"++{key}={json.dumps(value)}")]
    command = dvc_command("exp", "run", "-n", name, *settings, f"{FOLDER}/dvc.yaml:curves")
    if run_group(warm.command(command), workspace, environment) != 0:
        return False
    from arml.system.files import write_text

    write_text(file, (workspace / FOLDER / "curves.json").read_text(encoding="utf-8"))
    return True


def _digest(overrides: Mapping[str, Any], params: Mapping[str, Any], code: str) -> str:
    effective = {k: v for k, v in apply(params, overrides).items() if k not in SETTINGS}
    return hashlib.sha256(json.dumps([effective, code], sort_keys=True).encode()).hexdigest()[:24]


def _code_of(workspace: Path) -> str:
    """What the points' results depend on: the code that their stages name, as git knows it."""
    stages = yaml12.read(workspace / "dvc.yaml")["stages"]
    deps = {
        dep
        for name in leading_to(*READ)
        for dep in stages[name].get("do", stages[name])["deps"]
        if dep.startswith(("arml", "flows"))
    }
    return _git(workspace, "rev-parse", *(f"HEAD:{dep}" for dep in sorted(deps)))


def _git(workspace: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=arml", "-c", "user.email=arml@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=workspace, capture_output=True, text=True)
    if done.returncode:
        raise ParamsError(f"git {arguments[0]} failed in {workspace}: {done.stderr.strip()}")
    return done.stdout.strip()


# --- the stage of a point ------------------------------------------------------------------------


def collect() -> int:
    """Read the results of every data set; write curves.json, and errors.json for ``dvc exp show``."""
    from arml.report.study import suggested_radii
    from arml.report.sweeps import headline, robust_errors
    from arml.results.parquet import read_table
    from arml.system.files import write_json

    params = current_params()
    curves = {}
    for dataset in params["datasets"]:
        tables = [read_table(layout.result(dataset, stage), "results") for stage in READ]
        costs = read_table(layout.timings(dataset, "train"), "timings").to_pylist()
        radii = dataset_spec(params, dataset).radii or suggested_radii(tables[0], dataset)
        curves[dataset] = robust_errors(tables, radii, costs)
    folder = layout.ROOT / FOLDER
    write_json(folder / "curves.json", curves)
    write_json(folder / "errors.json", headline(curves))
    return 0


if __name__ == "__main__":
    sys.exit(main())
