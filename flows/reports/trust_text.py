"""Thresholds that can be trusted, in words."""

from models.judging.trust import Side, Trust
from state.settings import Risk


def trust_lines(found: Trust, risk: Risk) -> tuple[str, str, str]:
    """Three lines: when to act, when to let go, and how many requests lie between."""
    caught = f", where {found.recall:.0%} of the label 1 are"
    between = f"{found.unsure:.0%} of the requests lie between"
    act, let_go = found.act.threshold, found.let_go.threshold
    if act is not None and let_go is not None and act <= let_go:
        both = f": from {act:.3f} to {let_go:.3f} both promises hold, whichever is done"
        between = f"no request lies between{both if act < let_go else ''}"
    return (
        _side(found.act, "from", "label 0", risk.false_positives, caught),
        _side(found.let_go, "below", "label 1", risk.false_negatives, ""),
        between,
    )


def _side(side: Side, word: str, label: str, most: float, caught: str) -> str:
    if side.needs:
        return (
            f"no promise yet: it takes {side.needs:,} requests of {label}, there are {side.rows:,}"
        )
    if side.threshold is None:
        return f"no threshold keeps {label} there to {most:.0%}"
    return (
        f"{word} {side.threshold:.3f}: at most {side.bound:.1%} of the {side.rows:,} "
        f"{label} are there{caught}"
    )
