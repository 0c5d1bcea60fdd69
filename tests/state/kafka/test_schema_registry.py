"""Records that Confluent's own serializers wrote become events, by the schemas of a registry."""

import base64
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from state.events import Event, TimeUs
from state.features import Field
from state.ingest.mapping import Foreign, Mapper, Refused
from state.kafka.schema_registry import SchemaRegistry
from state.label import Label
from state.log import LogError
from state.settings import settings_from
from state.stream import Stream
from tests.kafka.schema_registry import registry as listening

AT = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)
AT_US = 1_772_368_200_250_000


class Sold(Event, frozen=True, kw_only=True):
    shop: str
    price: float
    pieces: int = 1
    due: TimeUs | None = None
    kind: str = ""
    tags: tuple[str, ...] = ()
    raw: bytes = b""
    note: str | None = None


class Returned(Event, frozen=True, kw_only=True):
    of: str


stream = Stream(
    name="shop",
    events=(Sold, Returned),
    request=Sold,
    label=Label(
        on=Returned,
        of="of",
        value=lambda _: True,
        deadline=lambda sold: sold.time + 1_000_000,
        silence=False,
        delay="1s",
    ),
    features=(Field("price"),),
)

AVRO = json.dumps({
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "number", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "shop", "type": ["null", "string"], "default": None},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9,
                                   "scale": 2}},
        {"name": "pieces", "type": "int"},
        {"name": "due", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["BOOK", "PEN"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "raw", "type": {"type": "fixed", "name": "Two", "size": 2}},
    ],
})  # fmt: skip
SALE = {
    "number": "s1",
    "at": AT,
    "shop": "Köln",
    "price": Decimal("12.50"),
    "pieces": 3,
    "due": date(2026, 3, 2),
    "kind": "PEN",
    "tags": ["a", "b"],
    "raw": b"\x00\xff",
}
MAPPING = {
    "topic": "sales",
    "event": "sold",
    "id": "number",
    "time": "at",
    "source": "const:till",
}
EVENT = Sold(
    id="s1",
    time=AT_US,
    source="till",
    shop="Köln",
    price=12.5,
    pieces=3,
    due=1_772_409_600_000_000,
    kind="PEN",
    tags=("a", "b"),
    raw=b"\x00\xff",
)


@pytest.fixture
def registry():
    with listening() as one:
        yield one


def client(registry):
    return SchemaRegistryClient({"url": registry.url})


def avro(registry, value, schema=AVRO, field=MessageField.VALUE):
    serialize = AvroSerializer(client(registry), schema)
    return serialize(value, SerializationContext("sales", field))


def mapper(registry, mapping, *, patience_s=5.0, say=print, **options):
    decoders = SchemaRegistry(registry.url, options, say, patience_s).decoders()
    settings = settings_from(
        {
            "ingest": {"topics": [mapping]},
            "kafka": {"schema_registry": registry.url},
        }
    )
    return Mapper(stream, settings.ingest.topics, decoders)


def record(value, key=b"", headers=None):
    return Foreign("sales", 0, 7, AT_US, key, headers or {}, value)


def event_of(outcome):
    assert not isinstance(outcome, Refused), outcome
    return stream.decoder().decode(outcome[1])


def test_a_record_in_avro_becomes_an_event_with_its_logical_types(registry):
    value = avro(registry, SALE)
    assert value[:5] == b"\x00\x00\x00\x00\x01"
    assert event_of(mapper(registry, MAPPING | {"format": "avro"}).map(record(value))) == EVENT


def test_a_null_of_avro_is_left_out_where_the_field_knows_none(registry):
    value = avro(registry, SALE | {"shop": None})
    outcome = mapper(registry, MAPPING | {"format": "avro"}).map(record(value))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "invalid"
    assert "shop" in outcome.detail


