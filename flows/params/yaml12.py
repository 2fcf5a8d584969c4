"""YAML as DVC writes and reads it: version 1.2. ``1e-05`` is a number, ``no`` a word, and a key stands once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from flows.errors import ParamsError


class _Representer(RoundTripRepresenter):
    """Writes None as null, which says more than nothing."""


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def read(path: Path) -> Any:
    """The content of a file.

    Raises
    ------
    ParamsError
        It is missing, not text, or not YAML; the line, and what to do, are named.
    """
    return parse(text_of(path), path.name)


def text_of(path: Path) -> str:
    """A file as text; ParamsError where it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParamsError(f"cannot read {path}: {error.strerror}; run from a full checkout") from error
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path.name} is not valid YAML: byte {error.start} is not UTF-8; save it as UTF-8"
        ) from error


def parse(text: str, name: str = "params.yaml") -> Any:
    """The content of a text; ParamsError as `read`."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        key = str(error.problem).partition('"')[2].partition('"')[0]
        raise ParamsError(
            f"{name} is not valid YAML: line {_line(error)}: the key {key!r} stands twice; keep one of the two"
        ) from error
    except MarkedYAMLError as error:
        line = _line(error)
        if "\t" in "".join(text.splitlines()[line - 1 : line]).partition("#")[0]:
            said = "a tab; YAML is indented with blanks: put blanks in its place"
        else:
            said = str(error.problem or error.context)
        raise ParamsError(f"{name} is not valid YAML: line {line}: {said}") from error
    except YAMLError as error:
        raise ParamsError(f"{name} is not valid YAML: {str(error).splitlines()[0]}") from error


def edited(text: str) -> Any:
    """The text's content, which `dump` writes again, changed or not, with the comments that were there."""
    return _editor().load(text)


def dump(content: Any) -> str:
    """The content as text: in block style where it is new, as it was written where it comes from `edited`."""
    stream = io.StringIO()
    _editor().dump(content, stream)
    return stream.getvalue()


def _editor() -> YAML:
    editor = YAML()  # round trip
    editor.Representer = _Representer
    editor.width = 120
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=4, offset=2)
    return editor


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return 1 if mark is None else mark.line + 1
