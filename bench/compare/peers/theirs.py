"""The same job, as others would write it: on FastAPI and redis-py, and on Fastify and ioredis."""

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from bench.compare.brand import EVENTS_KEY, full_pools, pool_key
from bench.compare.node import installed, program_in
from bench.compare.peers.serving import LOT, Ledger, Place, Serving, Start
from bench.compare.process import LOG, address_of, running
from scanner.ledger.embedded import EmbeddedStore, embedded_store

FASTAPI = Path(__file__).parents[1] / "fastapi_redis" / "service.py"


class _Theirs(Serving):
    async def ledger(self) -> Ledger:
        assert self.store is not None
        async with Redis(unix_socket_path=str(self.store.socket_path), decode_responses=True) as client:
            left = {pool: await client.hgetall(pool_key(pool)) for pool in full_pools()}
            events = await client.xlen(EVENTS_KEY)
        return Ledger(
            events, {pool: {id: int(n) for id, n in prizes.items()} for pool, prizes in left.items()}
        )


def fastapi_from(service: Path) -> Start:
    """FastAPI with the program in this file."""
    return partial(_served, [sys.executable, service])


@asynccontextmanager
async def fastify(place: Place) -> AsyncIterator[Serving]:
    """Raises UnavailableError where Node or its packages cannot be had."""
    program = program_in(await installed(), place.directory)
    async with _served(["node", program], place) as serving:
        yield serving


@asynccontextmanager
async def _served(program: Sequence[str | Path], place: Place) -> AsyncIterator[Serving]:
    log, facts = place.directory / LOG, place.directory / "facts.json"
    async with embedded_store(place.directory / "data") as store:
        await _fill(store)
        facts.write_text(json.dumps(place.brand.facts(store.socket_path, LOT, place.codes)))
        with log.open("wb") as file:
            async with running(
                [*program, facts], core=place.cores.service, log=file, directory=place.directory,
                environment={"NODE_ENV": "production"},
            ) as process:  # fmt: skip
                yield _Theirs(await address_of(process, log), process.pid, store)


async def _fill(store: EmbeddedStore) -> None:
    async with Redis(unix_socket_path=str(store.socket_path)) as client:
        for pool, prizes in full_pools().items():
            await client.hset(pool_key(pool), mapping=prizes)
