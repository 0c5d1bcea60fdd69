"""Decisions on the title of champion, in words."""

from flows.pages.document import code
from models.refit.fit_record import FitRecord
from models.refit.gate import short

TITLE_EVENTS = {
    "proven": "a model took the title",
    "dismissed": "a model was dismissed",
    "returned": "the title went back",
}
"""Names of the decisions on the title, in a picture of events."""

TITLE_COUNTS = {
    "proven": "proven better",
    "dismissed": "dismissed as worse",
    "returned": "title given back",
}
"""Their names in a count of decisions."""


def title_words(of: FitRecord) -> str:
    """A decision on the title, as a sentence.

    Example:
        >>> from models.refit.fit_record import TitleEvidence
        >>> evidence = TitleEvidence(
        ...     better=21.5, worse=0.1, labels=812, gain=0.0043, alpha=0.05, metrics=[3], time=0
        ... )
        >>> proven = FitRecord(
        ...     boundary=0, status="proven", reason="", algorithm="", model="b", champion="a",
        ...     evidence=evidence,
        ... )
        >>> title_words(proven)
        '`b` took the title of champion from `a` after 812 labels: better by .0043 in log-loss'
    """
    assert of.evidence is not None
    winner, loser, evidence = code(of.model), code(of.champion), of.evidence
    gain = evidence.gain if of.status == "proven" else -evidence.gain
    # Partitions count alike, however few labels one has.
    size = f"by {short(gain)} in log-loss" if gain >= 0 else "by evidence, not in mean log-loss"
    after = f"after {evidence.labels:,} labels"
    if of.status == "proven":
        return f"{winner} took the title of champion from {loser} {after}: better {size}"
    deed = "kept the title of champion" if of.status == "dismissed" else "is champion again"
    return f"{winner} {deed} {after}: {loser} was worse {size} and answers no more"
