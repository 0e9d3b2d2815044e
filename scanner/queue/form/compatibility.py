"""Whether events may change so: a rule on their JSON Schemas, old and new.

Entries stay for years, so newer readers meet older entries; and nobody updates every reader at once, so older
readers meet newer entries. Both read rightly only where what was said of a field stays as it was. New types,
and new fields that may be absent, are all that may come.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.queue.form.schemas import Schema

_WORDS = {"$schema", "$defs", "title", "description", "examples", "$comment"}
"""What explains, and judges nothing."""


def breaks(old: Schema, new: Schema) -> list[str]:
    """What readers would fall over; empty where the change may be made."""
    return list(_breaks(_Part(old, old), _Part(new, new), ""))


def breaks_of_all(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """The same of schemas by type."""
    found = [f"{type} is gone" for type in old if type not in new]
    for type in old.keys() & new.keys():
        found += [f"{type}: {text}" for text in breaks(old[type], new[type])]
    return sorted(found)


class _Part:
    """A part of a schema, with the references in it followed."""

    def __init__(self, schema: Any, root: Schema) -> None:
        while isinstance(schema, dict) and "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = root["$defs"][name] | {word: of for word, of in schema.items() if word != "$ref"}
        self.schema, self.root = schema, root

    def __getitem__(self, word: str) -> "_Part":
        return _Part(self.schema[word], self.root)

    def rules(self) -> dict[str, Any]:
        apart = {"properties", "required"} if "properties" in self.schema else set()
        return {word: of for word, of in self.schema.items() if word not in _WORDS | apart}


def _breaks(old: _Part, new: _Part, at: str) -> Iterator[str]:
    if "properties" in old.schema and "properties" in new.schema:
        yield from _breaks_of_fields(old, new, at)
    before, after = old.rules(), new.rules()
    for word in sorted(before.keys() | after.keys()):
        if isinstance(before.get(word), dict) and isinstance(after.get(word), dict):
            yield from _breaks(old[word], new[word], at)
        elif before.get(word) != after.get(word):
            yield f"{at or 'the schema'} has another {word}: {before.get(word)} before, {after.get(word)} now"


def _breaks_of_fields(old: _Part, new: _Part, at: str) -> Iterator[str]:
    before, after = old["properties"], new["properties"]
    for name in before.schema:
        path = f"{at}.{name}" if at else name
        if name not in after.schema:
            yield f"{path} is gone: readers ask for it"
        else:
            yield from _breaks(before[name], after[name], path)
    required, now = (set(part.schema.get("required", ())) for part in (old, new))
    for name in sorted((required - now) & after.schema.keys()):
        yield f"{at}.{name}".lstrip(".") + " may be absent now: readers rely on it"
    for name in sorted(now - required):
        yield f"{at}.{name}".lstrip(".") + " is required now: entries that stand there may not have it"
