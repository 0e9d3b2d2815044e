"""The mapping to CloudEvents 1.0, read back by the project's own SDK."""

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent

from scanner.ledger.client import Entry
from scanner.queue.events import MODELS, Event, event_of, read_event
from scanner.queue.form.cloudevents import (
    CONTENT_TYPE,
    TYPE_PREFIX,
    attributes_of,
    headers_of,
    schema_id,
    source_of,
    to_cloudevent,
)
from scanner.queue.form.examples import EXAMPLE_ENTRY, EXAMPLES
from scanner.queue.form.schemas import schema_of
from tests.queue.judging import schema_faults

UNKNOWN = {"type": "lot.recalled", "at": "1000"}


def example(type: str, **more: str) -> Event:
    return event_of(EXAMPLE_ENTRY, EXAMPLES[type] | more)


def test_a_scan_in_structured_mode() -> None:
    event = example("scan.accepted")
    assert to_cloudevent(event, "paints") == {
        "specversion": "1.0",
        "id": "XXVFJD9EKA69BFS9",
        "source": "urn:scanner:paints/0",
        "type": "scanner.scan.accepted",
        "time": "2027-03-03T09:30:00.123Z",
        "subject": "member/m-1",
        "partitionkey": "m-1",
        "dataschema": "urn:scanner:schema:data:scan.accepted",
        "datacontenttype": "application/json",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "data": event.data(),
    }


def test_subjects() -> None:
    subjects = {type: attributes_of(example(type), "main")["subject"] for type in EXAMPLES}
    members = ("scan.accepted", "draw.made", "grant.made", "grant.expired")
    assert subjects == {
        **dict.fromkeys(members, "member/m-1"),
        "share.claimed": "member/m-2",
        **{
            type: "campaign/spring-2027"
            for type in EXAMPLES
            if type.startswith(("campaign.", "pool.", "budget."))
        },
        **{type: "lot/17" for type in EXAMPLES if type.startswith("lot.")},
    }


def test_a_type_that_is_not_known_has_no_schema() -> None:
    made = to_cloudevent(event_of("1000-0", UNKNOWN), "main")
    assert made == {
        "specversion": "1.0",
        "id": "lot.recalled/1000-0",
        "source": "urn:scanner:main/0",
        "type": "scanner.lot.recalled",
        "time": "1970-01-01T00:00:01.000Z",
        "datacontenttype": "application/json",
        "data": {"entry": "1000-0", **UNKNOWN, "at": 1000},
    }


def test_the_schema_that_it_names_is_the_one_its_data_has(story: list[Entry]) -> None:
    for entry in story:
        made = orjson.loads(orjson.dumps(to_cloudevent(read_event(*entry), "main")))
        schema = schema_of(made["type"].removeprefix(TYPE_PREFIX), "data", strict=True)
        assert made["dataschema"] == schema["$id"] == schema_id(made["data"]["type"])
        assert list(schema_faults(schema, made["data"])) == []


def test_source_and_id_name_an_event_once(story: list[Entry]) -> None:
    made = [to_cloudevent(read_event(*entry), "main") for entry in story]
    assert len({(one["source"], one["id"]) for one in made}) == len(story)
    assert [to_cloudevent(read_event(*entry), "main") for entry in story] == made
    assert source_of("main", 1) != source_of("main", 0) != source_of("other", 0)


def test_the_rules_for_attributes(story: list[Entry]) -> None:
    for entry in story:
        attributes = attributes_of(read_event(*entry), "main")
        for name, value in attributes.items():
            assert re.fullmatch("[a-z0-9]{1,20}", name)
            assert value
        moment = datetime.fromisoformat(attributes["time"])
        assert moment == datetime.fromtimestamp(int(entry[1][b"at"]) // 1000, UTC).replace(
            microsecond=int(entry[1][b"at"]) % 1000 * 1000
        )


def attributes_read(event: CloudEvent) -> dict[str, Any]:
    found = event.get_attributes()
    return found | {"time": found["time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def test_the_sdk_reads_structured_mode(story: list[Entry]) -> None:
    for entry in story:
        made = to_cloudevent(read_event(*entry), "main")
        body = orjson.dumps(made)
        read = http.from_http_event(http.HTTPMessage({"content-type": CONTENT_TYPE}, body))
        assert read.get_data() == orjson.loads(body)["data"]
        assert attributes_read(read) | {"data": made["data"]} == made


def test_the_sdk_reads_binary_mode_of_http(story: list[Entry]) -> None:
    for entry in story:
        event = read_event(*entry)
        headers = headers_of(event, "main")
        for name, value in headers.items():
            assert re.fullmatch("[!-~]+", name + value)
        read = http.from_http_event(http.HTTPMessage(headers, orjson.dumps(event.data())))
        assert read.get_data() == orjson.loads(orjson.dumps(event.data()))
        assert attributes_read(read) == attributes_of(event, "main")


def test_the_sdk_reads_binary_mode_of_kafka(story: list[Entry]) -> None:
    for entry in story:
        event = read_event(*entry)
        attributes = attributes_of(event, "main")
        headers = {name: value.encode() for name, value in headers_of(event, "main", binding="kafka").items()}
        key = attributes["partitionkey"].encode()
        read = kafka.from_kafka_event(kafka.KafkaMessage(headers, key, orjson.dumps(event.data())))
        assert attributes_read(read) == attributes


@pytest.mark.parametrize("member", ['名 "50 %"', "a b", "é%41", "~!#$&'()*+,/:;=?@[]{|}"])
def test_headers_hold_any_member(member: str) -> None:
    event = example("scan.accepted", member=member)
    headers = headers_of(event, "main")
    assert all("!" <= letter <= "~" and letter != '"' for letter in headers["ce-partitionkey"])
    read = http.from_http_event(http.HTTPMessage(headers, orjson.dumps(event.data())))
    assert read.get_extension("partitionkey") == member
    assert headers_of(event, "main", binding="kafka")["ce_partitionkey"] == member


def test_every_type_has_a_mapping() -> None:
    assert {to_cloudevent(example(type), "main")["type"] for type in MODELS} == {
        TYPE_PREFIX + type for type in MODELS
    }
