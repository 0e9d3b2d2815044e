"""The audit: replays the stream, and holds the store against what comes out.

It may run beside a service under load: the stream is read to its end, then pools, lots and the stream's last
entry are read in one transaction, and the rest of the stream is folded up to exactly there.
"""

import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from scanner.campaigns import canonical, dump
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
                fields = {_text(name): _text(value) for name, value in raw.items()}
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
        for claim, data in zip(expected, await pipe.execute(raise_on_error=False), strict=True):
            self._claims += 1
            code = f"lot {claim.lot}, serial {claim.serial}"
            if data is None:
                self._differ(claim.entry, claim.campaign, f"{code}: the claim is missing in the store")
                continue
            try:
                record = parse_record(data)
            except (TypeError, ValueError, struct.error):
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
        while True:
            names = self._names()
            directory, state = await self._read_state(*names)
            if names == self._names():  # else something was registered or applied just now: read again
                break
        for id, fields in zip(names[0], state, strict=False):
            self._compare_campaign(id, fields)
        for no, fields in zip(names[1], state[len(names[0]) :], strict=False):
            self._compare_lot(no, fields)
        for (id, pool), fields in zip(names[2], state[len(names[0]) + len(names[1]) :], strict=True):
            self._compare_pool(id, pool, fields)
        known = {f"campaign:{id}" for id in replay.campaigns} | {f"lot:{no}" for no in replay.lots}
        for name in sorted({_text(entry) for entry in directory} ^ known):
            self._differ(keys.directory, "", f"{name} is in only one of stream and directory")

    def _names(self) -> tuple[list[str], list[int], list[tuple[str, str]]]:
        """Campaigns, lots and pools that the stream has named until now."""
        campaigns = self._replay.campaigns
        return (
            list(campaigns),
            list(self._replay.lots),
            [(id, pool) for id, campaign in campaigns.items() for pool in campaign.pools],
        )

    async def _read_state(
        self, campaigns: list[str], lots: list[int], pools: list[tuple[str, str]]
    ) -> tuple[list[bytes], list[Any]]:
        """The directory, and the hashes of these; the stream is folded up to the moment they were read."""
        keys = self._store.keys
        pipe = self._store.client.pipeline(transaction=True)
        pipe.xrevrange(keys.events, count=1)
        pipe.zrange(keys.directory, 0, -1)
        for key in (
            *(keys.campaign(id) for id in campaigns),
            *(keys.lot(no) for no in lots),
            *(keys.pool(id, pool) for id, pool in pools),
        ):
            pipe.hgetall(key)
        last, directory, *state = await pipe.execute(raise_on_error=False)
        if last:
            await self._fold(last[0][0].decode())
        return directory, [fields if isinstance(fields, dict) else {} for fields in state]

    def _compare_campaign(self, id: str, fields: dict[bytes, bytes]) -> None:
        want = self._replay.campaigns[id]
        wanted = {
            "no": str(want.plan.no).encode(),
            "version": want.plan.version.encode(),
            "starts": str(want.plan.starts_ms).encode(),
            "ends": str(want.plan.ends_ms).encode(),
            "file": canonical(want.file),
            "plan": dump(want.plan),
        }
        for name, value in wanted.items():
            if fields.get(name.encode()) != value:
                self._differ(self._store.keys.campaign(id), id, f"{name} is not in force as the stream says")

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
        for key, lot_no, serials in suspects:
            lot = self._replay.lots.get(lot_no)
            for serial in serials:
                if lot is None or serial >= lot.size or not lot.is_claimed(serial):
                    campaign = lot.campaign if lot else ""
                    self._differ(
                        key, campaign, f"lot {lot_no}, serial {serial}: claimed, but no entry says so"
                    )

    async def _buckets_with_more(self) -> AsyncIterator[tuple[str, int, list[int]]]:
        """(key, lot, serials) of the buckets that hold more claims than the stream has accepted in them."""
        client = self._store.client
        prefix = f"{self._store.keys.prefix}claims:"
        cursor = 0
        while True:
            cursor, found = await client.scan(cursor, match=f"{prefix}*", count=_READ_AT_ONCE)
            names = [_text(name) for name in found]
            pipe = client.pipeline(transaction=False)
            for name in names:
                pipe.hlen(name)
            for name, count in zip(names, await pipe.execute(raise_on_error=False), strict=True):
                try:
                    lot_no, bucket = (int(part) for part in name.removeprefix(prefix).split(":"))
                    lot = self._replay.lots.get(lot_no)
                    bits = lot.claimed[bucket * 8 : bucket * 8 + 8] if lot else b""
                    if count > int.from_bytes(bits, "big").bit_count():
                        slots = [int(slot) for slot in await client.hkeys(name)]
                        yield name, lot_no, [bucket * BUCKET_SERIALS + slot for slot in slots]
                except (TypeError, ValueError):
                    self._differ(name, "", "these claims cannot be read")
            if not cursor:
                return


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


_MEANING = {
    "at_ms": "the time",
    "campaign_no": "the campaign",
    "member": "the member",
    "details": "role, tier, channel, seller, inviter, place or trace",
    "drawn": "what was drawn",
}
