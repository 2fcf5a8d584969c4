"""Tables of a study in LaTeX (booktabs): measured errors with the paper's in small type below them."""

from __future__ import annotations

from collections.abc import Sequence

from arml.curves import Curve
from arml.report.study import Study, algorithm_label, count_range, method_label
from arml.report.tables import KIND_TITLES, Cell, blocks, cells

__all__ = ["errors_latex", "escaped"]

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def errors_latex(study: Study, curves: Sequence[Curve]) -> str:
    """Return a ``table`` environment for every data set, kind and K; needs ``\\usepackage{booktabs}``.

    The lowest error of a column is bold; the paper's value, where it is for the same data and algorithm, stands
    after it in brackets.
    """
    lines = ["% \\usepackage{booktabs} in the preamble"]
    for block in blocks(curves):
        lines += ["", *_table(study, block)]
    return "\n".join(lines) + "\n"


def _table(study: Study, block: Sequence[Curve]) -> list[str]:
    first, radii = block[0], study.radii[block[0].dataset]
    listed = cells(study, block)
    points = count_range(curve.n_points for curve in block)
    unsolved = count_range(curve.n_unsolved for curve in block)
    compared = any(cell.difference is not None for cell in listed)
    caption = (
        f"{KIND_TITLES[first.kind]} of {first.n_neighbors}-NN on {first.dataset} "
        f"({algorithm_label(first.algorithm)}; {points} test points, {unsolved} unsolved"
        f"{'; published values in brackets' if compared else ''})."
    )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(radii)}}}",
        r"\toprule",
        " & ".join(["Metric", *(f"$r = {radius:g}$" for radius in radii)]) + r" \\",
        r"\midrule",
    ]
    for curve in block:
        own = [cell for cell in listed if cell.method == curve.method]
        lines.append(" & ".join([escaped(method_label(curve.method)), *map(_cell, own)]) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]


def _cell(cell: Cell) -> str:
    measured = rf"\textbf{{{cell.error:.3f}}}" if cell.best else f"{cell.error:.3f}"
    return measured if cell.difference is None else rf"{measured} {{\scriptsize ({cell.paper:.3f})}}"
