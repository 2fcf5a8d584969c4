"""A user's first study in one command: `make own FILE=wine.csv LABEL=quality` writes the entry, runs, says where.

The file is copied into data/own, its entry takes the place of the data sets in params.yaml (git has those), and the
main command runs. FILE may be any path; TEST is a second file, of test rows; SET more keys of the entry.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from flows import layout, repro
from flows.errors import ParamsError
from flows.params import check_params, load_params, yaml12


def main(argv: list[str] | None = None) -> int:
    """Write the entry and run the study; 0 where it ended well."""
    parser = argparse.ArgumentParser(prog="python -m flows.own", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--label", help="the column of labels; not for LIBSVM text")
    parser.add_argument("--test", type=Path, help="a file of test rows; without it a quarter of the rows are")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="more of the entry, as YAML")
    parser.add_argument("--no-run", action="store_true", help="write the entry only")
    options = parser.parse_args(argv)
    try:
        name = add(options.file, options.label, options.test, options.set)
    except (ParamsError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    repro.say(f"params.yaml names {name}; radii are chosen from its exact ones, if the entry gives none")
    return 0 if options.no_run else repro.main([])


def add(file: Path, label: str | None, test: Path | None, settings: list[str]) -> str:
    """Bring the files into data/own and their entry into params.yaml; return the data set's name.

    Raises
    ------
    ParamsError, ValueError, OSError
        A file is missing or cannot be read so, or params.yaml would not be valid.
    """
    name = re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-") or "own"
    entry: dict[str, Any] = {"source": "file", "file": _named(file)}
    entry |= {"label": label} if label else {}
    entry |= {"test_file": _named(test)} if test else {"test_fraction": 0.25}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ParamsError(f"--set takes KEY=VALUE, got {setting!r}")
        entry[key.strip()] = yaml12.parse(value, f"--set {setting}")
    from arml.datasets import load, spec_from_entry

    known = load_params()["datasets"]
    if name in known and (known[name] or {}).get("source") != "file":
        name = f"own-{name}"
    spec = spec_from_entry(name, entry)
    _bring(file, test)
    data = load(spec, own_dir=layout.own())  # what cannot be used is said now, and params.yaml stays as it was
    for told in data.notes:
        repro.say(f"{name}: {told}")
    text = yaml12.text_of(layout.PARAMS)
    changed = _with_entry(text, name, entry)
    check_params(yaml12.parse(changed))
    layout.PARAMS.write_text(changed, encoding="utf-8")
    return name


def _named(file: Path) -> str:
    """The file's name below data/own."""
    folder = layout.own().resolve()
    path = file.resolve() if file.exists() else folder / file
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else file.name


def _bring(*files: Path | None) -> None:
    for file in filter(None, files):
        target = layout.own() / _named(file)
        if not file.exists() and not target.exists():
            raise ParamsError(f"there is no file {file}, here or in {layout.relative(layout.own())}")
        if file.exists() and file.resolve() != target.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _with_entry(text: str, name: str, entry: dict[str, Any]) -> str:
    """params.yaml with the data set in place of those there, its comments kept; networks, which are for images, off."""
    content = yaml12.edited(text)
    content["datasets"] = {name: entry}
    if "networks" in content:
        content["networks"]["datasets"] = []
    return yaml12.dump(content)


if __name__ == "__main__":
    sys.exit(main())
