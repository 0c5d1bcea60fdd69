"""Records in Protobuf as plain values, by the schema that the registry has: no generated class."""

from base64 import standard_b64decode
from decimal import Context, Decimal
from typing import Any

# Brings the files that schemas import without a reference, such as that of Timestamp.
import confluent_kafka.schema_registry.protobuf  # noqa: F401
from confluent_kafka.schema_registry import (
    Schema,
    SchemaRegistryClient,
    dual_schema_id_deserializer,
)
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import SerializationContext
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_TYPE = "PROTOBUF"
_COMPILED = "serialized"
"""The form in which the registry gives a schema: its `FileDescriptorProto` in base64."""

# As many digits as the bytes may hold: nothing is rounded.
_exact = Context(prec=300)
_DECIMALS = frozenset({"confluent.type.Decimal", "confluent.types.Decimal"})


class ProtobufRecords:
    """Decodes what Confluent's Protobuf serializers write, in any language.

    Names of fields are those of the schema. A field without a value of its own is null if it can
    tell that, else its default: so says Protobuf. Enums are their names, times RFC 3339.

    Args:
        registry: Has the schemas.
    """

    def __init__(self, registry: SchemaRegistryClient) -> None:
        self._registry = registry
        self._classes: dict[tuple[str, tuple[int, ...]], Any] = {}

    def __call__(self, content: bytes, context: SerializationContext) -> Any:
        """The message as an object of plain values; errors are the client's and the decoder's."""
        schema_id = SchemaId(_TYPE)
        payload = dual_schema_id_deserializer(content, context, schema_id)
        message = self._class_of(schema_id)()
        message.ParseFromString(payload.read())
        return _plain(message)

    def _class_of(self, schema_id: SchemaId) -> Any:
        indexes = tuple(schema_id.message_indexes or [0])
        known = str(schema_id.guid or schema_id.id), indexes
        if known not in self._classes:
            self._classes[known] = GetMessageClass(self._described(schema_id, indexes))
        return self._classes[known]

    def _described(self, schema_id: SchemaId, indexes: tuple[int, ...]) -> Descriptor:
        """The message that the indexes lead to, through those that are nested in one another."""
        if schema_id.guid is not None:
            schema = self._registry.get_schema_by_guid(str(schema_id.guid), fmt=_COMPILED)
        else:
            assert schema_id.id is not None
            schema = self._registry.get_schema(schema_id.id, fmt=_COMPILED)
        file, pool = _file_of(schema, "record.proto"), DescriptorPool()
        self._add(pool, file, schema, set())
        names = list(file.message_type)
        path = [file.package] if file.package else []
        for index in indexes:
            if not 0 <= index < len(names):
                msg = f"message must be one of {len(names)} in its schema; got index {index}"
                raise ValueError(msg)
            path.append(names[index].name)
            names = list(names[index].nested_type)
        return pool.FindMessageTypeByName(".".join(path))

    def _add(
        self, pool: DescriptorPool, file: FileDescriptorProto, schema: Schema | None, had: set[str]
    ) -> None:
        """Put a file into a pool, after the files that it imports."""
        had.add(file.name)
        references = {one.name: one for one in (schema.references or [])} if schema else {}
        for name in file.dependency:
            if name in had:
                continue
            one = references.get(name)
            if one is not None and one.subject is not None and one.version is not None:
                got = self._registry.get_version(one.subject, one.version, fmt=_COMPILED)
                self._add(pool, _file_of(got.schema, name), got.schema, had)
            else:
                self._add(pool, _common(name), None, had)
        pool.Add(file)


def _file_of(schema: Schema, name: str) -> FileDescriptorProto:
    file = FileDescriptorProto()
    file.ParseFromString(standard_b64decode(schema.schema_str or ""))
    file.name = name
    return file


def _common(name: str) -> FileDescriptorProto:
    """A file that schemas import without a reference, such as that of Timestamp."""
    file = FileDescriptorProto()
    try:
        descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
    except KeyError:
        msg = f"schema must reference what it imports; got no reference for {name!r}"
        raise ValueError(msg) from None
    return file


def _plain(message: Any) -> Any:
    """A message as plain values; those that Protobuf defines as it has them in JSON."""
    name = message.DESCRIPTOR.full_name
    if name in _DECIMALS:
        return Decimal(int.from_bytes(message.value, signed=True)).scaleb(-message.scale, _exact)
    if name.startswith("google.protobuf."):
        return json_format.MessageToDict(message)
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def _value(message: Any, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            inner = entry.fields_by_name["value"]
            return {str(key): _one(each, inner) for key, each in value.items()}
        return [_one(each, field) for each in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _one(value, field)


def _one(value: Any, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return _plain(value) if isinstance(value, Message) else value
