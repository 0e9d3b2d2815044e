"""An entry of the stream read as its event, strictly where it is said how it must be."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from scanner.errors import ScannerError
from scanner.queue.events.changes import (
    BudgetToppedUp,
    CampaignApplied,
    CampaignPaused,
    CampaignResumed,
    LotActivated,
    LotAssigned,
    LotBlocked,
    LotMoved,
    LotRegistered,
    PoolToppedUp,
)
from scanner.queue.events.event import Event
from scanner.queue.events.members import DrawMade, GrantExpired, GrantMade, ScanAccepted, ShareClaimed


class UnreadableError(ScannerError):
    """An entry is not of the form that its type promises. The message names the field, never its value."""


MODELS: dict[str, type[Event]] = {
    model.model_fields["type"].annotation.__args__[0]: model  # type: ignore[union-attr]
    for model in (
        *(ScanAccepted, DrawMade, GrantMade, GrantExpired, ShareClaimed),
        *(CampaignApplied, CampaignPaused, CampaignResumed, PoolToppedUp, BudgetToppedUp),
        *(LotRegistered, LotActivated, LotBlocked, LotMoved, LotAssigned),
    )
}


class _Names(dict[bytes, str]):
    """The fields' names as they come. Those that are not known are not kept: there is no bound to them."""

    def __missing__(self, name: bytes) -> str:
        return name.decode()


_NAMES = _Names(
    {
        (field.alias or name).encode(): field.alias or name
        for model in MODELS.values()
        for name, field in model.model_fields.items()
    }
)


def read_event(entry: bytes, raw: Mapping[bytes, bytes], partition: int = 0) -> Event:
    """One entry of the stream, as redis-py has it.

    Raises:
        UnreadableError: it is not what its type promises.
    """
    return read_pairs(entry, raw.items(), partition)


def read_pairs(entry: bytes, raw: Iterable[tuple[bytes, bytes]], partition: int = 0) -> Event:
    """The same of names and values as they come; of a name that comes twice the last one counts."""
    id = entry.decode()
    try:
        # The values of known fields are decoded by the validator, in less than half of the time.
        fields: dict[str, Any] = {_NAMES[name]: value for name, value in raw}
        fields["type"] = fields.get("type", b"").decode()
        event = _validated(id, fields, partition)
        unknown = event.__pydantic_extra__
        if unknown:
            unknown |= {name: value.decode() for name, value in unknown.items()}
    except UnicodeDecodeError:
        raise UnreadableError(f"entry {id} is not UTF-8") from None
    return event


def event_of(entry: str, fields: Mapping[str, str], partition: int = 0) -> Event:
    """The same of text, as the archive has it."""
    return _validated(entry, dict(fields), partition)


def _validated(entry: str, fields: dict[str, Any], partition: int) -> Event:
    model = MODELS.get(fields.get("type", ""), Event)
    fields["entry"] = entry
    fields["partition"] = partition
    try:
        # What model_validate does, without its options.
        event: Event = model.__pydantic_validator__.validate_python(fields)
        return event
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableError(
            f"entry {entry} does not read as {model.__name__}: {where}: {first['msg']}"
        ) from None
