"""``python -m arml``: the command line (:mod:`arml.cli`)."""

from arml.cli import main

if __name__ == "__main__":
    main()