def test_a_key_may_be_a_record_a_text_of_a_schema_or_plain_text(registry):
    value = avro(registry, SALE)
    whole = json.dumps({"type": "record", "name": "K", "fields": [{"name": "no", "type": "long"}]})
    keys = {
        "key:no": avro(registry, {"no": 2**40}, whole, MessageField.KEY),
        "key": avro(registry, "k-1", '"string"', MessageField.KEY),
    }
    found = {
        place: event_of(
            mapper(registry, MAPPING | {"format": "avro", "id": place}).map(record(value, key))
        ).id
        for place, key in keys.items()
    }
    assert found == {"key:no": "1099511627776", "key": "k-1"}
    plain = mapper(registry, MAPPING | {"format": "avro", "id": "key"})
    assert event_of(plain.map(record(value, b"plain"))).id == "plain"


def test_an_evolved_schema_is_taken_as_each_record_has_it(registry):
    old = json.loads(AVRO)
    new = {**old, "fields": [*old["fields"], {"name": "note", "type": "string"}]}
    mapped = mapper(registry, MAPPING | {"format": "avro"})
    notes = [
        event_of(mapped.map(record(value))).note
        for value in (
            avro(registry, SALE),
            avro(registry, SALE | {"note": "gift"}, json.dumps(new)),
            avro(registry, SALE),
        )
    ]
    assert notes == [None, "gift", None]


def test_each_schema_is_asked_for_once(registry):
    value = avro(registry, SALE)
    mapped = mapper(registry, MAPPING | {"format": "avro"})
    registry.asked.clear()
    for _ in range(3):
        event_of(mapped.map(record(value)))
    assert len(registry.asked) == 1


FILE = descriptor_pb2.FileDescriptorProto(
    name="tests_sale.proto",
    package="shop.v1",
    syntax="proto3",
    dependency=["google/protobuf/timestamp.proto", "tests_common.proto"],
)
COMMON = descriptor_pb2.FileDescriptorProto(
    name="tests_common.proto", package="shop.v1", syntax="proto3"
)
_KINDS = descriptor_pb2.FieldDescriptorProto


def add(message, name, number, kind, of=None, *, repeated=False, optional=False):
    field = message.field.add(name=name, number=number, type=kind, type_name=of)
    field.label = _KINDS.LABEL_REPEATED if repeated else _KINDS.LABEL_OPTIONAL
    if optional:
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")


