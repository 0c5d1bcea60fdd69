"""Declarations of the features that make a stream's feature vector.

`state.vector.feature_state` compiles them.

Names of fields are checked when a stream is made. A *reading* is the name of a field or a function
of the event, which must be pure; null and NaN are missing readings. Each kind of feature is a file
in `state/kinds`.
"""

from state.counted import Counted, Labelled, Reading
from state.kinds.arithmetic import Difference, Ratio
from state.kinds.bins import Bins
from state.kinds.calendar import Calendar
from state.kinds.category import Category
from state.kinds.custom import Custom
from state.kinds.distinct import Distinct
from state.kinds.elapsed import Elapsed
from state.kinds.ewma import Ewma
from state.kinds.field import Field
from state.kinds.kind import Column, Hook, Transform
from state.kinds.kind import Kind as Feature
from state.kinds.last import Last
from state.kinds.latest import Latest
from state.kinds.local_calendar import CalendarPart
from state.kinds.rolling import Rolling
from state.kinds.since_last import SinceLast
from state.kinds.statistics import Count, Mean, Rate, Statistic, Sum

__all__ = [
    "Bins",
    "Calendar",
    "CalendarPart",
    "Category",
    "Column",
    "Count",
    "Counted",
    "Custom",
    "Difference",
    "Distinct",
    "Elapsed",
    "Ewma",
    "Feature",
    "Field",
    "Hook",
    "Labelled",
    "Last",
    "Latest",
    "Mean",
    "Rate",
    "Ratio",
    "Reading",
    "Rolling",
    "SinceLast",
    "Statistic",
    "Sum",
    "Transform",
    "columns_of",
]


def columns_of(feature: Feature) -> tuple[Column, ...]:
    """The columns of a feature in the vector, in order.

    Example:
        >>> from state.events import Event
        >>> [c.name for c in columns_of(Rolling(Event, ("host",), ("1h", "3h"), (Count(),)))]
        ['host_count_1h', 'host_count_3h']
    """
    return feature.columns
