"""The running hash over a partition's predictions: two histories compare in one look."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from state.outputs.records import Prediction

START = "0" * 16
"""What the first prediction of a partition is linked to."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Prediction).decode


def link(before: str, prediction: Prediction) -> tuple[str, bytes]:
    """The chain after a prediction, and the prediction as JSON with it.

    The chain is the hex blake2b, 8 bytes long, of the chain before (16 ASCII characters) followed
    by the prediction as compact JSON, fields in the order of `Prediction`, with `chain` empty. It
    is defined over JSON whatever the log holds.

    Args:
        before: The chain of the partition's prediction before, or `START`.
        prediction: Its own `chain` is empty.

    Example:
        >>> made = Prediction("a", 5, "k", 0.5, 0.5, None, None, True, None, 0, 0)
        >>> chain, value = link(START, made)
        >>> unlinked = value.replace(chain.encode(), b"")
        >>> chain == blake2b(START.encode() + unlinked, digest_size=8).hexdigest()
        True
    """
    unlinked = _encode(prediction)
    chain = blake2b(before.encode() + unlinked, digest_size=8).hexdigest()
    return chain, unlinked[:-2] + chain.encode() + b'"}'  # the field is the last: ...,"chain":""}


def chain_of(value: bytes) -> str:
    """The chain that a recorded prediction ends with; empty if it is none.

    Example:
        >>> made = Prediction("a", 5, "k", 0.5, 0.5, None, None, True, None, 0, 0)
        >>> chain, value = link(START, made)
        >>> chain_of(value) == chain
        True
    """
    try:
        return _decode(value).chain
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def first_unlinked(values: Iterable[bytes], before: str = START) -> int | None:
    """The place of the first prediction that does not follow from those before it; None: all do.

    One that was altered, left out, put in or moved does not fit, or the one after it does not;
    what was cut off at the end leaves no trace here.

    Args:
        values: Of the topic `predictions`, one partition, in order.
        before: The chain of the prediction before the first of them.

    Example:
        >>> made = Prediction("a", 5, "k", 0.5, 0.5, None, None, True, None, 0, 0)
        >>> chain, first = link(START, made)
        >>> _, second = link(chain, made)
        >>> first_unlinked([first, second]), first_unlinked([second]), first_unlinked([b"{}"])
        (None, 0, 0)
        >>> first_unlinked([second], before=chain)
    """
    for place, value in enumerate(values):
        try:
            found = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return place
        before, _ = link(before, msgspec.structs.replace(found, chain=""))
        if found.chain != before:
            return place
    return None
