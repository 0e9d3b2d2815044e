"""JSON Schemas (2020-12) of the events, in two forms, generated from the models.

``wire``  an entry's fields as they stand in the stream: texts, some of which hold JSON
``data``  the same with numbers, lists and objects as such: what `scanner stream tail` prints, and what a
          CloudEvent has as its data

Both allow fields that they do not name, because new ones may come; ``strict`` allows none, for whoever wants
to see that nothing came that is not documented.
"""

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from scanner.queue.events import MODELS, Event
from scanner.queue.form.cloudevents import schema_id

Form = Literal["wire", "data"]
Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ENTRY = {
    "type": "string",
    "pattern": "^[0-9]{1,20}-[0-9]{1,20}$",
    "description": "the entry's id in its stream; it orders",
}
_MODES: dict[Form, JsonSchemaMode] = {"wire": "validation", "data": "serialization"}
_OUT_OF_BAND = ("entry", "partition")
_REFERENCES = "#/$defs/"


def schema_of(name: str, form: Form = "data", *, strict: bool = False) -> Schema:
    """The schema of a type, or of any event where the name is ``""``. Raises KeyError: no such type."""
    model: type[Event] = MODELS[name] if name else Event
    body = _own(model, form, _REFERENCES)
    schema: Schema = {"$schema": DIALECT, "$id": schema_id(name or "event", form), **body}
    return _closed(schema) if strict else schema


def schemas(form: Form = "data") -> dict[str, Schema]:
    """Of every type, by its name."""
    return {name: schema_of(name, form) for name in MODELS}


def components(form: Form, references: str) -> dict[str, Schema]:
    """Of every type and what it is made of, by the models' names, with references that begin so."""
    found: dict[str, Schema] = {}
    models: list[type[Event]] = [Event, *MODELS.values()]
    for model in models:
        body = _own(model, form, references)
        found |= body.pop("$defs", {})
        found[model.__name__] = body
    return dict(sorted(found.items()))


def _own(model: type[BaseModel], form: Form, references: str) -> Schema:
    schema = model.model_json_schema(
        mode=_MODES[form], ref_template=references + "{model}", schema_generator=_Plain
    )
    properties = {name: of for name, of in schema["properties"].items() if name not in _OUT_OF_BAND}
    schema["properties"] = properties
    if form == "data":
        schema["properties"] = {"entry": ENTRY} | properties
        schema["required"] = ["entry", *schema["required"]]
    return schema


def _closed(part: Any) -> Any:
    """With no other fields than those that are named, in any object that names some."""
    if isinstance(part, list):
        return [_closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    closed = {word: _closed(one) for word, one in part.items()}
    return closed | {"additionalProperties": False} if isinstance(closed.get("properties"), dict) else closed


class _Plain(GenerateJsonSchema):
    """Without what says nothing here: titles made of names, and defaults, where a value is just left out."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])
