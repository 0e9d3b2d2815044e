"""One entry, read: strictly where it is said how it must be, and with its key."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from scanner.ledger.client import Entry
from scanner.ledger.restore import export
from scanner.queue.events import (
    MODELS,
    Award,
    DrawMade,
    Event,
    GrantMade,
    ScanAccepted,
    ShareClaimed,
    UnreadableError,
    event_of,
    read_event,
)
from scanner.queue.events.fields import AT_MS_MAX, JSON_CHARS_MAX, MISSED_MAX, NUMBER_MAX, InJson
from scanner.queue.form.examples import EXAMPLE_ENTRY, EXAMPLES
from scanner.queue.tail import tail
from tests.brand import Brand, brand_in
from tests.ledger.restoring import restore_into
from tests.queue.judging import texts
from tests.queue.story import play

SCAN = EXAMPLES["scan.accepted"]
AWARD = {"pool": "p", "prize": "x", "kind": "points", "amount": 1, "beneficiary": "member"}


def scan(**fields: str) -> Event:
    return event_of(EXAMPLE_ENTRY, SCAN | fields)


def refused(name: str, value: str) -> str:
    """The message for a scan with this value, which it does not show."""
    with pytest.raises(UnreadableError) as caught:
        scan(**{name: value})
    text = str(caught.value)
    assert text.startswith(f"entry {EXAMPLE_ENTRY} does not read as ScanAccepted: {name}")
    assert "secret" not in text
    assert "\n" not in text
    return text


# Keys.


def test_keys_are_unique_and_the_same_in_every_copy(story: list[Entry]) -> None:
    keys = [read_event(*entry).key for entry in story]
    assert [key for key, n in Counter(keys).items() if n > 1] == []
    assert [event_of(id.decode(), texts(raw)).key for id, raw in story] == keys
    assert {type for type in MODELS for key in keys if key.startswith(type + "/")} == set(MODELS) - {
        "scan.accepted"
    }


def test_a_key_names_its_type_but_for_a_scans() -> None:
    keys = {type: event_of("5-1", fields).key for type, fields in EXAMPLES.items()}
    assert keys.pop("scan.accepted") == SCAN["id"]
    for type in ("draw.made", "grant.made", "grant.expired", "share.claimed"):
        assert keys.pop(type) == f"{type}/{EXAMPLES[type]['id']}"
    assert keys == {type: f"{type}/5-1" for type in keys}


def test_a_grant_and_its_expiry_are_two() -> None:
    made, expired = (event_of("1-0", EXAMPLES[type]) for type in ("grant.made", "grant.expired"))
    assert EXAMPLES["grant.made"]["id"] == EXAMPLES["grant.expired"]["id"]
    assert made.key != expired.key


def test_entries_of_two_partitions_may_have_the_same_id() -> None:
    fields = EXAMPLES["lot.blocked"]
    keys = [event_of("1-0", fields, partition).key for partition in (0, 1, 2)]
    assert keys == ["lot.blocked/1-0", "lot.blocked/1-0@1", "lot.blocked/1-0@2"]
    raw = {name.encode(): value.encode() for name, value in fields.items()}
    assert read_event(b"1-0", raw, 2).key == keys[2]


def test_no_type_has_a_slash_and_no_known_field_is_out_of_band() -> None:
    assert not any("/" in type or "@" in type for type in MODELS)
    for fields in EXAMPLES.values():
        assert not {"entry", "partition"} & fields.keys()


async def test_keys_are_the_same_after_a_restore(brand: Brand, tmp_path: Path) -> None:
    await play(brand)
    store = brand.store
    before = [event async for event in tail(store.client, store.keys.events)]
    await export(store, tmp_path / "ledger.jsonl")
    async with brand_in(tmp_path / "other") as other:
        await restore_into(other.store, [tmp_path / "ledger.jsonl"])
        after = [event async for event in tail(other.store.client, other.store.keys.events)]
    assert [event.key for event in after] == [event.key for event in before]
    assert after == before


# Values.


def test_what_a_scan_says() -> None:
    event = scan()
    assert isinstance(event, ScanAccepted)
    assert (event.lot, event.serial, event.member) == (17, 789, "m-1")
    assert event.time == datetime(2027, 3, 3, 9, 30, 0, 123_000, tzinfo=UTC)
    assert event.loc is not None
    assert (event.loc.lat, event.loc.lng) == (31.23, 121.47)
    assert [award.amount for award in event.awards_of("cash")] == [88]
    assert (event.role, event.inviter, event.blanks, event.unlocked) == ("", "", (), ())
    assert event.withheld == ("lucky/phone",)


def test_awards_of_a_share_are_the_friends_and_the_givers() -> None:
    event = event_of("1-0", EXAMPLES["share.claimed"])
    assert isinstance(event, ShareClaimed)
    assert [award.beneficiary for award in event.awards_of("points")] == ["member", "giver"]
    assert event_of("1-0", EXAMPLES["lot.blocked"]).awards_of("points") == ()


def test_a_grant_has_won_nothing_yet() -> None:
    """Whoever pays awards of cash must not pay it at the grant, and again at the scan that unlocks it."""
    event = event_of("1-0", EXAMPLES["grant.made"])
    assert isinstance(event, GrantMade)
    assert [award.kind for award in event.awards] == ["cash"]
    assert event.awards_of("cash") == ()


def test_what_the_awards_of_an_unknown_type_mean_is_unknown() -> None:
    event = event_of("1-0", {"type": "award.revoked", "at": "1", "awards": SCAN["awards"]})
    assert event.awards_of("cash") == ()


def test_what_was_paid() -> None:
    event = event_of("1-0", EXAMPLES["draw.made"])
    assert isinstance(event, DrawMade)
    assert event.paid == {"points": 100}
    assert (
        event_of("1-0", {k: v for k, v in EXAMPLES["draw.made"].items() if k != "paid"}).data().get("paid")
        is None
    )


@pytest.mark.parametrize("text", ["0", "1", "9", "10", "789", str(NUMBER_MAX)])
def test_a_number_is_a_canonical_decimal(text: str) -> None:
    assert scan(serial=text).data()["serial"] == int(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "007", "00", "+5", "-5", "-0", " 5", "5 ", "5\n", "5.0", "1e3", "1_000", "0x10", "٣"),
        *("secret", "true", str(NUMBER_MAX + 1), "9" * 17, "1" * 5000),
    ],
)
def test_nothing_else_is(text: str) -> None:
    refused("serial", text)


def test_moments_end_with_the_year_9999() -> None:
    assert scan(at=str(AT_MS_MAX)).time.year == 9999
    refused("at", str(AT_MS_MAX + 1))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "secret",
        "null",
        "{}",
        '"a"',
        "[1]",
        "[null]",
        "[[]]",
        "[{}]",
        "[" * 10_000,
        "[" + "]" * 2,
        "[]]",
        "NaN",
    ]
    + [
        json.dumps([AWARD | {"amount": amount}])
        for amount in (-1, 1.5, 1.0, "1", True, None, NUMBER_MAX + 1, 10**30)
    ]
    + [
        json.dumps([AWARD | {name: value}])
        for name in AWARD
        if name != "amount"
        for value in ("", 7, None, "x" * 65)
    ]
    + ["[" + " " * JSON_CHARS_MAX + "]"],
)
def test_awards_that_are_none(value: str) -> None:
    refused("awards", value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"lat":91,"lng":0}',
        '{"lat":NaN,"lng":0}',
        '{"lat":0,"lng":-181}',
        '{"lat":0}',
    ],
)
def test_locations_that_are_none(value: str) -> None:
    refused("loc", value)


@pytest.mark.parametrize("name", ["member", "campaign", "id", "channel", "seller", "role"])
def test_names_have_bounds(name: str) -> None:
    assert scan(**{name: "名" * 64}).model_dump()[name] == "名" * 64
    refused(name, "secret" * 11)
    refused(name, "")


@pytest.mark.parametrize("name", ["type", "at", "id", "member", "campaign", "awards", "lot"])
def test_what_every_scan_has_must_be_there(name: str) -> None:
    fields = {other: value for other, value in SCAN.items() if other != name}
    with pytest.raises(UnreadableError, match=f"{name}: Field required|type: "):
        event_of(EXAMPLE_ENTRY, fields)


@pytest.mark.parametrize(
    "raw",
    [
        {b"\xff": b"x"},
        {b"weather": b"\xff"},
        {b"member": b"\xff"},
        {b"type": b"\xff"},
        {b"awards": b"\xff"},
        {b"serial": b"\xff"},
    ],
)
def test_what_is_not_utf8_is_unreadable(raw: dict[bytes, bytes]) -> None:
    whole = {name.encode(): value.encode() for name, value in SCAN.items()}
    with pytest.raises(UnreadableError, match=f"entry {EXAMPLE_ENTRY}"):
        read_event(EXAMPLE_ENTRY.encode(), whole | raw)


# What is read of bytes, of text, and again of what was read.

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name not in {"type", "entry", "partition"})


def event_or_fault(entry: str, fields: Mapping[Any, Any]) -> Event | str:
    """Of text or of bytes."""
    try:
        if all(isinstance(name, bytes) for name in fields):
            return read_event(entry.encode(), fields)
        return event_of(entry, fields)
    except UnreadableError as error:
        return str(error)


@given(
    type=st.sampled_from([*MODELS, "lot.recalled"]),
    more=st.dictionaries(NAMES, st.text(max_size=50), max_size=4),
    entry=st.from_regex(r"\A[1-9][0-9]{0,12}-[0-9]\Z"),
)
def test_bytes_and_text_read_the_same(type: str, more: dict[str, str], entry: str) -> None:
    fields = EXAMPLES.get(type, {"type": type, "at": "1"}) | more
    raw = {name.encode(): value.encode() for name, value in fields.items()}
    event, read = event_or_fault(entry, fields), event_or_fault(entry, raw)
    assert read == event
    if isinstance(read, Event) and isinstance(event, Event):
        assert (read.key, read.data()) == (event.key, event.data())
        assert read.data().keys() == fields.keys() | {"entry"}
        assert not any(isinstance(value, bytes) for value in read.data().values())


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        scan().at = 5


@pytest.mark.parametrize("name", ["entry", "partition"])
def test_a_field_cannot_stand_for_where_an_entry_is(name: str) -> None:
    event = scan(**{name: "9"})
    assert (event.entry, event.partition) == (EXAMPLE_ENTRY, 0)
    raw = {name.encode(): value.encode() for name, value in (SCAN | {name: "9"}).items()}
    assert read_event(EXAMPLE_ENTRY.encode(), raw) == event


# What is remembered of awards.


def awards(amount: int) -> str:
    return json.dumps([AWARD | {"amount": amount}])


def test_awards_of_the_same_text_are_read_once() -> None:
    reader = TypeAdapter(Annotated[tuple[Award, ...], InJson(remembered=2)])  # of its own
    one = reader.validate_python(awards(7))
    assert reader.validate_python(awards(7)) is one
    with pytest.raises(ValueError, match="frozen"):
        one[0].amount = 8


def test_a_full_memory_is_emptied_when_it_has_been_of_no_use_for_long() -> None:
    reader = TypeAdapter(Annotated[tuple[Award, ...], InJson(remembered=2)])
    old = reader.validate_python(awards(1))
    for amount in range(2, 2 + 2 * MISSED_MAX):
        reader.validate_python(awards(amount))
        assert reader.validate_python(awards(1)) is old
    reader.validate_python(awards(0))
    assert reader.validate_python(awards(1)) is not old
    new = reader.validate_python(awards(5))
    assert reader.validate_python(awards(5)) is new


def test_however_many_there_are_each_is_read_rightly() -> None:
    for amount in [*range(3000), *range(3000)]:
        assert scan(awards=awards(amount)).awards_of("points")[0].amount == amount


def test_what_could_not_be_read_is_not_remembered() -> None:
    for _ in range(3):
        refused("awards", '[{"pool":"p"}]')
        assert scan(awards="[]").data()["awards"] == []
