"""JSON Schema of each topic's records, and an AsyncAPI document of all topics.

See https://json-schema.org/draft/2020-12/schema and https://www.asyncapi.com/docs/reference/.
"""

from typing import Any

import msgspec

from flows.errors.user_errors import CommandError
from flows.home.home import wanted_topics
from models.refit.fit_record import FitRecord
from operators.partition.journal import Activated, Configured, Crossed
from operators.training.model_registry import RolledBack
from operators.training.training_cuts import TrainingCut
from state.ingest.positions import Ingested
from state.log import EVENTS
from state.outputs.records import Alert, DeadLetter, Metrics, Prediction, outcome_type
from state.settings import Settings
from state.stream import Stream
from state.topics import INGESTED, ROLLBACKS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCHEMAS = "#/components/schemas/"
_KEYED = ("predictions", "outcomes")
_HEADERS = {
    "type": "object",
    "required": ["headwater"],
    "properties": {
        "headwater": {
            "type": "string",
            "format": "binary",
            "description": "Sequence in the topic partition and append time (µs since 1970 UTC), "
            "each a little-endian signed integer of 8 bytes, then the writer's name in UTF-8.",
        },
        "headwater-format": {
            "type": "string",
            "enum": ["msgpack"],
            "description": "If present, the value is the JSON document as MessagePack.",
        },
    },
}


def records_of(stream: Stream) -> dict[str, tuple[type[msgspec.Struct], ...]]:
    """Record types of each topic; times in them are µs since 1970 UTC."""
    return {
        EVENTS: stream.events,
        "predictions": (Prediction,),
        "outcomes": (outcome_type(stream),),
        "metrics": (Metrics,),
        "alerts": (Alert,),
        "dead_letters": (DeadLetter,),
        "models": (FitRecord,),
        "activations": (Activated, Crossed, Configured),
        "snapshots": (TrainingCut,),
        INGESTED: (Ingested,),
        ROLLBACKS: (RolledBack,),
    }


def json_schemas(stream: Stream) -> dict[str, dict[str, Any]]:
    """Build the JSON Schema of each topic's records.

    Raises:
        CommandError: An event has a field of a type that JSON Schema does not support.
    """
    found = {}
    for topic, kinds in records_of(stream).items():
        schemas, parts = _components(kinds, "#/$defs/{name}")
        one = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
        found[topic] = {"$schema": _DIALECT, "title": topic, **one, "$defs": parts}
    return found


def async_api(stream: Stream, settings: Settings) -> dict[str, Any]:
    """Build the AsyncAPI 3 document of a stream's topics in Kafka.

    Args:
        stream: The stream's definition.
        settings: Settings with the topics' prefix.

    Raises:
        CommandError: As for `json_schemas`.
    """
    records, partitions = records_of(stream), settings.partitions or stream.partitions
    counts = wanted_topics(partitions)
    kinds = [kind for several in records.values() for kind in several]
    refs, schemas = _components(kinds, f"{_SCHEMAS}{{name}}")
    # msgspec gives two types of one name longer, distinct names.
    named = (ref["$ref"].removeprefix(_SCHEMAS) for ref in refs)
    names = {topic: [next(named) for _ in several] for topic, several in records.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Headwater: {stream.name}",
            "version": "1.0.0",
            "description": "The topics of one stream. Times are µs since 1970 UTC.",
        },
        "defaultContentType": "application/json",
        "channels": {
            topic: {
                "address": f"{settings.kafka.prefix}{topic}",
                "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in several},
                "bindings": {"kafka": {"partitions": counts[topic], "bindingVersion": "0.5.0"}},
            }
            for topic, several in names.items()
        },
        "operations": {
            f"{'receive' if topic == EVENTS else 'send'}_{topic}": {
                "action": "receive" if topic == EVENTS else "send",
                "channel": {"$ref": f"#/channels/{topic}"},
            }
            for topic in names
        },
        "components": {
            "messages": {
                one: _message(one, topic, stream)
                for topic, several in names.items()
                for one in several
            },
            "schemas": schemas,
        },
    }


def _message(name: str, topic: str, stream: Stream) -> dict[str, Any]:
    key = "Empty."
    if stream.key is not None and topic in {EVENTS, *_KEYED}:
        fields = {field for field in stream.key_fields.values() if field}
        key = f"Partition key of the event, its field {' or '.join(sorted(fields))}."
    return {
        "name": name,
        "contentType": "application/json",
        "headers": _HEADERS,
        "payload": {"$ref": f"{_SCHEMAS}{name}"},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}
        },
    }


def _components(kinds: Any, template: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    try:
        return msgspec.json.schema_components(kinds, ref_template=template)
    except TypeError as error:
        msg = f"fields of events must have types that JSON supports; got '{error}'"
        raise CommandError(msg) from error
