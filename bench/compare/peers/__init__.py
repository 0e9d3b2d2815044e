"""The peers by name, in the order in which they are shown."""

from bench.compare.peers.empty import empty
from bench.compare.peers.ours import scanner
from bench.compare.peers.serving import LOT, Ledger, Peer, Place, Serving
from bench.compare.peers.theirs import FASTAPI, fastapi_from, fastify

PEERS = {
    "scanner": Peer("scanner", scanner),
    "empty": Peer("aiohttp, empty handler", empty, does_the_job=False),
    "fastapi": Peer("FastAPI + redis-py", fastapi_from(FASTAPI)),
    "fastify": Peer("Fastify + ioredis", fastify, warm_times=5),
}

__all__ = ["FASTAPI", "LOT", "PEERS", "Ledger", "Peer", "Place", "Serving", "fastapi_from"]
