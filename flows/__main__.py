"""A stage of the study: ``python -m flows STAGE [--dataset NAME]``, under DVC or alone."""

import importlib.util
import os
import sys
from pathlib import Path

from flows import layout
from flows.processes import warm


def main(arguments: list[str]) -> int:
    code = warm.run("flows.stage", arguments)
    if code is None:
        if importlib.util.find_spec("prefect") is None:  # `.venv/bin/dvc repro` in a shell whose python is another one
            return _elsewhere(arguments)
        from flows import stage

        code = stage.main(arguments)
    return code


def _elsewhere(arguments: list[str]) -> int:
    """Go on as the project's own Python: that of this checkout, or of the one in which its workspace lies."""
    checkouts = (folder for folder in (layout.ROOT, *layout.ROOT.parents) if (folder / "flows/__main__.py").is_file())
    found = (folder / ".venv" for folder in checkouts if (folder / ".venv/bin/python").is_file())
    own = next((folder for folder in found if folder != Path(sys.prefix)), None)
    if own is None:
        print(
            f"error: {sys.executable} has no Prefect, which stages need: run `make env`, or activate the environment "
            "in which you have installed this project",
            file=sys.stderr,
        )
        return 1
    python = str(own / "bin" / "python")
    os.execv(python, [python, "-m", "flows", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
