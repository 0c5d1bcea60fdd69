"""The lines that metrics of a shard's answers must keep to, and which of them are crossed.

A line is crossed once the whole 95 % interval lies beyond it, and kept to again once the metric
itself is back. Answers count in request order, by the event time of their request.
"""

from typing import Annotated, Literal

import msgspec

from models.judging.histograms import Estimate
from models.judging.metric_figures import METRICS, Metric, figure, lacking
from models.judging.metric_window import MetricWindow
from state.admission.request_order import DueRequest
from state.outputs.records import Alert, MetricState
from state.settings import AlertLine, Settings

_DIGITS = 6

_Windows = dict[Annotated[int, msgspec.Meta(ge=1)], bytes]
_State = tuple[list[Metric], _Windows]
_Kind = Literal["metric", "metric_recovered"]


class MetricAlerts:
    """The windows of a shard's answers, and the alerts that follow from them at its ticks.

    Args:
        settings: Settings `alerts` and `decision.threshold` apply.
    """

    def __init__(self, settings: Settings) -> None:
        self._windows: dict[int, MetricWindow] = {}
        self._crossed: set[Metric] = set()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Apply other settings; windows of a length that is still used keep their counts."""
        self._lines: dict[Metric, AlertLine] = {
            name: settings.alerts[name] for name in METRICS if name in settings.alerts
        }
        self._threshold = settings.decision.threshold
        spans = sorted({int(line.window) for line in self._lines.values()})
        self._windows = {span: self._windows.get(span) or MetricWindow(span) for span in spans}

    @property
    def is_used(self) -> bool:
        """Whether there is a line, or one that was crossed when it was removed."""
        return bool(self._windows or self._crossed)

    def add(self, request: DueRequest) -> None:
        """Count an answer whose turn has come, by the current decision threshold."""
        p = request.probability
        for window in self._windows.values():
            window.add(request.label, p, p >= self._threshold, request.event_time)

    def look(self, time: int, partition: int) -> tuple[dict[str, MetricState], list[Alert]]:
        """The state of each line, and the alerts of those that were crossed or are kept to again.

        Args:
            time: Event time of the tick, µs.
            partition: The shard's partition, which the alerts name.
        """
        states: dict[str, MetricState] = {}
        alerts = []
        tallies = {span: window.tally() for span, window in self._windows.items()}
        for metric, line in self._lines.items():
            tally = tallies[int(line.window)]
            n, lacks = int(tally.decided.sum()), lacking(metric, tally)
            found = None if lacks else figure(metric, tally)
            if found is not None:
                found = Estimate(*(round(of, _DIGITS) for of in found))
                kind = self._judge(metric, line, found)
                if kind is not None:
                    message = f"{metric} of partition {partition} {line_message(line, found, n)}"
                    alerts.append(Alert(kind, time, message))
            value, low, high = found or (None, None, None)
            states[metric] = MetricState(n, value, low, high, metric in self._crossed, lacks)
        for metric in METRICS:
            if metric in self._crossed and metric not in self._lines:
                self._crossed.remove(metric)
                message = f"{metric} of partition {partition} is no longer watched"
                alerts.append(Alert("metric_recovered", time, message))
        return states, alerts

    def _judge(self, metric: Metric, line: AlertLine, found: Estimate) -> _Kind | None:
        """Cross the line, or keep to it again; return the kind of that change."""
        if metric in self._crossed:
            if line.is_beyond(found.value):
                return None
            self._crossed.remove(metric)
            return "metric_recovered"
        if not (line.is_beyond(found.low) and line.is_beyond(found.high)):
            return None
        self._crossed.add(metric)
        return "metric"

    def snapshot(self) -> bytes:
        """Encode the windows, and the lines that are crossed."""
        windows = {span: window.snapshot() for span, window in self._windows.items()}
        return msgspec.msgpack.encode(([m for m in METRICS if m in self._crossed], windows))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: The windows are of other lengths than the settings', or invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        crossed, windows = msgspec.msgpack.decode(state, type=_State)
        if windows.keys() != self._windows.keys():
            msg = f"windows must be of {sorted(self._windows)} µs; got {sorted(windows)}"
            raise ValueError(msg)
        for span, content in windows.items():
            self._windows[span].restore(content)
        self._crossed = set(crossed)


def line_message(line: AlertLine, found: Estimate, labels: int) -> str:
    """A metric and its line, as the end of a sentence.

    Example:
        >>> line = AlertLine(below=0.75)
        >>> line_message(line, Estimate(0.71234, 0.69, 0.7345), 1812)
        'is 0.7123 (0.6900 to 0.7345) over 1d, below 0.75, by 1,812 labels'
        >>> line_message(line, Estimate(0.7512, 0.73, 0.77), 1812)
        'is 0.7512 (0.7300 to 0.7700) over 1d, no longer below 0.75, by 1,812 labels'
    """
    again = "" if line.is_beyond(found.value) else "no longer "
    return (
        f"is {found.value:.4f} ({found.low:.4f} to {found.high:.4f}) over {line.window}, "
        f"{again}{line.text}, by {labels:,} labels"
    )
