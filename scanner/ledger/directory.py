"""The lots and campaigns of the brand, as a process remembers them between two looks at the store.

A look costs one command while nothing changed: the directory in the store scores each lot and campaign with
the revision of its last change, so only what is newer is read.
"""

import asyncio
from dataclasses import dataclass

from redis.exceptions import RedisError

from scanner.campaigns import Plan, load
from scanner.errors import StoreUnavailableError
from scanner.ledger.connection import Store
from scanner.ledger.lots import Lot, parse_lot

# Within one second of a change every worker shall know it.
LOOK_EVERY_S = 0.25
_READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class KnownCampaign:
    """A campaign's plan, and what every scan needs of it, made once.

    ``awards`` are as they stand in an answer, by (pool number, prize number).
    """

    plan: Plan
    awards: dict[tuple[int, int], str]
    pool_ids: dict[str, bytes]


class Directory:
    """What is known now: ``lots`` by number, ``campaigns`` by id, ``by_number`` by the number in claims.

    ``loaded`` says whether that may be acted on: not before the first look, and never again after the store
    has gone back to an older state, in which codes that were claimed look free.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._looked_at = float("-inf")
        self.revision = 0
        self.loaded = False
        self.lots: dict[int, Lot] = {}
        self.campaigns: dict[str, KnownCampaign] = {}
        self.by_number: dict[int, KnownCampaign] = {}

    async def refresh(self) -> None:
        """Reads what changed. Callers that ask at the same time share one look.

        Raises:
            StoreUnavailableError: the store did not answer, or has gone back to an older state.
        """
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        async with self._turn:
            if self._looked_at >= asked_at:
                return
            looked_at = clock()
            try:
                await self._look()
            except RedisError as error:
                raise StoreUnavailableError(f"the store did not answer: {error}") from error
            self._looked_at = looked_at
            self.loaded = True

    async def _look(self) -> None:
        client, keys = self._store.client, self._store.keys
        # From the last revision on, not after it: should it be gone, the store has lost what it knew.
        changed = await client.zrangebyscore(keys.directory, self.revision, "+inf", withscores=True)
        if self.revision and not changed:
            self.loaded = False
            raise StoreUnavailableError(
                f"the store has gone back: it knew revision {self.revision} and does not any more"
            )
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
                if value:
                    self._learn(name.decode(), value)
                self.revision = revision

    def _learn(self, name: str, value: dict[bytes, bytes] | bytes) -> None:
        kind, _, id = name.partition(":")
        if kind == "lot":
            assert isinstance(value, dict)
            self.lots[int(id)] = parse_lot(int(id), value)
            return
        assert isinstance(value, bytes)
        plan = load(value)
        awards = {(pool.no, prize.no): prize.award for pool in plan.pools for prize in pool.prizes}
        self.campaigns[id] = self.by_number[plan.no] = KnownCampaign(
            plan, awards, {pool.id: pool.id.encode() for pool in plan.pools}
        )
