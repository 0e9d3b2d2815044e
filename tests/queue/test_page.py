"""docs/events.md names every type and every field, and which of them are always there."""

import re
from pathlib import Path

import pytest

from scanner.queue.events import MODELS, Award, event_of
from scanner.queue.form.cloudevents import attributes_of
from scanner.queue.form.examples import EXAMPLE_ENTRY, EXAMPLES
from scanner.queue.form.schemas import schema_of
from tests.queue.judging import names_of

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text("utf-8")
CHANGES = [type for type, model in MODELS.items() if "by" in names_of(model) and "id" not in names_of(model)]
BESIDE = {"type", "at"}


def section(title: str) -> str:
    [found] = re.findall(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(title: str) -> dict[str, list[str]]:
    """A section's table: what stands behind the first cell, which is a name."""
    found = re.findall(r"^\| `([^`]+)` \|(.*)\|$", section(title), re.MULTILINE)
    return {name: [cell.strip() for cell in re.split(r"(?<!\\)\|", rest)] for name, rest in found}


@pytest.mark.parametrize("type", [type for type in MODELS if type not in CHANGES])
def test_a_types_table_has_its_fields(type: str) -> None:
    table = rows(f"`{type}`")
    assert set(table) == names_of(MODELS[type]) - BESIDE
    wire, data = schema_of(type, "wire"), schema_of(type, "data")
    assert {name for name, (is_there, *_) in table.items() if is_there == "always"} == set(
        wire["required"]
    ) - BESIDE
    for name, (_, form, *_) in table.items():
        number = data["properties"][name].get("type") == "integer"
        assert form == (
            "JSON" if "contentSchema" in wire["properties"][name] else "number" if number else "text"
        )


def test_the_table_of_changes() -> None:
    table = rows("Changes")
    assert list(table) == CHANGES
    for type, (_, fields, request) in table.items():
        optional = set(re.findall(r"`(\w+)` \(absent:", fields))
        named = set(re.findall(r"(?:^|, )`(\w+)`", fields))
        schema = schema_of(type, "wire")
        assert named | {"by"} | ({"request"} if request else set()) == set(schema["properties"]) - BESIDE
        assert named - optional | {"by"} == set(schema["required"]) - BESIDE


def test_the_table_of_awards() -> None:
    table = rows("Awards")
    assert set(table) == names_of(Award)
    assert {name for name, (is_there, *_) in table.items() if is_there} == {
        name for name, field in Award.model_fields.items() if field.is_required()
    }


def test_the_table_of_cloudevents() -> None:
    made = attributes_of(event_of(EXAMPLE_ENTRY, EXAMPLES["scan.accepted"]), "main")
    assert set(rows("CloudEvents")) == made.keys() | {"data"}
