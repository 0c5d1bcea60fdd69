"""Running hash over a partition's predictions: equal hashes mean equal histories."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from state.outputs.records import Prediction

START = "0" * 16
"""The chain before the first prediction of a partition."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Prediction).decode


def link(before: str, prediction: Prediction) -> tuple[str, bytes]:
    """The chain after a prediction, and the prediction as JSON with that chain.

    The chain is the hex blake2b (8 bytes) of the previous chain (16 ASCII characters) followed by
    the prediction as compact JSON, fields in the order of `Prediction`, with an empty `chain`. It
    is defined over JSON, whatever format the log holds.

    Args:
        before: Chain of the partition's previous prediction, or `START`.
        prediction: Prediction with an empty `chain`.

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
    """The chain of a recorded prediction; empty if the value is not a prediction.

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
    """Index of the first prediction whose chain does not follow from the previous one, or None.

    If a prediction was altered, removed, inserted or moved, its own chain or the next one does not
    fit; a loss at the end cannot be seen here.

    Args:
        values: Records of topic `predictions`, one partition, in order.
        before: Chain of the prediction before the first one.

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
