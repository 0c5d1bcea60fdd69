"""The way in which the winner of a fit was found, in words."""

from collections import Counter

from models.refit.fit_record import FitRecord

_PARTS = {4: "a quarter", 16: "a sixteenth"}


def found_by(record: FitRecord) -> str:
    """One sentence on how the winner was found; empty if nothing was fitted.

    Example:
        >>> from models.refit.fit_record import TriedCandidate
        >>> tried = [
        ...     TriedCandidate(parameters={"max_depth": depth}, trees=9, log_loss=1 / depth)
        ...     for depth in (5, 6)
        ... ]
        >>> found_by(FitRecord(boundary=0, status="promoted", reason="", algorithm="gbm",
        ...     tried=tried))
        'Its parameters were drawn from the grid: the best of 2 candidates on all rows.'
    """
    winner = record.winner
    if winner is None:
        return ""
    if record.algorithm == "automl":
        return "AutoML chose it from the models that it fitted."
    rounds = Counter(one.thinning for one in record.tried if one.thinning > 1)
    whole = len(record.tried) - rounds.total()
    counts = [f"{count} on {part_of(rows)} of the rows" for rows, count in rounds.items()]
    noun = "candidate" if whole == 1 else "candidates"
    if winner.parameters == record.tried[0].parameters:
        source = "are those of the last winner, or the defaults if there was none"
    elif record.search == "tpe":
        source = "were proposed by what earlier fits found"
    else:
        source = "were drawn from the grid"
    after = f", after {' and '.join(counts)}" if counts else ""
    return f"Its parameters {source}: the best of {whole} {noun} on all rows{after}."


def part_of(thinning: int) -> str:
    """A share of the rows, in words.

    Example:
        >>> part_of(4), part_of(1)
        ('a quarter', 'all')
    """
    return "all" if thinning == 1 else _PARTS.get(thinning, f"1 / {thinning}")
