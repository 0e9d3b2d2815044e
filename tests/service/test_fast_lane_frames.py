"""What the lane asks of the store, held against what the scan's own way asks: the same bytes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import compile_plan, parse
from scanner.codes import Keyring, to_pin, to_text
from scanner.codes.keyring import Key
from scanner.identity import Member, TokenKeys
from scanner.ledger.claims import Answer, Verdict
from scanner.ledger.directory import Directory, KnownCampaign
from scanner.ledger.frames import Asked, Places
from scanner.ledger.keys import Keys
from scanner.ledger.lots import Lot
from scanner.service.addresses import Addresses
from scanner.service.admission import Admission
from scanner.service.desk import Desk
from scanner.service.fast_lane.lane import FastLane
from scanner.service.guard import Guard, Origins
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.service.protocol import Server
from scanner.service.scans import Scans
from scanner.service.throttle import THROTTLE_BYTES, Throttle
from scanner.settings import load_settings
from tests.brand import POINTS, PRODUCT, campaign_toml, deck_toml
from tests.fuzz.seeds import HOST, JSON, TRACE, request
from tests.service.pools import friends, locked, wheel

KID = 5
KEYRING = Keyring((Key(KID, "live", datetime(2027, 1, 1, tzinfo=UTC), bytes(range(32))),))
TABLE, NAMES = KEYRING.table(), Keys("main")
TOKEN_KEYS = TokenKeys({"t": bytes(32)})
NOON_S = 1_803_873_600  # 2027-03-01T12:00:00+08:00
LUCKY = """
[[pool]]
id = "lucky"
draw = "odds"
{more}
[[pool.prize]]
id = "cash"
kind = "cash"
amount = {{ min = "0.88", max = "8.88", total = "120.00" }}
stock = 60
odds = "0.5"
"""
FOR_SOME = """
[[pool]]
id = "{id}"
draw = "every"
{more}
[[pool.prize]]
id = "p"
kind = "points"
amount = 1
"""
POOLS = (
    deck_toml(100),
    LUCKY.format(more=""),
    LUCKY.format(more='budget = "50.00"').replace('"lucky"', '"bounded"'),
    FOR_SOME.format(id="sellers", more='beneficiary = "seller"'),
    FOR_SOME.format(id="inviters", more='beneficiary = "inviter"'),
    FOR_SOME.format(id="dealers", more='entry = { roles = ["dealer"], tiers = ["gold"] }'),
    FOR_SOME.format(id="shop", more='entry = { channels = ["shop"] }'),
    FOR_SOME.format(id="noon", more='entry = { windows = [{ daily = "12:00:00", lasts = "1h" }] }'),
    FOR_SOME.format(id="few", more="limits = { per_day = 1 }"),
    FOR_SOME.format(id="fewer", more="limits = { total = 1 }"),
    wheel(),
    locked(),
    friends(),
)
LIMITS = ("", "[limits]\nper_day = 2\n", "[limits]\ntotal = 3\n", "[limits]\nper_day = 2\ntotal = 3\n")
LOTS = {
    1: {},
    2: {"pin": True},
    3: {"seller": "店 17"},
    4: {"seller": "S-4", "pin": True},
    5: {"campaign": "autumn"},
    6: {"campaign": "autumn", "seller": "S-4"},
}

names = st.text(max_size=64).filter(str.isprintable)
members = st.builds(
    Member,
    names.filter(bool),
    role=st.sampled_from(("", "dealer", "油漆工")) | names.filter(lambda role: role != "service"),
    tier=st.sampled_from(("", "gold")) | names,
    seller=st.sampled_from(("", "S-4", "店 17")) | names,
    inviter=st.sampled_from(("", "anna")) | names,
)
degrees = st.floats(-90, 90) | st.integers(-90, 90)
campaigns = st.builds(
    lambda pools, limits, budget: campaign_toml(pools=limits + "".join(pools) + POINTS).replace(
        'currency = "CNY"', budget
    ),
    st.lists(st.sampled_from(POOLS), unique=True),
    st.sampled_from(LIMITS),
    st.sampled_from(('currency = "CNY"', 'currency = "CNY"\nbudget = "99.00"')),
)


@dataclass(frozen=True)
class Scanned:
    """One scan, and how long after the one before."""

    member: Member
    lot: int
    serial: int
    later_s: int
    said: dict[str, Any]
    trace: str


scans = st.builds(
    Scanned,
    members,
    st.sampled_from(sorted(LOTS)),
    st.integers(0, 200),
    st.sampled_from((0, 0, 1, 1800, 43_200)),
    st.fixed_dictionaries(
        {},
        optional={
            "channel": st.sampled_from(("shop", "wx-mini", None)),
            "location": st.fixed_dictionaries({"lat": degrees, "lng": degrees}) | st.none(),
        },
    ),
    st.sampled_from(("", TRACE)),
)


@dataclass
class Stub:
    """In the batcher's place: remembers what was asked, by whichever way it came."""

    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = Cells(bytearray(ROW_BYTES), 0)
        self.admission = Admission(self.cells, load_settings())

    def sheds_read(self) -> bool:
        return False

    def offer(self, claim: Asked, asker: object) -> None:
        self.asked.append(claim)

    def submit(self, claim: Asked) -> asyncio.Future[Answer]:
        self.asked.append(claim)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer.set_result(Answer(Verdict.BLOCKED))
        return answer


