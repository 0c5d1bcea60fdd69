"""The lines of metrics, by the newest metrics of each partition."""

from collections.abc import Iterable

from state.outputs.records import Metrics, MetricState


def states_of(newest: Iterable[Metrics]) -> dict[str, list[MetricState]]:
    """The state of each metric with a line, one for each partition that has it."""
    states: dict[str, list[MetricState]] = {}
    for one in newest:
        for metric, state in one.alerts.items():
            states.setdefault(metric, []).append(state)
    return states


def crossed(newest: Iterable[Metrics]) -> dict[str, int]:
    """Number of partitions in which a line is crossed, by metric; 0 where it is kept to."""
    return {
        metric: sum(state.fires for state in states) for metric, states in states_of(newest).items()
    }


def line_text(metric: str, states: list[MetricState]) -> str:
    """The states of a metric's line, in words.

    Example:
        >>> line_text("auc", [MetricState(900, 0.7, 0.6, 0.8, fires=True), MetricState(950, 0.9)])
        'alert on auc: on in 1 of 2 partitions'
        >>> line_text("auc", [MetricState(90, lacks="needs 100 labels, has 90")])
        'alert on auc: on in 0 of 1 partitions; 1 cannot tell, as it needs 100 labels, has 90'
    """
    firing = sum(one.fires for one in states)
    said = f"alert on {metric}: on in {firing} of {len(states)} partitions"
    lacking = [one.lacks for one in states if one.lacks]
    if not lacking:
        return said
    of = "as it" if len(lacking) == 1 else "as the first of them"
    return f"{said}; {len(lacking)} cannot tell, {of} {lacking[0]}"
