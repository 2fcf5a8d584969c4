"""How figures look: one colour and marker a method, everywhere, and the settings all are drawn with.

The palette is that of Okabe and Ito, which colour-blind readers tell apart, and markers remain in grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from arml.report.networks import Competitor
from arml.system.extras import require

__all__ = ["house_style", "network_styles", "style"]

_STYLES = {
    "euclidean": ("#000000", "o"),
    "nca": ("#E69F00", "s"),
    "lmnn": ("#56B4E9", "^"),
    "itml": ("#009E73", "D"),
    "lfda": ("#CC79A7", "v"),
    "arml": ("#D55E00", "*"),
}
_SPARE = (("#0072B2", "P"), ("#7F7F7F", "X"), ("#8C6D1F", "<"), ("#5B3E96", ">"))
# by certificate and noise, so that a kind of network looks the same on every data set; the second is for another of it
_NETWORKS: dict[tuple[str, float], tuple[tuple[str, str], ...]] = {
    ("crown", 0.0): (_SPARE[0], _SPARE[1]),
    ("smoothing", 0.2): (_SPARE[2],),
    ("smoothing", 1.0): (_SPARE[3],),
}
_OTHER_NETWORKS = (("#117733", "d"), ("#882255", "h"), ("#44AA99", "p"), ("#999933", "8"))
_SETTINGS: Any = {
    "svg.hashsalt": "arml",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def style(method: str, methods: Sequence[str]) -> tuple[str, str]:
    """Return (colour, marker) of a method; `methods` fixes the choice for those outside the paper."""
    if method in _STYLES:
        return _STYLES[method]
    others = [name for name in methods if name not in _STYLES]
    return _SPARE[others.index(method) % len(_SPARE)]


def network_styles(found: Sequence[Competitor]) -> dict[str, tuple[str, str]]:
    """Return (colour, marker) of everything in a comparison, by name; a network's follow its certificate and noise."""
    chosen: dict[str, tuple[str, str]] = {}
    for one in found:
        if one.name in _STYLES:
            chosen[one.name] = _STYLES[one.name]
            continue
        own = _NETWORKS.get((one.proved.algorithm, one.noise), ())
        free = [look for look in (*own, *_OTHER_NETWORKS) if look not in chosen.values()]
        chosen[one.name] = free[0] if free else _OTHER_NETWORKS[len(chosen) % len(_OTHER_NETWORKS)]
    return chosen


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with these settings whatever the caller's are, and leave the caller's as they were."""
    require("drawing a figure", "matplotlib")
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield
