"""The points service of examples/: real scans, draws, packets and friends; killed, repeated, never wrong."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from scanner.ledger import lots
from tests.brand import DRAWS, GRANTS, POINTS, SHARES, Brand, InProcess, campaign_toml
from tests.pools import points as points_of
from tests.pools import pool, prize
from tests.postgres import Postgres
from tests.running import eventually

SERVICE = Path(__file__).parents[2] / "examples" / "points_service" / "service.py"
GROUP = "points"
ROUNDS = 25
PERSONS = "dealer", "foreman", "friend", *(f"m{n}" for n in range(5))
POOLS = "".join(
    (
        POINTS,
        pool("rebate", "every", points_of(5), beneficiary="seller"),
        pool("thanks", "every", points_of(7), beneficiary="inviter"),
        pool("cash", "every", prize("small", "cash", amount="0.88")),
        pool("tickets", "every", prize("turn", "chance", pool="wheel", amount=1)),
        pool("wheel", "every", points_of(11), entered_by="draw"),
        pool("gift", "locked", points_of(13, stock=1000), expires_after="1h"),
        pool("friends", "shared", points_of(17, stock=1000), slots=2, open_for="1h", giver="first"),
    )
)


class Service:
    """The example as a user starts it, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self._port = process, port

    @classmethod
    async def started(cls, brand: Brand, database: str, name: str = "points-1") -> "Service":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, SERVICE),
            stdout=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "SCANNER_DATA_DIR": str(brand.settings.data_dir),
                "POINTS_DATABASE": database,
                "POINTS_PORT": "0",
                "POINTS_NAME": name,
            },
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("points on http://127.0.0.1:"), f"it ended with {await process.wait()}"
        return cls(process, int(line.split(":")[2].split("/")[0]))

    async def member(self, id: str) -> tuple[int, dict[str, object]]:
        url = f"http://127.0.0.1:{self._port}/members/{id}"
        async with ClientSession() as session, session.get(url) as response:
            return response.status, await response.json()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()


@dataclass
class Spring:
    """A campaign in which everybody can win points, and the people in it."""

    brand: Brand
    scanner: InProcess
    lot: int
    asked: int = 0

    @classmethod
    async def begun(cls, brand: Brand) -> "Spring":
        await brand.apply(campaign_toml(pools=POOLS))
        lot = await brand.lot(10_000)
        await lots.assign(brand.store, lot, by="test", seller="dealer")
        return cls(brand, brand.scanner(), lot)

    async def round(self) -> None:
        """Everybody scans; some again, some what is another's; they draw, open gifts, and share."""
        brand, ask = self.brand, self.scanner.asked
        for n in range(5):
            self.asked += 1
            member, code = f"m{n}", brand.code(self.lot, self.asked)
            packet = {"request_id": f"g{self.asked}", "campaign": "spring", "pool": "gift", "member": member}
            if n == 0:
                granted = await ask(GRANTS, brand.service_token(), packet)
                assert granted["outcome"] == "granted", granted
            token = brand.token(member, inviter="foreman")
            scan = await ask("/v1/scans", token, {"code": code, "channel": "mini"})
            assert scan["outcome"] == "accepted", scan
            assert (await self.scanner.scan(member, code))["replayed"]
            assert (await self.scanner.scan("thief", code))["outcome"] == "claimed"
            if n == 1:
                turn = {"campaign": "spring", "pool": "wheel", "request_id": f"d{self.asked}"}
                assert (await ask(DRAWS, token, turn))["outcome"] == "accepted"
            if n == 2:
                opened = await ask(SHARES, brand.token("friend"), {}, parameter=str(scan["share"]))
                assert opened["outcome"] == "accepted", opened

    async def ledger(self) -> Counter[str]:
        """What the stream says that everybody has won, read without the service's own code."""
        won: Counter[str] = Counter()
        entries = await self.brand.store.client.xrange(
            self.brand.store.keys.events, "-", "+", count=1_000_000
        )
        for _, fields in entries:
            if fields[b"type"] != b"grant.made":  # locked: won only by the scan that unlocks it
                for name in (b"awards", b"giver_awards"):
                    for award in orjson.loads(fields.get(name, b"[]")):
                        if award["kind"] == "points":
                            won[fields[award["beneficiary"].encode()].decode()] += award["amount"]
        return won

    async def is_read(self) -> bool:
        """Whether the service has read and acknowledged all there is."""
        groups = await self.brand.store.client.xinfo_groups(self.brand.store.keys.events)
        return any(group["lag"] == 0 == group["pending"] for group in groups)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/points.db"
    server: Postgres = request.getfixturevalue("postgres")
    return (await server.database()).url