class Nowhere:
    """A transport that nobody reads."""

    def get_extra_info(self, name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        raise AssertionError(f"answered without the store: {data!r}")

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        pass


class Desks:
    """Both ways of a scan, over what is known of two campaigns, at a time that is set."""

    def __init__(self, toml: str) -> None:
        self.now_s = float(NOON_S)
        self.directory = Directory(None)  # type: ignore[arg-type]
        autumn = campaign_toml("autumn", FOR_SOME.format(id="sellers", more='beneficiary = "seller"'))
        for no, text in enumerate((toml, autumn), 1):
            known = KnownCampaign.of(compile_plan(parse(text), no=no, previous=None))
            self.directory.campaigns[known.plan.id] = self.directory.by_number[no] = known
        for no, values in LOTS.items():
            self.lot(Lot(no, KID, 201, PRODUCT, "spring", False, "open", ((0, 200),), ""), **values)
        self.directory.loaded = True
        self.fast, self.plain = Stub(), Stub()
        cells, values = self.fast.cells, load_settings()
        self.scans = Scans(self._desk(self.plain), KEYRING.share_keys())
        desk, throttle = self._desk(self.fast), Throttle(bytearray(THROTTLE_BYTES), bytes(32))
        guard = Guard(desk, throttle, counts=False)
        lane = FastLane(desk, self.scans, guard, self.fast, cells, values)  # type: ignore[arg-type]
        origins = Origins(Addresses(""), throttle)
        self._server = Server({}, cells, values, self.fast.admission, origins, lane.connection)

    def _desk(self, stub: Stub) -> Desk:
        return Desk(TABLE, TOKEN_KEYS, NAMES, self.directory, stub, lambda: self.now_s)

    def lot(self, lot: Lot, **values: object) -> None:
        """Something became known of a lot."""
        self.directory.lots[lot.no] = replace(lot, **values)
        self.directory.revision += 1

    async def scan(self, scan: Scanned) -> None:
        self.now_s += scan.later_s
        said = {"code": to_text(TABLE.seal(KID, scan.lot, scan.serial)), **scan.said}
        if self.directory.lots[scan.lot].pin:
            said["pin"] = to_pin(TABLE.pin(KID, scan.lot, scan.serial))
        token = TOKEN_KEYS.issue(scan.member, now_s=NOON_S, ttl_s=10**9)
        body, authorization = orjson.dumps(said), f"Bearer {token}"
        await self.scans.answer(authorization, body, scan.trace.removeprefix("traceparent: "))
        lines = [HOST, JSON, f"Authorization: {authorization}", *([scan.trace] if scan.trace else [])]
        connection = self._server()
        connection.connection_made(Nowhere())  # type: ignore[arg-type]
        await asyncio.sleep(0)  # it waits for a request then
        connection.data_received(request(body, *lines))
        connection.connection_lost(None)


def travels(asked: Sequence[Asked]) -> tuple[list[bytes], list[str], list[bytes]]:
    """What goes into the batch: frames, keys, and what several have in common."""
    places = Places(NAMES.events)
    frames = [claim.frame(NAMES, places) for claim in asked]
    return frames, list(places), places.commons


@settings(max_examples=150, deadline=None)
@given(campaigns, st.lists(scans, min_size=1, max_size=6))
async def test_the_frames_are_twins(toml: str, made: list[Scanned]) -> None:
    desks = Desks(toml)
    for scan in made:
        await desks.scan(scan)
    fast, plain = desks.fast.asked, desks.plain.asked
    assert len(fast) == len(plain) == len(made)
    assert {type(one).__name__ for one in fast} == {"Scan"}
    assert [travels([one]) for one in fast] == [travels([one]) for one in plain]
    # Within one batch, and with somebody of the other kind before.
    assert (
        travels(fast)
        == travels(plain)
        == travels([*plain[:1], *fast[1:]])
        == travels([*fast[:1], *plain[1:]])
    )


@settings(max_examples=30, deadline=None)
@given(
    scans,
    st.sampled_from(({"campaign": "autumn"}, {"seller": "S-9"}, {"seller": ""}, {"product": PRODUCT[::-1]})),
)
async def test_what_becomes_known_counts_from_the_next_scan_on(scan: Scanned, news: dict[str, str]) -> None:
    desks = Desks(campaign_toml(pools="".join(POOLS) + POINTS))
    await desks.scan(scan)
    desks.lot(desks.directory.lots[scan.lot], **news)
    await desks.scan(scan)
    assert travels(desks.fast.asked) == travels(desks.plain.asked)


async def test_a_changed_campaign_counts_from_the_next_scan_on() -> None:
    desks = Desks(campaign_toml())
    scan = Scanned(Member("alice"), 1, 7, 0, {}, "")
    await desks.scan(scan)
    changed = compile_plan(parse(campaign_toml(pools="".join(POOLS) + POINTS)), no=1, previous=None)
    desks.directory.campaigns["spring"] = desks.directory.by_number[1] = KnownCampaign.of(changed)
    desks.directory.revision += 1
    await desks.scan(scan)
    one, other = (travels([claim]) for claim in desks.fast.asked)
    assert one != other
    assert travels(desks.fast.asked) == travels(desks.plain.asked)
