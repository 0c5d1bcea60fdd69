"""Steps whose length each place finds for itself, so that nobody has to set one.

Autostep (Mahmood, Sutton, Degris and Pilarski, Tuning-free step-size adaptation, 2012), for the
log-loss: a place has a gain of its own. It grows while the steps there keep pointing the same way,
as where a weight wanders, and shrinks while they undo each other, as where a column says nothing.
So what drifts is followed without the noise of all that does not.
"""

from typing import Any

import numba

GAIN, TRACE, SPAN = 0, 1, 2
"""Numbers kept for each place: its gain, the trace of its steps, and the scale of their product."""
KEPT = 3
_META = 0.05
_SLOWLY = 1e-4
_LEAST, _MOST = 1e-9, 2.0

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def step(held: Any, entries: Any, learner: Any, error: float, curvature: float) -> None:
    """One step of one learner.

    All places together correct the error at most once, and no place corrects more than twice its
    share of it, however rarely its input is not 0.

    Args:
        held: `weights`, float64[room, columns]; `memory`, float64[room, kept], where gain, trace
            and span are side by side; and `rows`, int32[places], the row of each place.
        entries: The design, see `bank_kernels.learn`.
        learner: The learner's column in `weights`, the column of its gain in `memory`, and the
            first gain of a place, times the sum of the squares of the design.
        error: Probability minus label.
        curvature: Second derivative of the loss: p (1 - p).
    """
    weights, memory, rows = held
    place, value, m, norm = entries
    column, at, first = learner
    total = 0.0
    for i in range(m):
        r, v = rows[place[i]], value[i]
        gain = memory[r, at + GAIN]
        if gain == 0.0:
            gain = first / norm
        helps = -error * v * memory[r, at + TRACE]
        far, span = abs(helps), memory[r, at + SPAN]
        span = max(far, span + _SLOWLY * gain * v * v * (far - span))
        if span > 0.0:
            gain *= 1.0 + _META * helps / span
        gain = min(max(gain, _LEAST), _MOST / norm)
        memory[r, at + GAIN], memory[r, at + SPAN] = gain, span
        total += gain * v * v
    shrunk = 1.0 / max(1.0, total)
    for i in range(m):
        r, v = rows[place[i]], value[i]
        gain = memory[r, at + GAIN] * shrunk
        moved = -gain * error * v
        stays = max(0.0, 1.0 - gain * v * v * curvature)
        memory[r, at + GAIN] = gain
        memory[r, at + TRACE] = memory[r, at + TRACE] * stays + moved
        weights[r, column] += moved
