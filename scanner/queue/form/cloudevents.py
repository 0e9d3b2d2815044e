"""Events as CloudEvents 1.0 (https://github.com/cloudevents/spec), for who reads from a broker or a webhook.

``source`` and ``id`` name an event once and for all: every copy has the same two, so that whoever received it
twice can tell. ``id`` alone is unique within the brand.
"""

from typing import Any, Literal
from urllib.parse import quote

from scanner.queue.events import Event

Binding = Literal["http", "kafka"]
SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/cloudevents+json"
TYPE_PREFIX = "scanner."
# What the HTTP binding, section 3.1.3.2, leaves as it is in a header: printable ASCII but space, " and %.
_SAFE_IN_HEADERS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
# What an event is about, in the order in which that is asked.
_SUBJECTS = ("member", "lot", "campaign")


def source_of(brand: str, partition: int = 0) -> str:
    return f"urn:scanner:{brand}/{partition}"


def schema_id(type: str, form: str = "data") -> str:
    """What names a type's JSON Schema (``schemas.py``). It has no version: what it allows never changes."""
    return f"urn:scanner:schema:{form}:{type}"


def attributes_of(event: Event, brand: str, partition: int = 0) -> dict[str, str]:
    """The context attributes as text; ``traceparent`` and ``partitionkey`` are documented extensions."""
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event.key,
        "source": source_of(brand, partition),
        "type": TYPE_PREFIX + event.type,
        "time": event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }
    if event.is_known:
        attributes["dataschema"] = schema_id(event.type)
    for name in _SUBJECTS:
        if about := getattr(event, name, ""):
            attributes["subject"] = f"{name}/{about}"
            attributes["partitionkey"] = str(about)
            break
    if trace := getattr(event, "trace", ""):
        attributes["traceparent"] = str(trace)
    return attributes


def to_cloudevent(event: Event, brand: str, partition: int = 0) -> dict[str, Any]:
    """Structured mode: attributes and ``data`` in one JSON object, of content type ``CONTENT_TYPE``."""
    return {**attributes_of(event, brand, partition), "data": event.data()}


def headers_of(event: Event, brand: str, partition: int = 0, *, binding: Binding = "http") -> dict[str, str]:
    """Binary mode: the attributes as headers, where the body is the JSON of ``event.data()``.

    HTTP asks for percent-encoding, Kafka for UTF-8. (NATS takes structured mode only.)
    """
    prefix = "ce_" if binding == "kafka" else "ce-"
    headers = {}
    for name, value in attributes_of(event, brand, partition).items():
        text = value if binding == "kafka" else quote(value, _SAFE_IN_HEADERS)
        headers["content-type" if name == "datacontenttype" else prefix + name] = text
    return headers
