"""The turnaround hook restores only valid legs of aircraft from a checkpoint."""

import msgspec
import pytest

from flows.streams.turnaround import AircraftLeg, Turnaround

LEG = msgspec.to_builtins(AircraftLeg("f1", 0, 10, 5, 15, delay_out=3.0))


def restored(**changes):
    hook = Turnaround()
    hook.restore(msgspec.msgpack.encode({"N1": LEG | changes}))
    return hook


def test_a_leg_comes_back():
    assert restored()._legs == {"N1": AircraftLeg("f1", 0, 10, 5, 15, delay_out=3.0)}


@pytest.mark.parametrize(
    "changes",
    [
        {"delay_out": float("nan")},
        {"delay_in": float("inf")},
        {"delay_in": 1e300},
        {"touched": 2**63},
        {"due": -(2**62)},
        {"planned": 0.5},
        {"of": None},
    ],
)
def test_what_is_no_leg_is_refused(changes):
    with pytest.raises(msgspec.ValidationError):
        restored(**changes)
