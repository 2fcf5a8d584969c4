"""K-NN beside neural networks, the paper's Figure 2: what each classifier's radii rest on, in a table and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from arml.curves import Curve
from arml.report.markup import markdown_table
from arml.report.study import Study, algorithm_label, method_label
from arml.results.sandwich import PROBABILISTIC, SandwichError

__all__ = ["Competitor", "check_smoothing", "comparison_markdown", "competitors"]

_REFERENCES = ("euclidean", "arml")
_CHANCE = 1e-6  # of refusing a report although all is right


@dataclass(frozen=True, eq=False)
class Competitor:
    """A classifier of the comparison.

    Attributes
    ----------
    name, label : str
        As params.yaml and as people know it.
    proved : Curve
        Exact for 1-NN, else certified.
    broken : Curve or None
        By attack; None for 1-NN, whose exact radii are attained.
    sure : bool
        False where the certificate holds with a probability.
    facts : mapping
        Of the network's training; empty for 1-NN.
    """

    name: str
    label: str
    proved: Curve
    broken: Curve | None
    sure: bool
    facts: Mapping[str, Any]

    @property
    def noise(self) -> float:
        """σ of the Gaussian noise that a network was trained with; 0 without."""
        return float(self.facts.get("fit", {}).get("noise", 0.0))


def competitors(study: Study, dataset: str) -> list[Competitor]:
    """1-NN, Euclidean and ARML, and the networks, in the order of params.yaml; [] where there are no networks.

    All are compared on the points that every certificate has.
    """
    own = [curve for curve in study.networks if curve.dataset == dataset]
    certified = {curve.method: curve for curve in own if curve.kind == "certified"}
    attacked = {curve.method: curve for curve in own if curve.kind == "attacked"}
    exact = [c for c in study.select(dataset, "exact", 1) if c.method in _REFERENCES]
    if not certified:
        return []
    index = next(iter(certified.values())).index
    for curve in (*certified.values(), *exact):
        index = np.intersect1d(index, curve.index)
    if not len(index):
        return []
    found = [
        Competitor(c.method, f"{method_label(c.method)}, 1-NN", c.restricted(index), None, True, {}) for c in exact
    ]
    facts = study.network_facts.get(dataset, {})
    named = [name for name in facts if name in certified] + [name for name in certified if name not in facts]
    for name in named:
        curve, attack = certified[name], attacked.get(name)
        broken = None if attack is None else attack.restricted(index)
        told = facts.get(name, {})
        found.append(
            Competitor(
                name,
                _label(name, curve, told),
                curve.restricted(index),
                broken if broken is not None and broken.n_points else None,
                curve.algorithm not in PROBABILISTIC,
                told,
            )
        )
    return found


def _label(name: str, curve: Curve, facts: Mapping[str, Any]) -> str:
    architecture = str(facts.get("fit", {}).get("architecture", name)).upper()
    if curve.algorithm in PROBABILISTIC:
        return f"{architecture}, smoothing σ = {facts.get('fit', {}).get('noise', float('nan')):g}"
    return f"{architecture}, {algorithm_label(curve.algorithm)}"


def check_smoothing(study: Study) -> tuple[int, int]:
    """How many smoothed points were attacked within their radius, and how many were compared.

    Each may be, with probability 2 α (a radius and an attack hold with 1 − α each), so a few contradict nothing.

    Raises
    ------
    SandwichError
        There are more than chance explains (at a level of 10⁻⁶).
    """
    inside = compared = 0
    for dataset in study.dataset_names:
        for one in competitors(study, dataset):
            if one.sure or one.broken is None:
                continue
            shared = np.intersect1d(one.proved.index, one.broken.index)
            lower, upper = one.proved.restricted(shared).values, one.broken.restricted(shared).values
            compared += int(np.isfinite(upper).sum())
            inside += int((lower > upper).sum())
    if inside:
        from scipy.stats import binom

        alpha = float(study.params["networks"]["certify"]["alpha"])
        allowed = int(binom.ppf(1 - _CHANCE, compared, 2 * alpha))
        if inside > allowed:
            raise SandwichError(
                f"{inside} of {compared} smoothed points were attacked within their radii, which hold with probability "
                f"{1 - alpha:g}: at most {allowed} could be chance; this is a bug, not noise"
            )
    return inside, compared


def comparison_markdown(study: Study) -> str:
    """Return a table a data set, classifiers down and radii across, and what is fair in it; "" without networks."""
    lines: list[str] = []
    for dataset in study.dataset_names:
        found = competitors(study, dataset)
        if found:
            lines += ["", f"## {dataset}", "", *_table(study, dataset, found)]
    if not lines:
        return ""
    return "\n".join(["# Figure 2: 1-NN beside neural networks", "", *_notes(study), *lines]) + "\n"


def _table(study: Study, dataset: str, found: Sequence[Competitor]) -> list[str]:
    radii = study.radii[dataset]
    header = ["classifier", "clean", *(f"r = {r:g}" for r in radii), "abstains", "holds"]
    body = []
    for one in found:
        cells = [f"{error:.3f}" for error in one.proved.errors(radii)]
        if one.broken is not None:
            cells = [f"{text} ({error:.3f})" for text, error in zip(cells, one.broken.errors(radii))]
        abstained = "" if one.sure else str(one.proved.n_unsolved)
        body.append([one.label, f"{one.proved.clean_error:.3f}", *cells, abstained, _holds(study, one)])
    attacked = sorted({one.broken.n_points for one in found if one.broken is not None})
    brackets = f", in brackets attacked ({' to '.join(map(str, attacked))} points)" if attacked else ""
    caption = f"**Certified robust error**{brackets}: {found[0].proved.n_points} test points."
    return [caption, "", *markdown_table(header, body), "", *_trained(found)]


def _holds(study: Study, one: Competitor) -> str:
    if one.sure:
        return "exact" if one.proved.kind == "exact" else "always"
    return f"with probability {1 - _alpha(study):g}"


def _alpha(study: Study) -> float:
    return float(study.params.get("networks", {}).get("certify", {}).get("alpha", float("nan")))


def _ceilings(study: Study) -> str:
    """Where the smoothed curves jump to 1: even n equal votes prove no more than σ Φ⁻¹(α^(1/n))."""
    settings = study.params.get("networks", {}).get("certify", {})
    everyone = (one for name in study.dataset_names for one in competitors(study, name))
    noises = sorted({one.noise for one in everyone if not one.sure and one.noise > 0})
    if not noises or not {"n", "alpha"} <= set(settings):
        return ""
    reach = NormalDist().inv_cdf(float(settings["alpha"]) ** (1.0 / int(settings["n"])))
    said = ", ".join(f"{noise * reach:.2f} for σ = {noise:g}" for noise in noises)
    return (
        f" However sure the network, no radius exceeds σ Φ⁻¹(α^(1/n)), {said} with n = {settings['n']} and "
        f"α = {settings['alpha']:g}: where a curve jumps to 1 there, that is what n and α allow, not an attack."
    )


def _trained(found: Sequence[Competitor]) -> list[str]:
    said = []
    for one in found:
        fit = one.facts.get("fit")
        if fit:
            noise = f", Gaussian noise σ = {fit['noise']:g}" if fit["noise"] else ""
            layers = ", ".join("×".join(map(str, shape)) for shape in fit["layers"])
            said.append(
                f"- {one.label}: weights {layers} ({fit['n_parameters']} parameters), {fit['n_iter']} epochs{noise}."
            )
    return ["Networks:", "", *said] if said else []


def _notes(study: Study) -> list[str]:
    bounds = study.params.get("networks", {}).get("attack", {}).get("bounds")
    box = f"stay in [{bounds[0]:g}, {bounds[1]:g}]" if bounds else "may go anywhere"
    inside, compared = check_smoothing(study)
    lines = [
        "The same test points, ℓ2 radii in the same preprocessed features: the share of points whose certified "
        "radius is at most r. What can be compared and what cannot:",
        "",
        "- **Proof or probability.** The radii of 1-NN are exact, and CROWN's are proved lower bounds: no "
        "perturbation within them changes the prediction. Those of randomized smoothing hold for each point with "
        f"probability {1 - _alpha(study):g} over the noise that was drawn, and not for sure. Where a smoothed "
        "classifier abstains, that is an error at every radius; its clean error counts wrong answers only."
        f"{_ceilings(study)}",
        "- **How loose.** For 1-NN nothing is between proof and attack. A network's true error lies between its "
        "certified and its attacked one; a wide gap says how weak CROWN is on ordinary networks, not how weak these "
        "are.",
        "- **Training.** ARML is trained for its radius. The networks are ordinary ones, by Adam on the "
        "cross-entropy, with Gaussian noise where they are smoothed; networks trained for certificates would be "
        "proved further. The paper's architectures are unknown, since its appendix is unavailable.",
        "- **Cost of an answer.** A smoothed classifier asks its network hundreds of times for a prediction and "
        "thousands of times for a radius; it is another classifier than the network.",
        f"- **The box.** No certificate here uses that pixels are bounded. The attacks on networks {box}.",
    ]
    if compared:
        lines.append(
            f"- **Checked.** {compared} attacks on smoothed points against their radii: {inside} within. CROWN's are "
            "among the comparisons of the gate, which allows none."
        )
    return lines
