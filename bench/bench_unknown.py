"""What it costs to say `unknown_code`, by its reason: who asks must not tell the reasons apart by the time.

Whole requests on the fast lane, from their bytes to the answer's. The yardstick is the same with a forged
tag, on the same worker: at a ratio of 1 a reason cannot be told from that one.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bench.bench_fast_lane import LOT, Nowhere
from bench.brand import MEMBERS, PRODUCT
from bench.cost import Cost
from bench.yardsticks import Yardstick
from loadtests.generator.scans import scan_requests
from scanner.codes import Keyring, KeyTable, derive, digital_link, to_text
from scanner.codes.keyring import Key
from scanner.identity import Member, TokenKeys
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import store_for
from scanner.ledger.directory import Directory
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

SCANS, SERIALS, SIZE = 500, 1 << 26, 1 << 25
LIVE, REVOKED, OTHER, UNKNOWN = 1, 2, 3, 9
OTHER_PRODUCT = "06901234567908"
SINCE = datetime(2027, 3, 1, tzinfo=UTC)
MASTERS = {kid: bytes([kid]) * 32 for kid in (LIVE, REVOKED, OTHER, UNKNOWN)}
STATES = {LIVE: "live", REVOKED: "revoked", OTHER: "live"}
KEYRING = Keyring(tuple(Key(kid, state, SINCE, MASTERS[kid]) for kid, state in STATES.items()))
TABLE = KeyTable({kid: derive(master) for kid, master in MASTERS.items()}, [])
_DICE = random.Random(5)


class Unknown(Nowhere):
    """Where a worker writes that a code is unknown."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert b'"unknown_code"' in bytes(data), bytes(data)
        self.answers += 1


def _genuine(kid: int = LIVE, first: int = 0, lot: int = LOT.no) -> list[bytes]:
    return [TABLE.seal(kid, lot, serial) for serial in _DICE.sample(range(first, SERIALS), SCANS)]


def _forged() -> list[bytes]:
    return [bytes((LIVE << 2 | _DICE.randrange(4),)) + _DICE.randbytes(14) for _ in range(SCANS)]


REASONS: dict[str, Callable[[], list[bytes]]] = {
    "forged": _forged,
    "unknown-key": lambda: _genuine(UNKNOWN),
    "revoked-key": lambda: _genuine(REVOKED),
    "another-key": lambda: _genuine(OTHER),
    "out-of-range": lambda: _genuine(first=SIZE),
}


async def worker() -> Protocol:
    """A worker's connection. It knows one lot; nobody is held back for having failed."""
    settings = load_settings(store_url="redis://127.0.0.1:1", throttling=False, shedding=False)
    store, cells = store_for(settings), Cells(bytearray(ROW_BYTES), 0)
    directory = Directory(store)
    directory.lots[LOT.no] = replace(LOT, size=SIZE)
    directory.loaded = True
    admission = Admission(cells, settings)
    batcher = Batcher(ClaimFunction(store).replies, cells, admission, batch_max=256, away_max=2)
    throttle = Throttle(bytearray(THROTTLE_BYTES), bytes(32))
    keys = TokenKeys({"t1": bytes(32)})
    desks = Desks.of(
        KEYRING, keys, directory, batcher, store, cells, throttle, read_timeout_s=1, throttles=False
    )
    connection = connections(desks.desk, desks.scans, desks.guard, batcher, cells, settings)
    server = Server(desks.routes(), cells, settings, admission, Origins(Addresses(""), throttle), connection)
    phone = server()
    phone.connection_made(Unknown())
    return phone


def _requests(texts: list[str]) -> list[bytes]:
    keys, now_s = TokenKeys({"t1": bytes(32)}), int(time.time())
    tokens = [keys.issue(Member(f"member-{n}"), now_s=now_s, ttl_s=3600) for n in range(MEMBERS)]
    return list(scan_requests(texts, tokens))


def _compare(cost: Cost, runner: asyncio.Runner, texts: list[str], forged: list[str]) -> None:
    assert not unfit()
    phone = runner.run(worker())

    def work(requests: list[bytes]) -> Callable[[], object]:
        async def scans() -> None:
            for request in requests:
                phone.data_received(request)

        return lambda: runner.run(scans())

    yardstick = Yardstick("forged", work(_requests(forged)), SCANS)
    cost(work(_requests(texts)), of=SCANS, against=yardstick)
    runner.get_loop().call_soon(phone.connection_lost, None)


@pytest.mark.parametrize("reason", REASONS)
def bench_code(cost: Cost, runner: asyncio.Runner, reason: str) -> None:
    _compare(
        cost, runner, [to_text(code) for code in REASONS[reason]()], [to_text(code) for code in _forged()]
    )


def bench_another_product(cost: Cost, runner: asyncio.Runner) -> None:
    """A Digital Link with another lot's GTIN, beside one whose tag is forged."""
    links = [
        [digital_link("https://b.example", product, code) for code in codes]
        for product, codes in ((OTHER_PRODUCT, _genuine()), (PRODUCT, _forged()))
    ]
    _compare(cost, runner, links[0], links[1])
