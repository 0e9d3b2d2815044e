"""How events may change: older readers read what newer services write, newer readers what older ones wrote.

`entries-1.jsonl` and `schemas-1.json` are as they were when the events were first described. They are never
renewed: what cannot be read by them, or from them, would break somebody. When fields or types are added, the
next pair is written beside them.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, create_model

from scanner.ledger.client import Entry
from scanner.queue.events import (
    MODELS,
    Award,
    Event,
    OfMember,
    ScanAccepted,
    UnreadableError,
    event_of,
    read_event,
    reading,
)
from scanner.queue.events.fields import Count, Id, InJson, Name, Number
from scanner.queue.form.compatibility import breaks, breaks_of_all
from scanner.queue.form.schemas import Form, Schema, schema_of, schemas
from tests.queue.judging import names_of, texts

FORMS: tuple[Form, ...] = ("data", "wire")
TYPES = set(MODELS)
HERE = Path(__file__).parent
FROZEN = [
    json.loads(line)
    for path in sorted(HERE.glob("entries-*.jsonl"))
    for line in path.read_text("utf-8").splitlines()
]


def of_type(type: str) -> dict[str, Any]:
    return next(one for one in FROZEN if one["fields"]["type"] == type)


# A newer reader and an older stream.


@pytest.mark.parametrize("one", FROZEN, ids=lambda one: f"{one['fields']['type']} {one['entry']}")
def test_what_was_written_once_reads_as_it_did(one: dict[str, Any]) -> None:
    event = event_of(one["entry"], one["fields"])
    assert event.is_known
    assert (event.key, event.data()) == (one["key"], one["data"])


def test_every_type_of_then_is_among_it() -> None:
    assert {one["fields"]["type"] for one in FROZEN} >= set(MODELS)


def test_control_a_reader_that_asks_for_more_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    more = create_model("More", __base__=MODELS["lot.blocked"], why=(str, ...))
    monkeypatch.setitem(MODELS, "lot.blocked", more)
    one = of_type("lot.blocked")
    with pytest.raises(UnreadableError, match="why"):
        event_of(one["entry"], one["fields"])


# An older reader and a newer stream.


def test_new_fields_are_kept() -> None:
    one = of_type("scan.accepted")
    event = event_of("1-0", one["fields"] | {"weather": "rain", "n": "007"})
    assert event.model_extra == {"weather": "rain", "n": "007"}
    assert event.data() == {**one["data"], "entry": "1-0", "weather": "rain", "n": "007"}
    assert event.key == one["key"]


def test_new_types_are_read_as_events() -> None:
    event = event_of("1-0", {"type": "lot.recalled", "at": "5", "lot": "7", "by": "operator"})
    assert (type(event), event.is_known, event.at) == (Event, False, 5)
    assert event.data() == {"entry": "1-0", "type": "lot.recalled", "at": 5, "lot": "7", "by": "operator"}
    assert event.key == "lot.recalled/1-0"
    assert event_of("1-0", {"type": "prize.sent", "at": "5", "id": "P1"}).key == "prize.sent/P1"


def test_new_kinds_of_award_and_new_fields_of_it() -> None:
    fields = of_type("scan.accepted")["fields"]
    award = {
        "pool": "p",
        "prize": "x",
        "kind": "voucher",
        "amount": 1,
        "beneficiary": "shop",
        "sent": {"by": 1},
    }
    event = event_of("1-0", fields | {"awards": json.dumps([award])})
    assert isinstance(event, ScanAccepted)
    [read] = event.awards_of("voucher")
    assert read.model_extra == {"sent": {"by": 1}}
    assert event.data()["awards"] == [award]


class EarlyAward(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    pool: Name
    prize: Name
    kind: Name
    amount: Count


class EarlyScan(OfMember):
    """Of a reader from before the prize engine, and before scans said where and how they were made."""

    type: Literal["scan.accepted"]
    id: Id
    lot: Number
    awards: Annotated[tuple[EarlyAward, ...], InJson()]


def test_an_early_reader_reads_todays_stream(story: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    today = [read_event(*entry) for entry in story]
    monkeypatch.setattr(reading, "MODELS", {"scan.accepted": EarlyScan})
    early = [read_event(*entry) for entry in story]
    assert [event.key for event in early] == [event.key for event in today]
    assert {event.type for event in early if not event.is_known} == TYPES - {"scan.accepted"}
    kept, kept_of_awards = set(), set()
    for event, now, (_, raw) in zip(early, today, story, strict=True):
        assert (event.model_extra or {}).items() <= texts(raw).items()
        if isinstance(event, EarlyScan):
            assert isinstance(now, ScanAccepted)
            assert (event.id, event.member, event.lot) == (now.id, now.member, now.lot)
            assert [award.amount for award in event.awards] == [award.amount for award in now.awards]
            kept |= (event.model_extra or {}).keys()
            kept_of_awards |= {name for award in event.awards for name in award.model_extra or ()}
    assert kept == names_of(ScanAccepted) - names_of(EarlyScan)
    assert kept_of_awards == names_of(Award) - set(EarlyAward.model_fields)


# Whether a change may be made.

SCAN = schema_of("scan.accepted", "wire")


def changed(*path: str, **words: object) -> Schema:
    """The schema of a scan with these words in the place of others at that place; None takes one away."""
    schema = deepcopy(SCAN)
    part = schema
    for name in path:
        part = part[name]
    for word, value in words.items():
        if value is None:
            del part[word]
        else:
            part[word] = value
    return schema


MAY = {
    "nothing": changed(),
    "a new field": changed("properties", weather={"type": "string"}),
    "a new field of an award": changed("$defs", "Award", "properties", note={"type": "string"}),
    "other words": changed("properties", "lot", description="the lot"),
    "a new part": changed("$defs", Weather={"type": "object"}),
}
MAY_NOT = {
    "a field goes": (changed("properties", channel=None), "channel is gone: readers ask for it"),
    "a field is asked for": (
        changed(required=[*SCAN["required"], "channel"]),
        "channel is required now: entries that stand there may not have it",
    ),
    "a field is no longer sure": (
        changed(required=[name for name in SCAN["required"] if name != "lot"]),
        "lot may be absent now: readers rely on it",
    ),
    "a number becomes any text": (
        changed("properties", "lot", pattern=None),
        "lot has another pattern: ^(0|[1-9][0-9]{0,15})$ before, None now",
    ),
    "a type changes": (
        changed("properties", "member", type="integer"),
        "member has another type: string before, integer now",
    ),
    "a bound narrows": (
        changed("properties", "member", maxLength=32),
        "member has another maxLength: 64 before, 32 now",
    ),
    "a bound widens": (
        changed("properties", "member", maxLength=128),
        "member has another maxLength: 64 before, 128 now",
    ),
    "a new bound": (
        changed("properties", "awards", minLength=1),
        "awards has another minLength: None before, 1 now",
    ),
    "a field of an award goes": (
        changed("$defs", "Award", "properties", game=None),
        "awards.game is gone: readers ask for it",
    ),
    "one of an award is asked for": (
        changed("$defs", "Award", required=[*SCAN["$defs"]["Award"]["required"], "game"]),
        "awards.game is required now: entries that stand there may not have it",
    ),
    "what stands within a text changes": (
        changed("properties", "blanks", contentSchema={"type": "string"}),
        "blanks has another type: array before, string now",
    ),
    "new fields are refused": (
        changed(additionalProperties=False),
        "the schema has another additionalProperties: True before, False now",
    ),
    "the name changes": (
        changed(**{"$id": "urn:other"}),
        "the schema has another $id: urn:scanner:schema:wire:scan.accepted before, urn:other now",
    ),
}


@pytest.mark.parametrize("change", MAY)
def test_what_may_change(change: str) -> None:
    assert breaks(SCAN, MAY[change]) == []


@pytest.mark.parametrize("change", MAY_NOT)
def test_what_may_not(change: str) -> None:
    schema, text = MAY_NOT[change]
    assert text in breaks(SCAN, schema)


def test_types_may_come_and_not_go() -> None:
    whole = schemas("data")
    less = {type: schema for type, schema in whole.items() if type != "lot.moved"}
    assert breaks_of_all(less, whole) == []
    assert breaks_of_all(whole, less) == ["lot.moved is gone"]


def test_a_renamed_field_breaks_twice() -> None:
    schema = changed("properties", product=None, gtin=SCAN["properties"]["product"])
    schema["required"] = [{"product": "gtin"}.get(name, name) for name in SCAN["required"]]
    assert breaks(SCAN, schema) == [
        "product is gone: readers ask for it",
        "gtin is required now: entries that stand there may not have it",
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", sorted(HERE.glob("schemas-*.json")), ids=lambda path: path.stem)
def test_nothing_has_changed_that_may_not(path: Path, form: Form) -> None:
    assert breaks_of_all(json.loads(path.read_bytes())[form], schemas(form)) == []
