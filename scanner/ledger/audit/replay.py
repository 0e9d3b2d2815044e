"""The brand's state as a fold over its stream: each entry is told to the model, and judged by it.

The model shares no code with the store's functions. What an entry says that the model would not have said is
noted as a difference. Given the code keys, every draw is recomputed; without them, it is checked that what
was drawn could be drawn.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from scanner.campaigns import from_canonical
from scanner.codes import KeyTable
from scanner.ledger.audit.claims import Claims, Judged, ReplayError
from scanner.ledger.keys import Keys
from scanner.ledger.model import Model, ModelError
from scanner.ledger.records import Record

Fields = Mapping[str, str]


class Difference(NamedTuple):
    """Something that does not add up: where (an entry's id or a key), in which campaign, and what."""

    where: str
    campaign: str
    text: str


class Expected(NamedTuple):
    """What an entry must have left in a hash of the store, for ever; `name` is what it is about."""

    entry: str
    campaign: str
    key: str
    field: bytes
    name: str
    value: Record | bytes


class Replay:
    """Folds the stream's entries, in order. ``differences`` grows by what does not add up."""

    def __init__(self, keys: Keys, table: KeyTable | None = None) -> None:
        self.model = Model(table)
        self.entries = 0
        self.differences: list[Difference] = []
        claims = Claims(self.model, keys)
        self._claims: dict[str, Callable[[Fields], Judged]] = {
            "scan.accepted": claims.scan,
            "draw.made": claims.draw,
            "grant.made": claims.grant,
            "grant.expired": claims.expired,
            "share.claimed": claims.friend,
        }

    def fold(self, entry: str, fields: Fields) -> list[Expected]:
        """Takes one entry; returns what it must have left in the store beside the state of the model."""
        self.entries += 1
        campaign = fields.get("campaign", "")
        try:
            kind = fields["type"]
            if kind in self._claims:
                wrong, left = self._claims[kind](fields)
                self.differences += [Difference(entry, campaign, text) for text in wrong]
                return [Expected(entry, campaign, *one) for one in left]
            if kind not in _CHANGES:
                raise ReplayError(f"no entry of type {kind!r} is known")
            _CHANGES[kind](self.model, fields)
        except Exception as error:  # an entry changed by hand may be wrong in any way, and must be named
            is_ours = isinstance(error, (ReplayError, ModelError))
            text = str(error) if is_ours else f"it does not read as an entry: {error!r}"
            self.differences.append(Difference(entry, campaign, text))
        return []


def _campaign_applied(model: Model, fields: Fields) -> None:
    file = from_canonical(fields["file"].encode())
    if fields["campaign"] != file.campaign.id:
        raise ReplayError(f"the file is one of campaign {file.campaign.id}")
    model.apply(file, no=int(fields["no"]), at_ms=int(fields["at"]), version=fields["rules"])


def _lot_registered(model: Model, fields: Fields) -> None:
    model.register(
        int(fields["lot"]),
        kid=int(fields["kid"]),
        size=int(fields["size"]),
        product=fields["product"],
        campaign=fields["campaign"],
        pin=fields["pin"] == "1",
    )


def _lot_activated(model: Model, fields: Fields) -> None:
    model.activate(int(fields["lot"]), int(fields["from"]), int(fields["to"]))


def _lot_moved(model: Model, fields: Fields) -> None:
    model.move(int(fields["lot"]), fields["campaign"], before=fields["from_campaign"])


def _topped_up(model: Model, fields: Fields) -> None:
    model.top_up(fields["campaign"], fields["pool"], fields["prize"], int(fields["n"]))


_CHANGES: dict[str, Callable[[Model, Fields], None]] = {
    "campaign.applied": _campaign_applied,
    "campaign.paused": lambda model, fields: model.pause(fields["campaign"]),
    "campaign.resumed": lambda model, fields: model.resume(fields["campaign"]),
    "pool.topped_up": _topped_up,
    "budget.topped_up": lambda model, fields: model.top_up_budget(
        fields["campaign"], fields.get("pool", ""), int(fields["amount"])
    ),
    "lot.registered": _lot_registered,
    "lot.activated": _lot_activated,
    "lot.blocked": lambda model, fields: model.block(int(fields["lot"])),
    "lot.moved": _lot_moved,
    "lot.assigned": lambda model, fields: model.assign(int(fields["lot"]), fields.get("seller", "")),
}
