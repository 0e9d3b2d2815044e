"""The AsyncAPI document: valid by the specification's own schema, whole in itself, and true of the stream."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from scanner.ledger.client import Entry
from scanner.ledger.keys import Keys
from scanner.queue.events import MODELS, read_event
from scanner.queue.form.asyncapi import document
from scanner.queue.form.cloudevents import to_cloudevent
from tests.queue.judging import texts
from tests.queue.npm import packages_of

SPECS = Path(__file__).with_name("asyncapi_specs")
COMMITTED = Path(__file__).parents[2] / "docs" / "asyncapi.json"
WHOLE = json.loads(orjson.dumps(document()))


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    """Of documents of AsyncAPI 3.0.0."""
    schema = packages_of(SPECS) / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    return Draft7Validator(json.loads(schema.read_bytes()))


def test_it_is_valid(official: Draft7Validator) -> None:
    assert [f"{list(error.path)}: {error.message[:200]}" for error in official.iter_errors(WHOLE)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("info", "version"), None),
        (("channels", "events", "adress"), "x"),
        (("operations", "tell", "action"), "publish"),
        (("components", "schemas", "Award", "type"), "text"),
        (("components", "messages", "LotMoved", "examples"), [{"body": {}}]),
    ],
)
def test_the_validator_would_say_so(official: Draft7Validator, path: tuple[str, ...], value: object) -> None:
    spoiled = json.loads(json.dumps(WHOLE))
    part = spoiled
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert list(official.iter_errors(spoiled))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def at(reference: str) -> Any:
    part: Any = WHOLE
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


def test_every_reference_leads_somewhere() -> None:
    found = set(references(WHOLE))
    assert all(isinstance(at(reference), dict) for reference in found)
    parts = WHOLE["components"]
    unused = {
        f"#/components/{kind}/{name}" for kind in parts for name in parts[kind] if kind != "schemas"
    } - found
    assert unused == set()


def test_each_operation_sends_what_its_channel_has() -> None:
    for operation in WHOLE["operations"].values():
        channel = operation["channel"]["$ref"]
        named = [message["$ref"] for message in operation["messages"]]
        assert named == [f"{channel}/messages/{name}" for name in at(channel)["messages"]]


def test_the_address_is_the_streams_key() -> None:
    channel = WHOLE["channels"]["events"]
    [name] = channel["parameters"]
    parameter = at(channel["parameters"][name]["$ref"])
    keys = [channel["address"].replace(f"{{{name}}}", value) for value in parameter["examples"]]
    assert keys == [Keys("main").events, Keys("paints").events]
    assert parameter["default"] == parameter["examples"][0]


def judge(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": WHOLE["components"]})


def test_every_type_is_a_message_and_examples_are_what_they_say() -> None:
    messages = WHOLE["components"]["messages"]
    assert [message["name"] for message in messages.values()] == [*MODELS, "copy"]
    for message in messages.values():
        validator = judge(message["payload"]["$ref"].rpartition("/")[2])
        for example in message["examples"]:
            validator.validate(example["payload"])


def test_what_is_in_the_stream_is_what_it_says(story: list[Entry]) -> None:
    entry_of = {type: judge(model.__name__) for type, model in MODELS.items()}
    copy = judge("Data")
    for id, raw in story:
        fields = texts(raw)
        entry_of[fields["type"]].validate(fields)
        copy.validate(orjson.loads(orjson.dumps(to_cloudevent(read_event(id, raw), "main"))))


def test_control_an_entry_with_a_field_under_another_name_is_refused(story: list[Entry]) -> None:
    fields = next(texts(raw) for _, raw in story if raw[b"type"] == b"lot.moved")
    fields["to_campaign"] = fields.pop("campaign")
    assert list(judge("LotMoved").iter_errors(fields))


def test_the_committed_document_is_what_is_generated() -> None:
    assert json.loads(COMMITTED.read_bytes()) == WHOLE, "renew it: .venv/bin/scanner queue schema --out docs"
