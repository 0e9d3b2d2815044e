"""The columns of the archive: one for each field that a model of the events has, and what is beside them.

``entry_ms``, ``entry_seq``   the entry's id
a field's own name            its value: a number where the form says so, else text as it stands in the entry
``more``                      JSON: the fields that have no column, and values that a column does not give
                              back as they were; and the whole entry where it is not UTF-8
``names``                     JSON: all names of the entry, in their order; null where it is not UTF-8
"""

import types
from typing import Annotated, Any, Union, get_args, get_origin

from blake3 import blake3

from scanner.queue.events import MODELS, Event

ENTRY_MS, ENTRY_SEQ, MORE, NAMES = "entry_ms", "entry_seq", "more", "names"
OWN = (ENTRY_MS, ENTRY_SEQ, MORE, NAMES)


def is_number(annotation: Any) -> bool:
    """Whether a field's value is a number in decimal."""
    if get_origin(annotation) is Annotated:
        return is_number(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return any(is_number(one) for one in get_args(annotation))
    return annotation is int


def field_columns() -> dict[str, bool]:
    """The fields that have a column, in the columns' order, and whether each is a number."""
    found: dict[str, bool] = {}
    models: list[type[Event]] = [Event, *MODELS.values()]
    for model in models:
        for name, field in model.model_fields.items():
            if not field.exclude:
                found.setdefault(field.alias or name, is_number(field.annotation))
    clash = found.keys() & set(OWN)
    assert not clash, f"the archive has columns of its own named {clash}"
    return found


FIELDS = field_columns()
DIGEST = blake3(repr(list(FIELDS.items())).encode()).hexdigest(8)
"""The same where the columns are."""
