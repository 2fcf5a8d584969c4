"""Growth with N, D and K: a log-log panel each, the lines labelled where they end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arml.report.figures import save_figure
from arml.report.styles import house_style
from tests.benchmarks.cases import EXACT, OURS, STRAIGHTFORWARD, THEOREM1

# Okabe and Ito's blue and vermilion; the straightforward one is dashed and hollow, for those who see no colours
_COLOURS = {EXACT: "#0072B2", THEOREM1: "#D55E00"}
_AXES = {"N": "training points N", "D": "features D", "K": "neighbours K"}
_GAP = 0.055  # between labels, as a share of the panel's height


def draw(entries: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write growth.svg."""
    from matplotlib.figure import Figure

    with house_style():
        axes_names = list(dict.fromkeys(entry["axis"] for entry in entries))
        figure = Figure(figsize=(10.0, 3.4), layout="constrained")
        panels = figure.subplots(1, len(axes_names), sharey=True, squeeze=False)[0]
        for panel in panels:
            panel.set(xscale="log", yscale="log")
        seconds = [entry["seconds"] for entry in entries]
        panels[0].set_ylim(min(seconds) / 1.8, max(seconds) * 1.8)
        for axis, panel in zip(axes_names, panels):
            _panel(panel, axis, [entry for entry in entries if entry["axis"] == axis])
        panels[0].set_ylabel("CPU seconds a point, one thread")
        save_figure(figure, folder, "growth")


def _panel(panel: Any, axis: str, entries: Sequence[dict[str, Any]]) -> None:
    ends = []
    sizes = sorted({entry["size"] for entry in entries})
    for task, colour in _COLOURS.items():
        for who in (STRAIGHTFORWARD, OURS):
            line = sorted((e["size"], e["seconds"]) for e in entries if (e["task"], e["who"]) == (task, who))
            if not line:
                continue
            x, y = zip(*line)
            plain = who == STRAIGHTFORWARD
            panel.plot(
                x,
                y,
                color=colour,
                lw=1.2 if plain else 1.8,
                ls=(0, (4, 2)) if plain else "-",
                marker="o",
                ms=4,
                mfc="white" if plain else colour,
            )
            ends.append((float(y[-1]), f"{task},\n{who}" if plain else f"{task}, {who}", colour))
    panel.set_xlabel(_AXES[axis])
    panel.set_xticks(sizes, [f"{size // 1000}k" if size >= 1000 and size % 1000 == 0 else str(size) for size in sizes])
    panel.minorticks_off()
    panel.grid(color="#E3E3E3", lw=0.5)
    panel.set_axisbelow(True)
    _label(panel, ends)


def _label(panel: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each label beside its line's end, moved up where two would touch."""
    low, high = np.log(panel.get_ylim())
    free = -np.inf
    for value, text, colour in sorted(ends):
        half = _GAP / 2 * (1 + text.count("\n"))
        place = max((np.log(value) - low) / (high - low), free + half)
        free = place + half
        panel.annotate(
            text,
            (1.02, place),
            xycoords="axes fraction",
            color=colour,
            fontsize=7,
            va="center",
            linespacing=1.05,
            annotation_clip=False,
        )
