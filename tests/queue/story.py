"""A brand's story in which every type of entry occurs, with every field that it may have.

    await play(brand)

What is drawn differs from brand to brand, because their keys do. What depends on it is tried
until it is seen.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from scanner.ledger import lots, operations
from scanner.ledger.client import Entry
from scanner.ledger.packets import sweep
from tests.brand import DRAWS, GRANTS, POINTS, SCANS, SHARES, Brand, InProcess, campaign_toml
from tests.lane import ScansByLane
from tests.pools import points, pool, prize
from tests.running import eventually

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRIES_MAX = 100
"""Each has a chance of a third: one in 10^17 stories would not come to an end."""

SHORT = (
    prize("phone", "physical", value="7999.00", stock=1000),
    points(7, stock=1000),
    prize("thanks", "none", stock=1000),
)
"""Of a pool whose budget is too short for the phone: points, a blank, or something that is withheld."""

LIMITS = """
[limits]
per_day = 1000
"""
POOLS = "".join(
    (
        LIMITS,
        POINTS,
        pool(
            "coupons",
            "every",
            prize("ten-off", "coupon", coupon="TEN-OFF", amount=1, value="10.00"),
            game="scratch-card",
        ),
        pool(
            "lucky",
            "every",
            prize("packet", "cash", amount={"min": "0.10", "max": "20.00", "total": "1000.00"}, stock=1000),
        ),
        pool("shop", "every", points(3), beneficiary="seller"),
        pool("short", "deck", *SHORT, budget="1.00"),
        pool("tickets", "every", prize("ticket", "chance", pool="wheel", amount=1)),
        pool("wheel", "deck", *SHORT, entered_by="draw", price={"points": 100}, budget="1.00"),
        pool("gift", "locked", prize("cash-5", "cash", amount="5.00", stock=10), expires_after="1h"),
        pool(
            "brief",
            "locked",
            prize("packet", "cash", amount={"min": "0.10", "max": "2.00", "total": "10.00"}, stock=10),
            expires_after="1s",
        ),
        pool("friends", "shared", *SHORT, slots=3, open_for="1h", giver="first", budget="1.00"),
    )
)


def story_toml() -> str:
    text = campaign_toml(pools=POOLS)
    return text.replace('currency = "CNY"', 'currency = "CNY"\nbudget = "100000.00"')


class Stage:
    """A brand with its campaign, a lot of codes, and a worker of each lane; they take turns."""

    def __init__(self, brand: Brand, lot: int) -> None:
        self.brand, self.lot = brand, lot
        settings = brand.settings
        self.lanes = [
            replace(brand, settings=settings.model_copy(update={"fast_lane": fast})).scanner()
            for fast in (True, False)
        ]
        self._asked = 0

    def next(self) -> int:
        self._asked += 1
        return self._asked

    @property
    def worker(self) -> InProcess:
        return self.lanes[self._asked % len(self.lanes)]

    async def scan(self, member: str, *, trace: str = TRACE, **claims: str) -> dict[str, object]:
        """Every second one with a location; each lane has its turn with and without one."""
        n = self.next()
        body = {"code": self.brand.code(self.lot, n), "channel": "weixin-mini-program"}
        more = {"location": {"lat": 31.23, "lng": -121.5}} if n % 4 < 2 else {}
        token = self.brand.token(member, **claims)
        answer = await self.worker.asked(SCANS, token, body | more, trace=trace)
        assert answer["outcome"] == "accepted", answer
        return answer

    async def seen(self, type: str, *names: str) -> bool:
        """Whether each of these fields has occurred in an entry of the type."""
        entries = await entries_of(self.brand)
        found = {name for _, raw in entries if raw[b"type"] == type.encode() for name in raw}
        return {name.encode() for name in names} <= found

    async def until_seen(self, type: str, names: tuple[str, ...], act: Callable[[], Awaitable[None]]) -> None:
        for _ in range(TRIES_MAX):
            await act()
            if await self.seen(type, *names):
                return
        raise AssertionError(f"{type} never had all of {names}")


async def play(brand: Brand) -> None:
    """All of it, and no more than that: what the ledger says of it is the test's to judge."""
    await brand.apply(story_toml())
    await brand.apply(campaign_toml("autumn"))
    stage = Stage(brand, await brand.lot(10_000))
    for tale in (_scans, _draws, _grants, _shares, _operations):
        await tale(stage)


