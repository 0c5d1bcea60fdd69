"""The running hash over predictions shows whatever was done to them but a cut at the end."""

import hashlib
import json

import pytest

from state.outputs.prediction_chain import START, first_unlinked, link
from state.outputs.records import Prediction


def made(n):
    return Prediction(
        f"r{n}", 1_700_000_000_000_000 + n, "ké", 0.1 + n / 9, 1e-9 * n, None if n < 3 else n / 7,
        None, n % 2 == 0, None if n < 3 else "gbm-1", 4, 10 * n,
    )  # fmt: skip


@pytest.fixture
def values():
    chain, values = START, []
    for n in range(6):
        chain, value = link(chain, made(n))
        values.append(value)
    return values


def test_a_value_is_the_prediction_with_its_chain_and_each_hashes_all_before_it(values):
    before = "0000000000000000"
    for n, value in enumerate(values):
        fields = json.loads(value)
        chain = fields.pop("chain")
        assert fields == {
            name: getattr(made(n), name) for name in Prediction.__struct_fields__[:-2]
        }
        assert value.endswith(b',"chain":"%s"}' % chain.encode())
        hashed = before.encode() + value.replace(chain.encode(), b"")
        assert chain == hashlib.blake2b(hashed, digest_size=8).hexdigest()
        before = chain


def test_what_nobody_touched_fits_from_the_start_and_from_any_place(values):
    assert first_unlinked(values) is None
    assert first_unlinked([]) is None
    chain = json.loads(values[2])["chain"]
    assert first_unlinked(values[3:], before=chain) is None


@pytest.mark.parametrize(
    ("tampered", "place"),
    [
        (lambda v: v[:2] + v[3:], 2),  # left out
        (lambda v: v[:2] + v[1:], 2),  # twice
        (lambda v: [v[0], v[2], v[1], *v[3:]], 1),  # moved
        (lambda v: v[1:], 0),
        (lambda v: [*v[:4], v[4].replace(b'"r4"', b'"r5"'), v[5]], 4),
        (lambda v: [*v[:4], v[4].replace(b"true", b"false"), v[5]], 4),
        (lambda v: [*v[:4], link(START, made(4))[1], v[5]], 4),  # altered, and hashed anew
        (lambda v: [*v[:5], b"no prediction"], 5),
        (lambda v: [*v[:5], v[5].replace(b'"r5"', b'"\xff"')], 5),
    ],
)
def test_the_first_that_does_not_fit_is_told(values, tampered, place):
    assert first_unlinked(tampered(values)) == place