@asynccontextmanager
async def booking(brand: Brand, database: str, *names: str) -> AsyncIterator[list[Service]]:
    """Processes of the service for as long as the block runs."""
    async with AsyncExitStack() as stack:
        services = []
        for name in names or ("points-1",):
            services.append(await Service.started(brand, database, name))
            stack.push_async_callback(services[-1].end)
        yield services


async def points(service: Service) -> Counter[str]:
    found = {id: await service.member(id) for id in PERSONS}
    return Counter({id: said["points"] for id, (status, said) in found.items() if status == 200})


async def test_everybody_has_the_points_that_the_ledger_says(brand: Brand, database: str) -> None:
    spring = await Spring.begun(brand)
    async with booking(brand, database) as [service]:
        for _ in range(3):
            await spring.round()
        await eventually(spring.is_read)
        assert await points(service) == await spring.ledger()
        rounds = 3
        assert await points(service) == {
            "dealer": 15 * 5,
            "foreman": 15 * 7,
            "friend": rounds * 17,
            "m0": rounds * (50 + 13),
            "m1": rounds * (50 + 11),
            "m2": rounds * (50 + 17),
            "m3": rounds * 50,
            "m4": rounds * 50,
        }
        status, m2 = await service.member("m2")
        assert (status, m2["scans"], m2["tier"]) == (200, 3, "silver")
        assert m2["tags"] == [
            "channel:mini",
            "product:06901234567892",
            "won:cash",
            "won:chance",
            "won:points",
        ]
        assert Counter(line["why"] for line in m2["recent"]) == {"points/p50": 3, "friends/p17": 3}
        assert (await service.member("friend"))[1]["tier"] == "bronze"
        assert (await service.member("thief"))[0] == 404
        assert await service.end() == 0


async def test_killed_again_and_again_it_books_each_scan_once(brand: Brand, database: str) -> None:
    spring = await Spring.begun(brand)

    async def everybody_scans() -> None:
        for _ in range(ROUNDS):
            await spring.round()

    scanning = asyncio.create_task(everybody_scans())
    for _ in range(4):
        async with booking(brand, database) as [service]:
            before = spring.asked
            await eventually(lambda before=before: _true(spring.asked > before or scanning.done()))
            assert await service.end(signal.SIGKILL) == -signal.SIGKILL
    await scanning
    async with booking(brand, database) as [service]:
        await eventually(spring.is_read)
        assert await points(service) == await spring.ledger()
        status, m0 = await service.member("m0")
        assert (status, m0["scans"], m0["tier"]) == (200, ROUNDS, "gold")


async def test_the_whole_stream_once_more_changes_nothing(brand: Brand, database: str) -> None:
    """A group that is made anew, as after a restore: every event comes again."""
    spring = await Spring.begun(brand)
    await spring.round()
    async with booking(brand, database):
        await eventually(spring.is_read)
    await brand.store.client.execute_command("XGROUP", "DESTROY", brand.store.keys.events, GROUP)
    await spring.round()
    async with booking(brand, database) as [service]:
        await eventually(spring.is_read)
        assert await points(service) == await spring.ledger()


async def test_two_processes_share_the_work(brand: Brand, database: str) -> None:
    spring = await Spring.begun(brand)
    async with booking(brand, database, "points-1", "points-2") as services:
        for _ in range(6):
            await spring.round()
        await eventually(spring.is_read)
        for service in services:
            assert await points(service) == await spring.ledger()


async def test_a_database_that_goes_away_is_waited_for(brand: Brand, postgres: Postgres) -> None:
    """The server crashes, and comes back after a while; the service goes on by itself."""
    database = await postgres.database()
    spring = await Spring.begun(brand)
    async with booking(brand, database.url) as [service]:
        await spring.round()
        for _ in range(2):
            with postgres.down():
                await spring.round()
        await eventually(spring.is_read)
        assert await points(service) == await spring.ledger()
        assert await service.end() == 0


async def _true(holds: bool) -> bool:
    return holds
