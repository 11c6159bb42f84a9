"""Does alignment end: what a law's own form, extrapolation to the largest models and AICc say together."""

from __future__ import annotations

from collections.abc import Sequence

from results.scaling.saturation import Saturation
from results.scaling.selection import Comparison

ALIKE = 1.1  # held-out errors within this factor are called alike: one cut through the points tells no finer
_WITHOUT = "unbounded"


def verdict(end: Saturation, forms: Sequence[Comparison], fitted: str) -> str:
    """Return in words whether a law ends, by its form and by held-out extrapolation, and whether AICc agrees.

    Parameters
    ----------
    end : of the law.
    forms : all that were compared on its points.
    fitted : name of the law's form.

    Notes
    -----
    The comparison that counts is that of the law without an end with the law itself: one law against its own special
    case, not the best of many forms. Where these two are alike (within a factor of 1.1), the other forms with an end
    are heard: an end is supported where all of them do better than the law without one. "saturates" is said where the
    form has an end that the points hold, or where extrapolation asks for one; never where extrapolation is better
    without.
    """
    by_name = {each.fit.form: each for each in forms}
    if _WITHOUT not in by_name or fitted not in by_name or len(by_name) < 2:
        return f"{end.words} (the form itself, {fitted}, was not tested by extrapolation)"
    side = asked(forms, fitted)
    judged = held_out_words(forms, fitted)
    place = end.words.partition("; ")[2]
    final = f"{end.level:.3g}" + ("" if end.level_interval is None else " [{:.3g}, {:.3g}]".format(*end.level_interval))
    ends = side >= 0 if end.kind == "end" else side > 0 and end.kind == "open"
    if ends:
        where = f"saturates at {final}" if end.kind == "end" else f"saturates, but where is open, {final} by the fit"
        said = f"{where}: {judged}. {place[:1].upper()}{place[1:]}"
    elif end.kind == "none":
        said = f"{end.words}. Held out, {judged}"
    else:
        said = f"no saturation can be seen: {judged}. The fit's end, {final}, is the form's; {place}"
    return f"{said}. {criterion_words(forms, ends=ends)}"


def asked(forms: Sequence[Comparison], fitted: str) -> int:
    """Return what extrapolation asks for: 1 an end, -1 none, 0 either; see `verdict`."""
    errors = {each.fit.form: each.held_out_error for each in forms}
    without, law = errors.pop(_WITHOUT), errors.pop(fitted)
    if max(without, law) > ALIKE * min(without, law):
        return 1 if law < without else -1
    others = list(errors.values())
    return int(bool(others) and ALIKE * max(others) < without)


def held_out_words(forms: Sequence[Comparison], fitted: str) -> str:
    """Return how well the largest models are predicted with and without an end, in words."""
    by_name = {each.fit.form: each.held_out_error for each in forms}
    without, law = by_name.pop(_WITHOUT), by_name.pop(fitted)
    words = (
        f"a law without an end misses the {forms[0].n_held_out} largest models by {without:.3g} in ln L on average, "
        f"{fitted} by {law:.3g}"
    )
    if by_name:
        low, high = (f"{value:.3g}" for value in (min(by_name.values()), max(by_name.values())))
        words += f", other laws with an end by {low}" + (f" to {high}" if high != low else "")
    return words


def criterion_words(forms: Sequence[Comparison], *, ends: bool) -> str:
    """Return which form AICc prefers, where that ends, and whether this agrees that there is an end."""
    best = min(forms, key=lambda each: each.aicc)
    agrees = (best.final_score < 0.995) == ends
    return (
        f"AICc {'agrees' if agrees else 'disagrees'}: it prefers {best.fit.form} (weight {best.akaike_weight:.2f}, "
        f"final score {best.final_score:.4g})"
    )