def sale_class():
    """The class that `protoc` would generate from the two files."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(FILE.name)
    except KeyError:
        kinds = COMMON.enum_type.add(name="Kind")
        kinds.value.add(name="BOOK", number=0)
        kinds.value.add(name="PEN", number=1)
        outer = FILE.message_type.add(name="Other")
        sale = outer.nested_type.add(name="Sale")
        add(sale, "number", 1, _KINDS.TYPE_STRING)
        add(sale, "at", 2, _KINDS.TYPE_MESSAGE, ".google.protobuf.Timestamp")
        add(sale, "shop", 3, _KINDS.TYPE_STRING)
        add(sale, "price", 4, _KINDS.TYPE_DOUBLE)
        add(sale, "pieces", 5, _KINDS.TYPE_INT64)
        add(sale, "kind", 6, _KINDS.TYPE_ENUM, ".shop.v1.Kind")
        add(sale, "tags", 7, _KINDS.TYPE_STRING, repeated=True)
        add(sale, "raw", 8, _KINDS.TYPE_BYTES)
        add(sale, "note", 9, _KINDS.TYPE_STRING, optional=True)
        pool.Add(COMMON)
        pool.Add(FILE)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.v1.Other.Sale"))


def protobuf(registry, **fields):
    kind = sale_class()
    at = timestamp_pb2.Timestamp()
    at.FromDatetime(AT)
    message = kind(number="s1", at=at, shop="Köln", price=12.5, raw=b"\x00\xff", **fields)
    serialize = ProtobufSerializer(kind, client(registry))
    return serialize(message, SerializationContext("sales", MessageField.VALUE))


def test_a_record_in_protobuf_becomes_an_event_without_a_generated_class(registry):
    value = protobuf(registry, pieces=3, kind=1, tags=["a", "b"])
    mapping = MAPPING | {"format": "protobuf", "when": {"pieces": 3}}
    found = event_of(mapper(registry, mapping).map(record(value)))
    assert found == msgspec.structs.replace(EVENT, due=None)


def test_an_optional_field_of_protobuf_is_null_until_it_is_set(registry):
    mapped = mapper(registry, MAPPING | {"format": "protobuf"})
    values = [protobuf(registry), protobuf(registry, note=""), protobuf(registry, note="x")]
    notes = [event_of(mapped.map(record(value))).note for value in values]
    assert notes == [None, "", "x"]


BROKEN = {
    "no frame": b"plain text",
    "empty": b"",
    "cut off": b"\x00\x00\x00",
    "a schema that is not there": b"\x00\x00\x00\x00\x63" + b"\x00" * 20,
    "JSON": b'{"number": "s1"}',
    "garbage": b"\x00\x00\x00\x00\x01" + b"\xff" * 40,
}


@pytest.mark.parametrize("form", ["avro", "protobuf"])
@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN.keys())
def test_a_value_that_no_schema_explains_is_a_dead_letter(registry, form, value):
    (avro(registry, SALE) if form == "avro" else protobuf(registry))
    outcome = mapper(registry, MAPPING | {"format": form}).map(record(value))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "malformed"
    assert outcome.detail.startswith(f"no {form}: ")


def test_an_unknown_schema_is_named(registry):
    outcome = mapper(registry, MAPPING | {"format": "avro"}).map(
        record(SchemaId("AVRO", 99).id_to_bytes() + b"12345")
    )
    assert outcome == Refused(
        "malformed",
        "no avro: schema registry must have the record's schema; got 'Schema 99 not found.'",
    )


def test_a_registry_that_is_down_is_waited_for_and_then_ends_the_ingest(registry):
    value = avro(registry, SALE)
    registry.status = 503
    said = []
    mapped = mapper(registry, MAPPING | {"format": "avro"}, patience_s=1.0, say=said.append)
    with pytest.raises(LogError, match="schema registry must answer within 1 s; got 'out of order"):
        mapped.map(record(value))
    assert said
    registry.status = 200
    assert event_of(mapped.map(record(value))) == EVENT


def test_a_registry_that_nobody_runs_ends_the_ingest():
    with listening() as gone:
        value = avro(gone, SALE)
    mapped = mapper(gone, MAPPING | {"format": "avro"}, patience_s=0.5)
    with pytest.raises(LogError, match="schema registry must answer within 0 s; got"):
        mapped.map(record(value))


def test_user_and_password_are_sent_and_wrong_ones_told(registry):
    value = avro(registry, SALE)
    registry.user = base64.b64encode(b"ada:open-sesame-7").decode()
    right = mapper(
        registry, MAPPING | {"format": "avro"}, **{"basic.auth.user.info": "ada:open-sesame-7"}
    )
    assert event_of(right.map(record(value))) == EVENT
    wrong = mapper(registry, MAPPING | {"format": "avro"})
    with pytest.raises(LogError, match="schema registry must accept our login"):
        wrong.map(record(value))


def test_an_address_of_no_registry_is_told(registry):
    value = avro(registry, SALE)
    registry.url += "/no/registry"
    with pytest.raises(LogError, match=r"is kafka.schema_registry right"):
        mapper(registry, MAPPING | {"format": "avro"}).map(record(value))


def test_an_unknown_option_is_refused(registry):
    with pytest.raises(ValueError, match=r"kafka.schema_registry must suit.*Unrecognized"):
        mapper(registry, MAPPING, **{"no.such.option": 1})


@pytest.mark.parametrize(
    ("kafka", "wrong"),
    [
        ({"schema_registry": "host:8081"}, "must be like 'http://host:8081'; got 'host:8081'"),
        ({"schema_registry": "http://a:8081,"}, "must be like 'http://host:8081'; got ''"),
        ({"schema_registry": "https://ada:pw@host"}, "must name no user or password"),
        (
            {"schema_registry_options": {"basic.auth.user.info": "ada:pw"}},
            "must name a variable, such as 'env:KAFKA_SECRET'",
        ),
    ],
)
def test_settings_of_a_registry_are_checked(kafka, wrong):
    with pytest.raises(ValueError, match=wrong):
        settings_from({"kafka": kafka})


def test_a_format_of_a_registry_needs_one():
    topics = settings_from({"ingest": {"topics": [MAPPING | {"format": "avro"}]}}).ingest.topics
    with pytest.raises(ValueError, match=r"'avro' must have a schema registry.*kafka.schema_regis"):
        Mapper(stream, topics)
