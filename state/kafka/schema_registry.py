"""Records in Avro and Protobuf, whose schemas are in a Confluent-compatible schema registry.

Only ingest asks the registry: what enters the log is JSON, so a replay never needs it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx2
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    SchemaRegistryError,
    topic_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from state.ingest.mapping import Decode, Foreign
from state.kafka.protobuf_records import ProtobufRecords
from state.log import LogError

T = TypeVar("T")

_REQUEST_S = 10.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_REFUSED = frozenset({401, 403})
_BUSY = frozenset({408, 429})
# The registry's codes for a subject, a version and a schema that it has not got.
_UNKNOWN = frozenset({40401, 40402, 40403})
_CONTEXT = {"subject.name.strategy": topic_subject_name_strategy}


class SchemaRegistry:
    """A client of a schema registry for the decoders of foreign records; it caches all schemas.

    Args:
        url: Address of the registry; several are separated by commas.
        options: Options of Confluent's client, such as `"basic.auth.user.info"`.
        say: Called with a line while waiting for the registry.
        patience_s: Longest wait for one answer, seconds.

    Raises:
        ValueError: The client has no such option.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, str | int | float | bool],
        say: Callable[[str], None],
        patience_s: float,
    ) -> None:
        self._url, self._say, self._patience_s = url, say, patience_s
        conf = {"timeout": _REQUEST_S, "max.retries": 0, **options, "url": url}
        try:
            self._client = SchemaRegistryClient(conf)
            self._avro = AvroDeserializer(self._client, conf=_CONTEXT)
        except (ValueError, TypeError) as error:
            msg = f"kafka.schema_registry must suit Confluent's client; got '{error}'"
            raise ValueError(msg) from error
        self._protobuf = ProtobufRecords(self._client)

    def decoders(self) -> dict[str, Decode]:
        """Decoders of keys and values, by format.

        They raise a ValueError for bytes that are broken or have no schema in the registry, and a
        LogError if the registry refuses or does not answer.
        """
        return {"avro": self._decoder(self._avro), "protobuf": self._decoder(self._protobuf)}

    def _decoder(self, deserialize: Callable[[bytes, SerializationContext], Any]) -> Decode:
        def decode(content: bytes, record: Foreign, *, is_key: bool) -> Any:
            field = MessageField.KEY if is_key else MessageField.VALUE
            context = SerializationContext(record.topic, field, [*record.headers.items()])
            return self._patiently(lambda: deserialize(content, context))

        return decode

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call a function that may ask the registry; retry while the registry is unreachable."""
        until, wait_s = time.monotonic() + self._patience_s, _FIRST_WAIT_S
        while True:
            try:
                return call()
            except httpx2.TransportError as error:
                cause = str(error) or type(error).__name__
            except SchemaRegistryError as error:
                self._judge(error)
                cause = str(error)
            except Exception as error:  # a foreign decoder on foreign bytes: it may be any
                msg = str(error) or type(error).__name__
                raise ValueError(msg) from error
            if time.monotonic() + wait_s > until:
                msg = (
                    f"schema registry must answer within {self._patience_s:.0f} s; got '{cause}' "
                    f"from {self._url}: nothing was lost, the next start goes on"
                )
                raise LogError(msg)
            if wait_s > _FIRST_WAIT_S:
                self._say(f"Waiting for the schema registry at {self._url}: {cause}")
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _judge(self, error: SchemaRegistryError) -> None:
        """Return if a retry may help; else raise."""
        if error.error_code in _UNKNOWN:
            msg = f"schema registry must have the record's schema; got '{error.error_message}'"
            raise ValueError(msg) from error
        status = error.http_status_code
        if status in _REFUSED:
            msg = (
                f"schema registry must accept our login; got '{error}' from {self._url}: "
                "kafka.schema_registry_options name user and password"
            )
            raise LogError(msg) from error
        if status < 500 and status not in _BUSY:
            msg = (
                f"cannot get a schema: '{error}' from {self._url}: is kafka.schema_registry right?"
            )
            raise LogError(msg) from error
