"""The progress bar of a long fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(label: str, unit: str, total: int | None, done: int, *, shown: bool) -> Iterator[Callable[[float], None]]:
    """A bar at `done` of `total` steps (None: open end); what is given is to be called with each step's loss."""
    if not shown:
        yield lambda loss: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, initial=done, desc=label, unit=unit, mininterval=0.5) as bar:

        def advance(loss: float) -> None:
            bar.update()
            bar.set_postfix(loss=f"{loss:.4g}", refresh=False)

        yield advance
