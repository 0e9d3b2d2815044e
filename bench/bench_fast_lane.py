"""What a whole scan costs a worker, from the request's bytes to the answer's, without sockets and store.

Connections write into nothing, and the store's reply is there at once; all between is the service's own: what
it reads, checks and judges, the batch that it writes down, and the answer. With the fast lane, and without.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from bench.brand import MEMBERS, PRODUCT, accepted_reply, campaign_file, plan_of
from bench.cost import Cost
from bench.yardsticks import FUTURES, Yardstick, futures
from loadtests.generator.scans import scan_requests
from scanner.codes import Keyring
from scanner.codes.keyring import Key
from scanner.identity import Member, TokenKeys
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import store_for
from scanner.ledger.directory import Directory, KnownCampaign
from scanner.ledger.frames import Asked
from scanner.ledger.lots import Lot
from scanner.service.addresses import Addresses
from scanner.service.admission import Admission
from scanner.service.batcher import Batcher
from scanner.service.connection import Protocol
from scanner.service.desks import Desks
from scanner.service.fast_lane import connections, unfit
from scanner.service.guard import Origins
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.service.protocol import Server
from scanner.service.throttle import THROTTLE_BYTES, Throttle
from scanner.settings import load_settings

PHONES, TURNS = 64, 10
KEYRING = Keyring((Key(1, "live", datetime(2027, 3, 1, tzinfo=UTC), bytes(range(32))),))
LOT = Lot(1, 1, PHONES * TURNS, PRODUCT, "bench", False, "active", ((0, PHONES * TURNS - 1),), "")


class Nowhere(asyncio.Transport):
    """Where a connection writes its answers; they are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert bytes(data[:15]) == b"HTTP/1.1 200 OK", bytes(data)
        self.answers += 1

    def writelines(self, list_of_data: Sequence[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing comes but what is handed over."""

    def resume_reading(self) -> None:
        """As above."""


def a_worker(*, fast_lane: bool) -> Callable[[], Protocol]:
    """What makes a worker's connections. It knows one lot, and asks a store that accepts everything."""
    # Its turns are as long as the bench makes them.
    settings = load_settings(store_url="redis://127.0.0.1:1", fast_lane=fast_lane, shedding=False)
    store, cells = store_for(settings), Cells(bytearray(ROW_BYTES), 0)
    directory, function = Directory(store), ClaimFunction(store)
    campaign = KnownCampaign.of(plan_of(campaign_file()))
    directory.lots[LOT.no] = LOT
    directory.campaigns[LOT.campaign] = directory.by_number[campaign.plan.no] = campaign
    directory.loaded = True
    reply = accepted_reply(int(time.time() * 1000))

    async def send(batch: Sequence[Asked]) -> list[bytes]:
        function.command(batch)
        return [reply] * len(batch)

    admission = Admission(cells, settings)
    batcher = Batcher(send, cells, admission, batch_max=256, away_max=2)
    throttle = Throttle(bytearray(THROTTLE_BYTES), bytes(32))
    keys = TokenKeys({"t1": bytes(32)})
    desks = Desks.of(KEYRING, keys, directory, batcher, store, cells, throttle, read_timeout_s=1)
    connection = connections(desks.desk, desks.scans, desks.guard, batcher, cells, settings)
    origins = Origins(Addresses(""), throttle)
    return Server(desks.routes(), cells, settings, admission, origins, connection)


@pytest.fixture(scope="module")
def turns() -> list[list[bytes]]:
    """Requests, one a phone at each turn."""
    codes = KEYRING.table().mint(1, LOT.no, 0, LOT.size).decode().split()
    keys, now_s = TokenKeys({"t1": bytes(32)}), int(time.time())
    tokens = [keys.issue(Member(f"member-{n}"), now_s=now_s, ttl_s=3600) for n in range(MEMBERS)]
    requests = list(scan_requests(codes, tokens))
    return [requests[start : start + PHONES] for start in range(0, len(requests), PHONES)]


@pytest.mark.parametrize("lane", ["fast", "aiohttp"])
def bench_scan(cost: Cost, runner: asyncio.Runner, turns: list[list[bytes]], lane: str) -> None:
    assert not unfit()
    transports = [Nowhere() for _ in range(PHONES)]

    async def connected() -> list[Protocol]:
        make = a_worker(fast_lane=lane == "fast")
        phones = [make() for _ in range(PHONES)]
        for phone, transport in zip(phones, transports, strict=True):
            phone.connection_made(transport)
        return phones

    async def scans() -> None:
        for requests in turns:
            answers = transports[0].answers + 1
            for phone, request in zip(phones, requests, strict=True):
                phone.data_received(request)
            while any(transport.answers < answers for transport in transports):  # noqa: ASYNC110 (no event)
                await asyncio.sleep(0)

    phones = runner.run(connected())
    yardstick = Yardstick("futures", lambda: runner.run(futures()), FUTURES)
    cost(lambda: runner.run(scans()), of=PHONES * TURNS, against=yardstick)
    for phone in phones:
        runner.get_loop().call_soon(phone.connection_lost, None)
