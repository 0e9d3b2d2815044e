"""The lots and campaigns of the brand, as a process remembers them between two looks at the store.

A look costs one command while nothing changed: the directory in the store scores each lot and campaign with
the revision of its last change, so only what is newer is read. With the same look goes the question whether
the store is still the one that was seen before (watermark.py).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from scanner.campaigns import Plan, load
from scanner.codes import CodeId
from scanner.errors import CampaignError, ConfigurationError, StoreUnavailableError
from scanner.ledger.connection import NO_ANSWER, Store
from scanner.ledger.lots import Lot, parse_lot
from scanner.ledger.records import Record
from scanner.ledger.watermark import Mark, RestoringError, WentBackError, ask, judge
from scanner.ledger.wire import Ask

# Within one second of a change every worker shall know it.
LOOK_EVERY_S = 0.25
_READ_AT_ONCE = 500
_UNKNOWN_MAX = 10_000


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

    ``loaded`` says whether that may be acted on: while the last look found the store there, and the one that
    was seen before. Until then, and after an outage, also by others: ``remembered`` gives what they saw. So
    whatever comes back is judged before it is served from, and a store that went back is served from again
    once it is the right one.
    """

    def __init__(self, store: Store, remembered: Callable[[], Mark | None] = lambda: None) -> None:
        self._store, self._remembered = store, remembered
        self._look_now: asyncio.Task[None] | None = None
        self._look_next: asyncio.Task[None] | None = None
        self._seen: Mark | None = None
        self.revision = 0
        self.loaded = False
        self.lots: dict[int, Lot] = {}
        self._unknown: dict[int, float] = {}  # lots, and until when they are not looked for again
        self.campaigns: dict[str, KnownCampaign] = {}
        self.by_number: dict[int, KnownCampaign] = {}

    async def refresh(self) -> None:
        """Reads what changed until now. Callers share the look that begins next, its failure included.

        Raises:
            StoreUnavailableError: the store did not answer, is being restored, or has gone back.
        """
        if self._look_next is None:
            # A look under way may have read before the change that the caller asks for.
            self._look_next = asyncio.create_task(self._look_after(self._look_now))
            self._look_next.add_done_callback(lambda look: look.cancelled() or look.exception())
        await asyncio.shield(self._look_next)

    async def judge_by(self, ask: Ask) -> None:
        """Judges the store behind a connection that was just made, which may be another one than before: by
        what was seen here, and by the mark on file, which others may have moved. Raises as ``refresh``."""
        events = self._store.keys.events
        try:
            for seen in (self._seen, self._remembered()):
                if seen is not None:
                    found = await ask("XRANGE", events, seen.entry, seen.entry)
                    judge(seen, found, await ask("XINFO STREAM", events))
        except (WentBackError, RestoringError):
            self.loaded = False
            raise
        except ConfigurationError as error:
            raise StoreUnavailableError(str(error)) from error

    async def lot_of(self, code: CodeId, gtin: str | None = None) -> Lot | None:
        """The lot that a genuine code was issued in, and the Digital Link's GTIN fits; None if it was not."""
        lot = self.lots.get(code.lot)
        if lot is None and not self._was_unknown(code.lot):
            await self.refresh()  # it may have been registered a moment ago
            lot = self.lots.get(code.lot)
            if lot is None:
                self._remember_unknown(code.lot)
        if lot is None or code.kid != lot.kid or code.serial >= lot.size:
            return None
        return None if gtin is not None and gtin != lot.product else lot

    def _was_unknown(self, lot: int) -> bool:
        """Whether the lot was looked for so short a time ago that the next look, which everybody shares, is
        soon enough: else each such code would cost a look of its own, and its answer the time of that."""
        return asyncio.get_running_loop().time() < self._unknown.get(lot, 0.0)

    def _remember_unknown(self, lot: int) -> None:
        if len(self._unknown) >= _UNKNOWN_MAX:
            self._unknown.clear()
        self._unknown[lot] = asyncio.get_running_loop().time() + LOOK_EVERY_S

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
        except (WentBackError, RestoringError):
            self.loaded = False
            raise
        except ConfigurationError as error:
            raise StoreUnavailableError(str(error)) from error
        except NO_ANSWER as error:
            self.loaded = False
            raise StoreUnavailableError(f"the store did not answer: {error}") from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self.loaded = False
            raise StoreUnavailableError(f"the store's reply cannot be read: {error!r}") from error
        self.loaded = True

    async def _look(self) -> None:
        client, keys = self._store.client, self._store.keys
        remembered = None if self.loaded else self._remembered()
        pipe = client.pipeline(transaction=False)
        # From the last revision on, not after it: should it be gone, the store has lost what it knew.
        pipe.zrangebyscore(keys.directory, self.revision, "+inf", withscores=True)
        ask(pipe, keys.events, remembered)
        ask(pipe, keys.events, self._seen)
        changed, *replies = await pipe.execute(raise_on_error=False)
        judge(remembered, *replies[:2])
        seen = judge(self._seen, *replies[2:])
        if isinstance(changed, Exception):
            raise changed
        if self.revision and not changed:
            raise WentBackError(f"its directory has lost revision {self.revision}, and what came after it")
        self._seen = seen
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
