"""The lots and campaigns of the brand, as a process remembers them between two looks at the store.

A look costs one command while nothing changed: the directory in the store scores each lot and campaign with
the revision of its last change, so only what is newer is read.
"""

import asyncio
from dataclasses import dataclass

from redis.exceptions import RedisError

from scanner.campaigns import Plan, load
from scanner.codes import CodeId
from scanner.errors import CampaignError, StoreUnavailableError
from scanner.ledger.connection import Store
from scanner.ledger.lots import Lot, parse_lot
from scanner.ledger.records import Record

# Within one second of a change every worker shall know it.
LOOK_EVERY_S = 0.25
_READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class KnownCampaign:
    """A campaign's plan, and what every scan needs of it, made once.

    ``awards`` are as they stand in an answer, by (pool number, prize number), with what follows an amount
    that is drawn. ``pools`` are, by number, the id as draws take it, and whether amounts are drawn in it.
    """

    plan: Plan
    awards: dict[tuple[int, int], tuple[str, str]]
    pools: dict[int, tuple[bytes, bool]]

    @classmethod
    def of(cls, plan: Plan) -> "KnownCampaign":
        return cls(
            plan,
            {key: (prize.award, prize.tail) for key, prize in plan.prizes.items()},
            {pool.no: (pool.id.encode(), any(prize.max for prize in pool.prizes)) for pool in plan.pools},
        )


class Directory:
    """What is known now: ``lots`` by number, ``campaigns`` by id, ``by_number`` by the number in claims.

    ``loaded`` says whether that may be acted on: not before the first look, and never again in this process
    after the store has gone back to an older state, in which codes that were claimed look free.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._look_now: asyncio.Task[None] | None = None
        self._look_next: asyncio.Task[None] | None = None
        self._last_entry = (0, 0)
        self._gone_back = ""
        self.revision = 0
        self.loaded = False
        self.lots: dict[int, Lot] = {}
        self.campaigns: dict[str, KnownCampaign] = {}
        self.by_number: dict[int, KnownCampaign] = {}

    async def refresh(self) -> None:
        """Reads what changed until now. Callers share the look that begins next, its failure included.

        Raises:
            StoreUnavailableError: the store did not answer, or has gone back to an older state.
        """
        if self._look_next is None:
            # A look under way may have read before the change that the caller asks for.
            self._look_next = asyncio.create_task(self._look_after(self._look_now))
            self._look_next.add_done_callback(lambda look: look.cancelled() or look.exception())
        await asyncio.shield(self._look_next)

    async def lot_of(self, code: CodeId, gtin: str | None = None) -> Lot | None:
        """The lot that a genuine code was issued in, and the Digital Link's GTIN fits; None if it was not."""
        lot = self.lots.get(code.lot)
        if lot is None:
            await self.refresh()  # it may have been registered a moment ago
            lot = self.lots.get(code.lot)
        if lot is None or code.kid != lot.kid or code.serial >= lot.size:
            return None
        return None if gtin is not None and gtin != lot.product else lot

    async def campaign_of(self, record: Record) -> KnownCampaign:
        """The campaign of a claim, with every prize that it won."""
        campaign = self.by_number.get(record.campaign_no)
        if campaign is None or any(won[:2] not in campaign.awards for won in record.won):
            await self.refresh()  # claimed by another worker under rules that are new to this one
            campaign = self.by_number[record.campaign_no]
        return campaign

    async def _look_after(self, look: asyncio.Task[None] | None) -> None:
        if look is not None:
            await asyncio.wait([look])
        self._look_now, self._look_next = asyncio.current_task(), None
        try:
            await self._look()
        except RedisError as error:
            raise StoreUnavailableError(f"the store did not answer: {error}") from error
        self.loaded = True

    async def _look(self) -> None:
        client, keys = self._store.client, self._store.keys
        pipe = client.pipeline(transaction=False)
        # From the last revision on, not after it: should it be gone, the store has lost what it knew.
        pipe.zrangebyscore(keys.directory, self.revision, "+inf", withscores=True)
        pipe.xrevrange(keys.events, count=1)
        changed, newest = await pipe.execute()
        last_entry = _entry_id(newest[0][0]) if newest else (0, 0)
        if last_entry < self._last_entry or (self.revision and not changed):
            self._gone_back = f"entry {self._last_entry} was there, and now the last one is {last_entry}"
        if self._gone_back:
            self.loaded = False
            raise StoreUnavailableError(f"the store has gone back to an older state: {self._gone_back}")
        self._last_entry = last_entry
        fresh = [(name, int(score)) for name, score in changed if int(score) > self.revision]
        for start in range(0, len(fresh), _READ_AT_ONCE):
            part = fresh[start : start + _READ_AT_ONCE]
            pipe = client.pipeline(transaction=False)
            for name, _ in part:
                kind, _, id = name.decode().partition(":")
                if kind == "lot":
                    pipe.hgetall(keys.lot(int(id)))
                else:
                    pipe.hget(keys.campaign(id), "plan")
            for (name, revision), value in zip(part, await pipe.execute(), strict=True):
                try:
                    self._learn(name.decode(), value)
                except (KeyError, ValueError, CampaignError) as error:
                    text = f"{name.decode()} in the store cannot be read: {error!r}"
                    raise StoreUnavailableError(text) from error
                self.revision = revision

    def _learn(self, name: str, value: dict[bytes, bytes] | bytes | None) -> None:
        kind, _, id = name.partition(":")
        if kind == "lot":
            assert isinstance(value, dict)
            self.lots[int(id)] = parse_lot(int(id), value)
            return
        if value is None:
            raise KeyError("plan")
        assert isinstance(value, bytes)
        plan = load(value)
        self.campaigns[id] = self.by_number[plan.no] = KnownCampaign.of(plan)


def _entry_id(id: bytes) -> tuple[int, int]:
    ms, _, sequence = id.partition(b"-")
    return int(ms), int(sequence)
