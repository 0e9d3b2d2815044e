"""The audit: replays the stream, and holds the store against what comes out.

It may run beside a service under load: the stream is read to its end, then pools, lots and the stream's last
entry are read in one transaction, and the rest of the stream is folded up to exactly there.
"""

import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from scanner.codes import KeyTable
from scanner.ledger.claims import Record, parse_record
from scanner.ledger.connection import Store
from scanner.ledger.keys import BUCKET_SERIALS
from scanner.ledger.lots import parse_lot
from scanner.ledger.replay import Difference, ExpectedClaim, Replay
from scanner.ledger.state import ReplayedCampaign

_READ_AT_ONCE = 1000

Progress = Callable[[int, int], None]


@dataclass
class AuditReport:
    """What the audit found. It adds up where ``differences`` is empty."""

    entries: int = 0
    claims: int = 0
    draws_recomputed: bool = False
    campaigns: dict[str, ReplayedCampaign] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


async def audit(store: Store, table: KeyTable | None = None, progress: Progress | None = None) -> AuditReport:
    """Replays the ledger. With the codes' keys, every draw and every scan_id is recomputed.

    ``progress`` is called with (entries folded, entries there are).
    """
    return await _Audit(store, table, progress or (lambda done, total: None)).run()


class _Audit:
    def __init__(self, store: Store, table: KeyTable | None, progress: Progress) -> None:
        self._store = store
        self._replay = Replay(table)
        self._progress = progress
        self._last = "0-0"
        self._total = 0
        self._claims = 0
        self._draws_recomputed = table is not None

    async def run(self) -> AuditReport:
        self._total = await self._store.client.xlen(self._store.keys.events)
        await self._fold("+")
        await self._compare_state()
        await self._compare_claims()
        return AuditReport(
            self._replay.entries,
            self._claims,
            self._draws_recomputed,
            self._replay.campaigns,
            self._replay.differences,
        )

    def _differ(self, where: str, campaign: str, text: str) -> None:
        self._replay.differences.append(Difference(where, campaign, text))

    async def _fold(self, end: str) -> None:
        """Folds the entries after the last one that was folded, up to ``end`` (included)."""
        client, events = self._store.client, self._store.keys.events
        while True:
            entries = await client.xrange(events, f"({self._last}", end, count=_READ_AT_ONCE)
            if not entries:
                return
            expected = []
            for id, raw in entries:
                fields = {name.decode(): value.decode("utf-8", "replace") for name, value in raw.items()}
                claim = self._replay.fold(id.decode(), fields)
                if claim is not None:
                    expected.append(claim)
            self._last = entries[-1][0].decode()
            await self._compare_records(expected)
            self._progress(self._replay.entries, max(self._total, self._replay.entries))

    async def _compare_records(self, expected: list[ExpectedClaim]) -> None:
        """Holds each accepted scan against its claim record."""
        pipe = self._store.client.pipeline(transaction=False)
        for claim in expected:
            bucket, slot = divmod(claim.serial, BUCKET_SERIALS)
            pipe.hget(self._store.keys.claims(claim.lot, bucket), str(slot))
        for claim, data in zip(expected, await pipe.execute(), strict=True):
            self._claims += 1
            code = f"lot {claim.lot}, serial {claim.serial}"
            if data is None:
                self._differ(claim.entry, claim.campaign, f"{code}: the claim is missing in the store")
                continue
            try:
                record = parse_record(data)
            except (ValueError, struct.error):
                self._differ(claim.entry, claim.campaign, f"{code}: the claim record cannot be read")
                continue
            for name in Record._fields:
                if getattr(record, name) != getattr(claim.record, name):
                    what = _MEANING[name]
                    self._differ(
                        claim.entry, claim.campaign, f"{code}: entry and claim disagree about {what}"
                    )

    async def _compare_state(self) -> None:
        """Lots, campaigns and pools, read at one moment with the stream's last entry."""
        keys, replay = self._store.keys, self._replay
        campaigns, lots = list(replay.campaigns), list(replay.lots)
        pools = [(id, pool) for id in campaigns for pool in replay.campaigns[id].pools]
        pipe = self._store.client.pipeline(transaction=True)
        pipe.xrevrange(keys.events, count=1)
        pipe.zrange(keys.directory, 0, -1)
        for id in campaigns:
            pipe.hmget(keys.campaign(id), "no", "version")
        for no in lots:
            pipe.hgetall(keys.lot(no))
        for id, pool in pools:
            pipe.hgetall(keys.pool(id, pool))
        last, directory, *rest = await pipe.execute()
        if last:
            await self._fold(last[0][0].decode())
        for id in campaigns:
            plan = replay.campaigns[id].plan
            if rest.pop(0) != [str(plan.no).encode(), plan.version.encode()]:
                self._differ(keys.campaign(id), id, "the campaign is not in force as its last entry says")
        for no in lots:
            self._compare_lot(no, rest.pop(0))
        for id, pool in pools:
            self._compare_pool(id, pool, rest.pop(0))
        known = {f"campaign:{id}" for id in replay.campaigns} | {f"lot:{no}" for no in replay.lots}
        for name in sorted({entry.decode() for entry in directory} ^ known):
            self._differ(keys.directory, "", f"{name} is in only one of stream and directory")

    def _compare_lot(self, no: int, fields: dict[bytes, bytes]) -> None:
        want, key = self._replay.lots[no], self._store.keys.lot(no)
        try:
            lot = parse_lot(no, fields)
        except (KeyError, ValueError):
            return self._differ(key, want.campaign, f"lot {no} is missing or cannot be read")
        pairs = {
            "kid": (lot.kid, want.kid),
            "size": (lot.size, want.size),
            "product": (lot.product, want.product),
            "campaign": (lot.campaign, want.campaign),
            "pin": (lot.pin, want.pin),
            "state": (lot.state, "blocked" if want.blocked else "open"),
            "active": (list(lot.active), want.active),
        }
        for name, (got, wanted) in pairs.items():
            if got != wanted:
                self._differ(key, want.campaign, f"{name} is {got}, the stream says {wanted}")
        return None

    def _compare_pool(self, id: str, pool: str, fields: dict[bytes, bytes]) -> None:
        key, want = self._store.keys.pool(id, pool), self._replay.campaigns[id].pools[pool].left
        got = {prize.decode(): n.decode() for prize, n in fields.items()}
        for prize in sorted(want.keys() | got.keys()):
            wanted = "*" if prize in want and want[prize] is None else str(want.get(prize, "nothing"))
            if got.get(prize, "nothing") != wanted:
                self._differ(
                    key,
                    id,
                    f"{prize}: {got.get(prize, 'nothing')} left in the pool, the stream says {wanted}",
                )

    async def _compare_claims(self) -> None:
        """Looks for claims that no entry stands for."""
        suspects = [suspect async for suspect in self._buckets_with_more()]
        await self._fold("+")  # some may have been accepted while we looked
        for key, lot_no, bucket in suspects:
            lot = self._replay.lots.get(lot_no)
            for slot in await self._store.client.hkeys(key):
                serial = bucket * BUCKET_SERIALS + int(slot)
                if lot is None or serial >= lot.size or not lot.is_claimed(serial):
                    campaign = lot.campaign if lot else ""
                    self._differ(
                        key, campaign, f"lot {lot_no}, serial {serial}: claimed, but no entry says so"
                    )

    async def _buckets_with_more(self) -> AsyncIterator[tuple[str, int, int]]:
        """(key, lot, bucket) of the buckets that hold more claims than the stream has accepted in them."""
        client = self._store.client
        prefix = f"{self._store.keys.prefix}claims:"
        pattern = prefix.replace("[", r"\[").replace("?", r"\?").replace("*", r"\*") + "*"
        cursor = 0
        while True:
            cursor, found = await client.scan(cursor, match=pattern, count=_READ_AT_ONCE)
            names = [name.decode() for name in found]
            pipe = client.pipeline(transaction=False)
            for name in names:
                pipe.hlen(name)
            for name, count in zip(names, await pipe.execute(), strict=True):
                lot_no, bucket = (int(part) for part in name.removeprefix(prefix).split(":"))
                lot = self._replay.lots.get(lot_no)
                bits = lot.claimed[bucket * 8 : bucket * 8 + 8] if lot else b""
                if count > int.from_bytes(bits, "big").bit_count():
                    yield name, lot_no, bucket
            if not cursor:
                return


_MEANING = {
    "at_ms": "the time",
    "campaign_no": "the campaign",
    "member": "the member",
    "details": "role, tier, channel, seller, inviter, place or trace",
    "drawn": "what was drawn",
}
