"""The stream as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0): what
the service sends, where, in which form, and an example of each message.

An entry's schema is the ``wire`` form of ``schemas.py``. The document's own schema language is a superset of
JSON Schema draft 07, which ignores ``contentSchema``: it is there all the same, because it says what the JSON
within holds.
"""

from typing import Any

from scanner import __version__
from scanner.queue.events import MODELS, event_of
from scanner.queue.form.cloudevents import CONTENT_TYPE, to_cloudevent
from scanner.queue.form.examples import EXAMPLE_ENTRY, EXAMPLES
from scanner.queue.form.schemas import ENTRY, components

Part = dict[str, Any]

_SCHEMAS, _DATA = "#/components/schemas/", "Data"
_ABOUT = """\
Every accepted scan, draw, grant and share, and every change that an operator makes, is one entry of the
brand's stream, written in the same atomic step as what it tells. Entries are flat: names and values, all of
them text.

What may change: new fields and new types may come; no field is renamed, reused or taken away, and none
changes its form. Leave alone what you do not know. Deduplicate by the event's key: `id` of a `scan.accepted`,
else `<type>/<id>`, else `<type>/<entry id>`.
"""
_READING = """\
Make a group once (`XGROUP CREATE … 0`), read in it (`XREADGROUP`), acknowledge what is done (`XACK`), and
take over what a dead reader left (`XAUTOCLAIM`).
"""


def document() -> Part:
    """The whole document, ready for JSON."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:scanner:stream",
        "info": {"title": "scanner: the stream", "version": __version__, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            "store": {
                "host": "{host}",
                "protocol": "redis",
                "protocolVersion": "7.0",
                "description": "The brand's store: Redis 7.0, Valkey 7.2 or later, of one's own.",
                "variables": {"host": {"default": "localhost:6379", "description": "Host and port."}},
                "security": [{"$ref": "#/components/securitySchemes/user"}],
                "bindings": _REDIS,
            }
        },
        "channels": {"events": _events(), "copies": _copies()},
        "operations": {
            "tell": _operation("events", "The service adds one entry for each thing that happened."),
            "copy": _operation("copies", "A bridge sends each entry on, once or more often."),
        },
        "components": {
            "schemas": _schemas(),
            "messages": {model.__name__: _message(type) for type, model in MODELS.items()}
            | {_DATA: _copied()},
            "messageTraits": {"entry": _ENTRY_TRAIT},
            "operationTraits": {"redis": {"bindings": _REDIS, "tags": [{"name": "stream"}]}},
            "parameters": {"partition": _PARTITION},
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "A user of the store's ACL; `scanner store acl` writes the lines.",
                }
            },
        },
    }


_REDIS: Part = {"redis": {}}
_PARTITION = {
    "description": "The brand and the partition, as the keys of the store have it, with its braces: "
    "`{<brand>/<number>}`. One partition so far: number 0.",
    "default": "{main/0}",
    "examples": ["{main/0}", "{paints/0}"],
}
_ENTRY_TRAIT = {
    "contentType": "application/json",
    "description": "The payload stands for the entry's fields: an object of texts.",
    "headers": {
        "type": "object",
        "required": ["entry"],
        "properties": {"entry": ENTRY},
        "description": "Not sent beside the fields: the id under which the store keeps them.",
    },
    "correlationId": {
        "location": "$message.payload#/trace",
        "description": "The W3C traceparent of the request, where one came.",
    },
    "bindings": _REDIS,
}


def _events() -> Part:
    return {
        "address": "scanner:{partition}:events",
        "title": "The stream",
        "summary": "A Redis stream, and the ledger itself.",
        "description": _READING,
        "servers": [{"$ref": "#/servers/store"}],
        "parameters": {"partition": {"$ref": "#/components/parameters/partition"}},
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in MODELS.values()
        },
        "bindings": _REDIS,
    }


def _copies() -> Part:
    return {
        "address": None,
        "title": "Copies of the stream",
        "summary": "What bridges publish (NATS, Kafka, webhooks): CloudEvents 1.0, wherever they are told.",
        "messages": {_DATA: {"$ref": f"#/components/messages/{_DATA}"}},
    }


def _operation(channel: str, summary: str) -> Part:
    messages = [model.__name__ for model in MODELS.values()] if channel == "events" else [_DATA]
    operation: Part = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }
    if channel == "events":
        operation["traits"] = [{"$ref": "#/components/operationTraits/redis"}]
    return operation


def _schemas() -> Part:
    """Both forms: the wire's under the models' names, the data's with ``Data`` before."""
    wire = components("wire", _SCHEMAS)
    data = components("data", _SCHEMAS + _DATA)
    return wire | {_DATA + name: schema for name, schema in data.items()} | {_DATA: _envelope()}


def _message(type: str) -> Part:
    model = MODELS[type]
    return {
        "name": type,
        "title": model.__name__,
        "summary": model.__doc__,
        "traits": [{"$ref": "#/components/messageTraits/entry"}],
        "payload": {"$ref": _SCHEMAS + model.__name__},
        "examples": [
            {"name": type, "headers": {"entry": EXAMPLE_ENTRY}, "payload": EXAMPLES[type]},
        ],
    }


def _copied() -> Part:
    example = to_cloudevent(event_of(EXAMPLE_ENTRY, EXAMPLES["scan.accepted"]), "main")
    return {
        "name": "copy",
        "title": "A copy of an entry",
        "summary": "Structured mode of CloudEvents 1.0; `source` and `id` are the same in every copy.",
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": _SCHEMAS + _DATA},
        "examples": [{"name": "scan.accepted", "payload": example}],
    }


def _envelope() -> Part:
    text = {"type": "string", "minLength": 1}
    models = [{"$ref": f"{_SCHEMAS}{_DATA}{model.__name__}"} for model in MODELS.values()]
    return {
        "title": "Copy",
        "description": "A CloudEvent; docs/events.md says what each attribute is made of.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text | {"description": "the event's key"},
            "source": text | {"format": "uri-reference"},
            "type": text | {"description": "`scanner.` and the entry's type"},
            "time": text | {"format": "date-time"},
            "subject": text,
            "dataschema": text | {"format": "uri"},
            "datacontenttype": {"const": "application/json"},
            "partitionkey": text,
            "traceparent": text,
            "data": {"anyOf": [*models, {"$ref": f"{_SCHEMAS}{_DATA}Event"}]},
        },
        "additionalProperties": True,
    }
