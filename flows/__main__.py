"""A stage of the study: ``python -m flows STAGE [--dataset NAME]``, under DVC or alone."""

import sys

from flows import _warm


def main(arguments: list[str]) -> int:
    code = _warm.run(arguments)
    if code is None:
        from flows import _stage

        code = _stage.main(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
