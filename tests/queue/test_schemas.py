"""The schemas, held against what is really in the stream: every type and field of it, and nothing else."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from pydantic import create_model

from scanner.ledger.client import Entry
from scanner.queue import events
from scanner.queue.events import MODELS, ScanAccepted, event_of
from scanner.queue.form.examples import EXAMPLE_ENTRY, EXAMPLES
from scanner.queue.form.schemas import Form, schema_of, schemas
from tests.brand import Brand
from tests.faults.rig import plant
from tests.queue.judging import faults, never_seen, schema_faults, texts, wire_faults
from tests.queue.story import entries_of, play

COMMITTED = Path(__file__).parents[2] / "docs" / "schemas"
FORMS: tuple[Form, ...] = ("data", "wire")


def test_the_story_has_every_field_of_every_type(story: list[Entry]) -> None:
    assert never_seen(story) == []


def test_everything_in_the_stream_is_described_and_of_the_form_described(story: list[Entry]) -> None:
    assert faults(story) == []


def test_the_committed_schemas_say_so_too(story: list[Entry]) -> None:
    for id, raw in story:
        fields = texts(raw)
        files = {
            form: orjson.loads((COMMITTED / form / f"{fields['type']}.json").read_bytes()) for form in FORMS
        }
        assert list(wire_faults(files["wire"], fields)) == []
        data = orjson.loads(orjson.dumps(events.read_event(id, raw).data()))
        assert list(schema_faults(files["data"], data)) == []


async def test_control_a_field_that_the_store_renames_is_found(brand: Brand) -> None:
    await plant(
        brand,
        [
            ("'giver', share.giver, 'slot', slot", "'donor', share.giver, 'slot', slot"),
            ("string.sub(packet, next), 'prize', prize.id", "string.sub(packet, next), 'reward', prize.id"),
            ("'from_campaign', from,", "'from_campaign', from, 'came_from', from,"),
        ],
    )
    await play(brand)
    found = "\n".join(faults(await entries_of(brand)))
    for text in (
        "share.claimed: : 'giver' is a required property",
        "share.claimed: : Additional properties are not allowed ('donor' was unexpected)",
        "grant.expired: : 'prize' is a required property",
        "grant.expired: : Additional properties are not allowed ('reward' was unexpected)",
        "lot.moved: : Additional properties are not allowed ('came_from' was unexpected)",
        "entry … does not read as ShareClaimed: giver: Field required",
    ):
        assert text in found


def renamed(model: type[Any], old: str, new: str) -> type[Any]:
    """The model with one field under another name."""
    fields = {
        (new if name == old else name): (field.annotation, field)
        for name, field in model.model_fields.items()
    }
    return create_model(model.__name__, __base__=model.__base__, **fields)


def test_control_a_field_that_a_model_renames_is_found(
    story: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "scan.accepted", renamed(ScanAccepted, "product", "gtin"))
    found = "\n".join(faults(story))
    assert "scan.accepted: : 'gtin' is a required property" in found
    assert "scan.accepted: : Additional properties are not allowed ('product' was unexpected)" in found
    assert "entry … does not read as ScanAccepted: gtin: Field required" in found


def test_control_so_is_one_that_may_be_absent(story: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "scan.accepted", renamed(ScanAccepted, "unlocked", "opened"))
    assert "scan.accepted: : Additional properties are not allowed ('unlocked' was unexpected)" in faults(
        story
    )
    assert never_seen(story) == ["ScanAccepted.opened"]


def test_control_and_one_within_a_text(story: list[Entry]) -> None:
    schema = schema_of("scan.accepted", "wire", strict=True)
    award = schema["$defs"]["Award"]
    award["properties"]["whose"] = award["properties"].pop("beneficiary")
    scans = [texts(raw) for _, raw in story if raw[b"type"] == b"scan.accepted"]
    found = {text for fields in scans for text in wire_faults(schema, fields)}
    assert "awards.0: Additional properties are not allowed ('beneficiary' was unexpected)" in found


@pytest.mark.parametrize("form", FORMS)
def test_the_committed_files_are_what_is_generated(form: Form) -> None:
    committed = {path.stem: json.loads(path.read_bytes()) for path in (COMMITTED / form).iterdir()}
    assert committed == schemas(form), "renew them: .venv/bin/scanner queue schema --out docs"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("type", MODELS)
def test_a_schema_is_valid_and_so_is_its_example(form: Form, type: str) -> None:
    schema = schema_of(type, form, strict=True)
    Draft202012Validator.check_schema(schema)
    fields = EXAMPLES[type]
    if form == "wire":
        assert list(wire_faults(schema, fields)) == []
    else:
        data = orjson.loads(orjson.dumps(event_of(EXAMPLE_ENTRY, fields).data()))
        assert list(schema_faults(schema, data)) == []


def test_what_is_not_described_is_allowed_unless_one_asks_strictly() -> None:
    fields = EXAMPLES["lot.blocked"] | {"mood": "good"}
    assert list(wire_faults(schema_of("lot.blocked", "wire"), fields)) == []
    assert list(wire_faults(schema_of("lot.blocked", "wire", strict=True), fields))
