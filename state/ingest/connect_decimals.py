"""Decode decimals of Kafka Connect in JSON: the bytes of a whole number, in base64.

See `org.apache.kafka.connect.data.Decimal`: two's complement, the highest byte first; the scale is
in the schema. Debezium's `VariableScaleDecimal` is an object with `scale` and `value`.
"""

import binascii
from decimal import Context, Decimal
from typing import Any

_MOST_CHARACTERS = 100
_MOST_SCALE = 1_000
# Enough digits for all bytes, so that nothing is rounded.
_exact = Context(prec=300)


def connect_decimal(value: Any, scale: int, name: str) -> Decimal:
    """Decode a decimal from base64 text, or from an object with its own scale.

    Args:
        value: A JSON value.
        scale: Digits after the point, unless the object has them.
        name: Name of the field, for errors.

    Raises:
        ValueError: The value is not such a decimal.

    Example:
        >>> connect_decimal("MDk=", 2, "price"), connect_decimal("/w==", 0, "price")
        (Decimal('123.45'), Decimal('-1'))
    """
    if isinstance(value, dict):
        scale, value = value.get("scale"), value.get("value")  # type: ignore[assignment]
    is_scale = isinstance(scale, int) and abs(scale) <= _MOST_SCALE
    if is_scale and isinstance(value, str) and 0 < len(value) <= _MOST_CHARACTERS:
        try:
            unscaled = int.from_bytes(binascii.a2b_base64(value, strict_mode=True), signed=True)
        except ValueError:
            unscaled = None
        if unscaled is not None:
            return Decimal(unscaled).scaleb(-scale, _exact)
    msg = f"{name} must be a decimal of Connect, bytes in base64; got {value!r:.80}"
    raise ValueError(msg)
