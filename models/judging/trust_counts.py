"""The thresholds from which a shard's answers can be trusted, and the answers they follow from."""

from typing import Annotated, Literal

import msgspec
import numpy as np

from models.judging.histograms import BINS
from models.judging.trust import trust

Trusted = Literal["act", "let_go", "unsure"]
"""A positive can be trusted; a negative can be trusted; neither can."""

ENOUGH = 500
"""Labels of each kind after which older answers are forgotten at the next decision."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Counts = list[list[list[_Count]]]
_PERIODS = 2
_SHAPE = (_PERIODS, 2, BINS)


class Thresholds(msgspec.Struct, frozen=True, omit_defaults=True):
    """The probabilities from which answers can be trusted; see `models.judging.trust`.

    Attributes:
        act: Lowest probability at which a positive can be trusted; None: at no probability.
        let_go: Probability below which a negative can be trusted; None: at no probability.
        negatives: Number of labelled answers with label 0, which `act` follows from.
        positives: Number of labelled answers with label 1, which `let_go` follows from.
    """

    act: _Probability | None = None
    let_go: _Probability | None = None
    negatives: _Count = 0
    positives: _Count = 0

    def of(self, probability: float, *, decision: bool) -> Trusted:
        """Whether an answer can be trusted.

        Args:
            probability: P(label is 1).
            decision: Whether it is taken as positive; it counts where both can be trusted.

        Example:
            >>> found = Thresholds(act=0.7, let_go=0.1)
            >>> [found.of(p, decision=p >= 0.5) for p in (0.05, 0.1, 0.6, 0.7)]
            ['let_go', 'unsure', 'unsure', 'act']
            >>> both = Thresholds(act=0.2, let_go=0.6)
            >>> [both.of(p, decision=p >= 0.5) for p in (0.1, 0.4, 0.5, 0.7)]
            ['let_go', 'let_go', 'act', 'act']
        """
        acts = self.act is not None and probability >= self.act
        lets_go = self.let_go is not None and probability < self.let_go
        if acts and (decision or not lets_go):
            return "act"
        return "let_go" if lets_go else "unsure"


class TrustCounts:
    """Histograms of labelled answers of this period and of the one before.

    A period ends at a decision on the offline model, once it has `ENOUGH` labels of each kind, so
    the thresholds follow from the newest answers, and never from a handful.

    Attributes:
        address: Address of this period's histogram, for compiled code; float64[2, BINS].
        thresholds: The thresholds in use; None: answers are not marked.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_SHAPE)
        self.address: int = self._counts[-1].ctypes.data
        self.thresholds: Thresholds | None = None

    def found(
        self, false_positives: float, false_negatives: float, confidence: float
    ) -> Thresholds:
        """The thresholds that follow from the answers now; see `models.judging.trust.trust`."""
        counts = self._counts.sum(axis=0)
        of = trust(counts, false_positives, false_negatives, confidence)
        return Thresholds(of.act.threshold, of.let_go.threshold, of.act.rows, of.let_go.rows)

    def decided(self, thresholds: Thresholds | None) -> None:
        """Use these thresholds from now on; a period ends if it has enough labels."""
        self.thresholds = thresholds
        before, now = self._counts
        if now.sum(axis=1).min() >= ENOUGH:
            before[:] = now
            now[:] = 0.0

    def snapshot(self) -> bytes:
        """Encode the histograms and the thresholds."""
        counts = self._counts.astype(np.int64).tolist()
        return msgspec.msgpack.encode((counts, self.thresholds))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: A length is invalid.
            msgspec.DecodeError: The bytes have another form, or a number is out of range.
        """
        kind = tuple[_Counts, Thresholds | None]
        counts, thresholds = msgspec.msgpack.decode(state, type=kind)
        lengths = [[len(row) for row in period] for period in counts]
        if lengths != [[BINS] * 2] * _PERIODS:
            msg = f"histograms must be of {_PERIODS} periods, 2 labels, {BINS} columns; got others"
            raise ValueError(msg)
        self._counts[:] = counts
        self.thresholds = thresholds