async def entries_of(brand: Brand) -> list[Entry]:
    """The stream, as it stands."""
    return await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=100_000)


async def _scans(stage: Stage) -> None:
    async def scan() -> None:
        await stage.scan("名 alice", role="worker", tier="gold", seller="店 17", inviter="bob")
        await stage.scan("bob", trace="")

    await stage.until_seen("scan.accepted", ("blanks", "withheld", "loc"), scan)
    for _ in range(4):  # each lane, with and without a location
        await scan()
    by_lane = stage.lanes[0].scans
    assert isinstance(by_lane, ScansByLane)
    assert by_lane.taken


async def _draws(stage: Stage) -> None:
    ask = {"campaign": "spring", "pool": "wheel", "channel": "mini"}

    async def draw() -> None:
        token = stage.brand.token("bob", role="worker", tier="gold")
        by_chance = ask | {"request_id": f"tap-{stage.next()}"}
        await stage.scan("bob")
        answer = await stage.worker.asked(DRAWS, token, by_chance, trace=TRACE)
        assert answer["outcome"] == "accepted", answer
        paid = ask | {"request_id": f"bought-{stage.next()}", "member": "carol", "paid": {"points": 100}}
        answer = await stage.worker.asked(DRAWS, stage.brand.service_token(), paid)
        assert answer["outcome"] == "accepted", answer

    await stage.until_seen("draw.made", ("blanks", "withheld", "paid"), draw)


async def _grants(stage: Stage) -> None:
    async def grant(pool: str, trace: str = "") -> None:
        body = {"request_id": f"g-{stage.next()}", "campaign": "spring", "pool": pool, "member": "alice"}
        answer = await stage.worker.asked(GRANTS, stage.brand.service_token(), body, trace=trace)
        assert answer["outcome"] == "granted", answer

    await grant("gift", TRACE)
    await grant("gift")
    await stage.scan("alice")
    await grant("brief")

    async def has_expired() -> bool:
        directory = stage.worker.directory
        await directory.refresh()
        return await sweep(stage.brand.store, directory.campaigns) == 1

    await eventually(has_expired)


async def _shares(stage: Stage) -> None:
    ends = ("awards", "blanks", "withheld")

    async def share() -> None:
        scan = await stage.scan("alice")
        token = stage.brand.token("dan", role="worker", tier="gold")
        answer = await stage.worker.asked(
            SHARES, token, {"channel": "mini"}, parameter=str(scan["share"]), trace=TRACE
        )
        assert answer["outcome"] == "accepted", answer
        assert (await stage.worker.open_share("erin", scan["share"]))["outcome"] == "accepted"

    await stage.until_seen("share.claimed", (*ends, *(f"giver_{name}" for name in ends)), share)


async def _operations(stage: Stage) -> None:
    """Each without a request id, and with one."""
    store, by = stage.brand.store, "operator"
    lot = await stage.brand.lot(10, active=False, pin=True)

    async def operate(n: int, campaign: str, seller: str, budget: str | None, blocked: int) -> None:
        def under(what: str) -> str:
            return f"change-{n}/{what}" if n else ""

        assert await lots.activate(store, lot, by=by, first=n, last=n, request=under("on"))
        assert await lots.move(store, lot, by=by, campaign=campaign, request=under("move"))
        assert await lots.assign(store, lot, by=by, seller=seller, request=under("shop"))
        assert await operations.pause(store, "spring", by=by, request=under("pause"))
        assert await operations.resume(store, "spring", by=by, request=under("resume"))
        assert await operations.top_up(store, "spring", "gift", "cash-5", 5, by=by, request=under("more"))
        assert await operations.top_up_budget(store, "spring", budget, 1, by=by, request=under("money"))
        assert await lots.block(store, blocked, by=by, request=under("block"))

    await operate(0, "autumn", "店 17", None, stage.lot)
    await operate(1, "spring", "", "short", lot)
