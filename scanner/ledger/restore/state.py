"""What the store must hold, as commands, by the stream alone.

The model of the audit folds it; here stands only how the store keeps what comes out (ledger/keys.py). Not in
the stream, and so not here, are wrong PINs, and request ids of operations that found nothing to change.
"""

from collections.abc import Callable, Iterator, Mapping

from scanner.campaigns import Plan, canonical, dump
from scanner.codes import KeyTable
from scanner.errors import ScannerError
from scanner.ledger.audit.replay import Replay
from scanner.ledger.audit.said import GIVERS
from scanner.ledger.keys import Keys
from scanner.ledger.model.state import CampaignState, LotState
from scanner.ledger.records import AMOUNT, SHARED, Record, Won
from scanner.ledger.records import GIVERS as GIVERS_FOLLOW

Command = tuple[str | bytes | int, ...]
Fields = Mapping[str, str]


class Folding:
    """Folds entries, in order, and says what each leaves; ``state`` is what all of them come to."""

    def __init__(self, keys: Keys, table: KeyTable | None) -> None:
        self._keys = keys
        self._replay = Replay(keys, table)
        self._model = self._replay.model
        self._revisions: dict[str, int] = {}
        self._operations: dict[str, str] = {}
        self._changes = 0

    def fold(self, entry: str, fields: Fields) -> Iterator[Command]:
        """What the entry leaves for ever, beside the state.

        Raises:
            ScannerError: the entry cannot have been written: what was restored from it would not add up.
        """
        left = self._replay.fold(entry, fields)
        if self._replay.differences:
            where, _, text = self._replay.differences[0]
            raise ScannerError(f"the ledger does not add up at entry {where}: {text}")
        self._note_change(fields)
        for one in left:
            value = one.value
            if isinstance(value, Record):
                plan = self._model.campaigns[one.campaign].plan
                value = pack_record(value, plan, giver_drew=f"{GIVERS}awards" in fields)
            yield ("HSET", one.key, one.field, value)

    def state(self, now_ms: int) -> Iterator[Command]:
        """Everything that changes, as it stands at the end. Counts whose time is over are left out."""
        keys, model = self._keys, self._model
        for no, lot in model.lots.items():
            yield ("HSET", keys.lot(no), *_lot_fields(lot))
        for id, campaign in model.campaigns.items():
            yield ("HSET", keys.campaign(id), *_campaign_fields(campaign))
            yield from self._kept(id, campaign, now_ms)
        for name, revision in self._revisions.items():
            yield ("ZADD", keys.directory, revision, name)
        for request, what in self._operations.items():
            yield ("HSET", keys.operations, request, what)
        numbers = {"lot": max(model.lots, default=0)}
        numbers["campaign"] = max((one.plan.no for one in model.campaigns.values()), default=0)
        for kind, no in numbers.items():
            if no:
                yield ("HSET", keys.numbers, kind, no)

    def _kept(self, id: str, campaign: CampaignState, now_ms: int) -> Iterator[Command]:
        """A campaign's pools and budgets, and what its members keep."""
        keys = self._keys
        for name, pool in campaign.pools.items():
            key = keys.pool(id, name)
            for prize, left in pool.left.items():
                yield ("HSET", key, prize, "*" if left is None else left)
            for prize, money in pool.money_left.items():
                yield ("HSET", key, f"{prize}:money", money)
        for name, budget in campaign.budgets.items():
            yield ("HSET", keys.budget(id), name, budget.left)
        for member, wallet in campaign.wallets.items():
            for field, value in wallet.fields().items():
                yield ("HSET", keys.wallet(id, member), field, value)
            for no, packets in wallet.packets.items():
                for grant, packet in packets.items():
                    name = f"{id}/{campaign.plan.by_no[no].id}/{grant}/{member.hex()}"
                    yield ("ZADD", keys.expiries, packet.expires_ms, name)
        for member, counts in campaign.counts.items():
            if counts.expires_ms > now_ms:
                yield ("SET", keys.counts(id, member), counts.pack(), "PXAT", counts.expires_ms)

    def _note_change(self, fields: Fields) -> None:
        kind = fields["type"]
        if kind.startswith("lot."):
            name = f"lot:{fields['lot']}"
        elif kind.startswith(("campaign.", "pool.", "budget.")):
            name = f"campaign:{fields['campaign']}"
        else:
            return
        self._changes += 1  # each is a revision of its own (functions/entry.lua)
        self._revisions[name] = self._changes
        if request := fields.get("request"):
            self._operations[request] = _DONE[kind](fields)


def pack_record(record: Record, plan: Plan, *, giver_drew: bool = False) -> bytes:
    """A claim record as the store keeps it (records.py), made under ``plan``."""
    head = record.at_ms.to_bytes(6) + record.campaign_no.to_bytes(2) + record.member + record.details
    places = {pool.no: place for place, pool in enumerate(plan.pools)}
    items = [(places[won.pool], _item(won, plan)) for won in record.won]
    if record.shared:
        items.append((places[record.shared], bytes([0, SHARED, record.shared])))
        items.sort()  # pool after pool in the file's order, no two of the same
    if giver_drew:
        items.append((len(places), bytes([0, GIVERS_FOLLOW])))
        items += [(len(places), _item(won, plan)) for won in record.givers]
    return head + b"".join(item for _, item in items)


def _item(won: Won, plan: Plan) -> bytes:
    item = bytes([won.pool, won.prize])
    return item + bytes([0, AMOUNT]) + won.amount.to_bytes(6) if plan.prizes[won[:2]].max else item


def _lot_fields(lot: LotState) -> Iterator[str | int]:
    yield from ("kid", lot.kid, "size", lot.size, "product", lot.product, "campaign", lot.campaign)
    yield from ("pin", int(lot.pin), "state", "blocked" if lot.blocked else "open")
    yield from ("active", ",".join(f"{first}-{last}" for first, last in lot.active))
    if lot.seller:
        yield from ("seller", lot.seller)


def _campaign_fields(campaign: CampaignState) -> Iterator[str | bytes | int]:
    plan = campaign.plan
    yield from ("no", plan.no, "version", plan.version, "starts", plan.starts_ms, "ends", plan.ends_ms)
    yield from ("file", canonical(campaign.file), "plan", dump(plan))
    if campaign.paused:
        yield from ("paused", 1)


def _budget_topped_up(fields: Fields) -> str:
    whose = f"campaign {fields['campaign']}"
    if "pool" in fields:
        whose = f"pool {fields['pool']} of {whose}"
    return f"top up the budget of {whose} by {fields['amount']} minor units"


def _assigned(fields: Fields) -> str:
    seller = fields.get("seller", "")
    return f"assign lot {fields['lot']} to " + (f"seller {seller}" if seller else "nobody")


# As the functions remember them under their request id, to compare a repetition with.
_DONE: dict[str, Callable[[Fields], str]] = {
    "lot.activated": lambda fields: "activate lot {lot} from {from} to {to}".format_map(fields),
    "lot.blocked": lambda fields: f"block lot {fields['lot']}",
    "lot.moved": lambda fields: f"move lot {fields['lot']} to campaign {fields['campaign']}",
    "lot.assigned": _assigned,
    "campaign.paused": lambda fields: f"pause campaign {fields['campaign']}",
    "campaign.resumed": lambda fields: f"resume campaign {fields['campaign']}",
    "pool.topped_up": lambda fields: "top up prize {pool}/{prize} of campaign {campaign} by {n}".format_map(
        fields
    ),
    "budget.topped_up": _budget_topped_up,
}
