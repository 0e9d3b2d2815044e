"""Entries held against schemas: what is in them that should not be, and the other way round."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from scanner.ledger.client import Entry
from scanner.queue.events import MODELS, Award, Event, Location, UnreadableError, read_event
from scanner.queue.form.schemas import Schema, schema_of

OUT_OF_BAND = {"entry", "partition"}


def texts(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in raw.items()}


def faults(entries: Iterable[Entry]) -> list[str]:
    """What the strict schemas of both forms, and the models, find in the entries."""
    found = set()
    for id, raw in entries:
        fields = texts(raw)
        type = fields["type"]
        if type not in MODELS:
            found.add(f"{type} is not described")
            continue
        wire, data = (schema_of(type, form, strict=True) for form in ("wire", "data"))
        found |= {f"{type}: {text}" for text in wire_faults(wire, fields)}
        try:
            event = read_event(id, raw)
        except UnreadableError as error:
            found.add(str(error).replace(id.decode(), "…"))
        else:
            found |= {
                f"{type}: {text}" for text in schema_faults(data, orjson.loads(orjson.dumps(event.data())))
            }
    return sorted(found)


def schema_faults(schema: Schema, value: Any) -> Iterator[str]:
    for error in Draft202012Validator(schema).iter_errors(value):
        yield f"{'.'.join(str(part) for part in error.path)}: {error.message}"


def wire_faults(schema: Schema, fields: Mapping[str, str]) -> Iterator[str]:
    """The JSON within the texts is judged, too, which a validator leaves to its caller."""
    yield from schema_faults(schema, fields)
    for name, of in schema["properties"].items():
        if name in fields and "contentSchema" in of:
            within = {**of["contentSchema"], "$defs": schema.get("$defs", {})}
            yield from (f"{name}.{text}" for text in schema_faults(within, orjson.loads(fields[name])))


def names_of(model: type[Any]) -> set[str]:
    """A model's fields, as they stand in the stream or in JSON."""
    return {field.alias or name for name, field in model.model_fields.items()} - OUT_OF_BAND


def never_seen(entries: Iterable[Entry]) -> list[str]:
    """The fields, of all types and of what is within them, that occur in no entry."""
    seen: dict[type[Any], set[str]] = defaultdict(set)
    for id, raw in entries:
        event = read_event(id, raw)
        seen[type(event)] |= texts(raw).keys()
        for award in (*getattr(event, "awards", ()), *getattr(event, "giver_awards", ())):
            seen[Award] |= award.model_fields_set
        if loc := getattr(event, "loc", None):
            seen[Location] |= loc.model_fields_set
    models: list[type[Any]] = [*MODELS.values(), Award, Location, Event]
    seen[Event] = {"type", "at"}
    return [f"{model.__name__}.{name}" for model in models for name in sorted(names_of(model) - seen[model])]
