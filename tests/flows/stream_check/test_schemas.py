"""The schemas take every record that a flow writes, and no other."""

import json

import jsonschema_rs
import pytest

from flows.stream_check.schemas import async_api, json_schemas, records_of
from operators.shard.messages import Records
from operators.shard.shard import TOPICS, Shard
from state.settings import Settings
from tests.rides import records, stream

SCHEMAS = json_schemas(stream)


@pytest.fixture(scope="module")
def written():
    """The values in each topic after a history with a dead letter."""
    taken = records(2_000)
    found = {topic: [] for topic in TOPICS} | {"events": [record.value for record in taken]}
    shard = Shard(stream, Settings(), 0)
    bad = taken[-1]._replace(offset=len(taken), value=b"no event")
    for topic, (_, entries) in shard.apply(Records([*taken, bad])).entries.items():
        found[topic] += [entry.value for entry in entries]
    return {topic: [json.loads(value) for value in values] for topic, values in found.items()}


@pytest.mark.parametrize("topic", ["events", "predictions", "outcomes", "metrics", "dead_letters"])
def test_each_record_is_valid(written, topic):
    validator = jsonschema_rs.validator_for(SCHEMAS[topic])
    assert written[topic]
    for value in written[topic]:
        validator.validate(value)


@pytest.mark.parametrize("topic", ["events", "predictions", "outcomes", "metrics", "dead_letters"])
def test_a_record_that_lacks_a_field_is_not(written, topic):
    validator = jsonschema_rs.validator_for(SCHEMAS[topic])
    value = dict(written[topic][0])
    name = {"events": "id", "metrics": "records", "dead_letters": "reason"}.get(topic, "online")
    del value[name]
    assert not validator.is_valid(value)


def test_every_schema_is_one():
    for schema in SCHEMAS.values():
        jsonschema_rs.meta.validate(schema)


def test_the_columns_of_outcomes_are_the_streams():
    (outcome,) = [part for name, part in SCHEMAS["outcomes"]["$defs"].items() if name == "Outcome"]
    assert [*outcome["properties"]][-len(stream.columns) :] == [c.name for c in stream.columns]


def test_the_asyncapi_document_has_every_topic_and_no_loose_end():
    document = async_api(stream, Settings())
    assert document["asyncapi"] == "3.0.0"
    assert document["channels"].keys() == records_of(stream).keys()
    assert document["channels"]["predictions"]["address"] == "headwater.predictions"
    assert document["operations"]["receive_events"]["action"] == "receive"
    assert document["components"]["messages"]["Asked"]["headers"]["required"] == ["headwater"]

    def references(part):
        if isinstance(part, dict):
            yield from [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            for inner in part.values():
                yield from references(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from references(inner)

    found = [*references(document)]
    assert found
    for reference in found:
        at = document
        for name in reference.removeprefix("#/").split("/"):
            at = at[name]
