"""What may be done next, chosen with an eye on how things stand, so that much of it meets with something.

Every value is written out where it is used: a failure's steps say all there is to know.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.engine.actions import (
    MEMBERS,
    PERSONS,
    PRODUCTS,
    Action,
    Draw,
    Expire,
    Friend,
    Grant,
    Operation,
    Scan,
    Until,
)
from tests.engine.files import CHANGES, ZONES, File, files
from tests.engine.hands import LotOf
from tests.engine.world import World

SIZE = 12  # codes of a lot

members, persons = st.sampled_from(MEMBERS), st.sampled_from(tuple(PERSONS))
request_ids = st.integers(1, 12).map(lambda n: f"r{n}")
campaign_ids = st.sampled_from(("c1", "c1", "c1", "c1", "c2"))
lot_numbers, serials = st.integers(1, 4), st.integers(0, SIZE)  # one too many
_sellers = st.sampled_from(("", "s1", "s3"))
pins = st.sampled_from(("right", "right", "wrong", "wrong", "wrong", "none"))


class Beginning(NamedTuple):
    now: int
    files: list[File]
    lots: list[LotOf]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        lines = [f"now = {datetime.fromtimestamp(self.now / 1000, UTC)}"]
        for file in self.files:
            lines += [f"{name} = {value}" for name, value in file.items() if name != "pool"]
            lines += [f"pool = {pool}" for pool in file["pool"]]
        printer.text("\n    ".join(["", *lines, *map(str, self.lots)]))


@st.composite
def beginnings(draw: st.DrawFn) -> Beginning:
    zone, start = draw(st.sampled_from(ZONES))
    ids = ("c1", "c2") if draw(st.booleans()) else ("c1",)
    pinned = draw(st.sampled_from((0, 3, 4)))
    lots = [
        LotOf(
            ids[place % len(ids)],
            PRODUCTS[place // 2],
            SIZE,
            pin=place + 1 == pinned,
            active=draw(st.sampled_from((SIZE, SIZE, SIZE, 8))),
            seller=draw(_sellers),
        )
        for place in range(4)
    ]
    return Beginning(int(start.timestamp() * 1000), [draw(files(id, zone, start)) for id in ids], lots)


def _world(draw: st.DrawFn) -> World:
    return draw(st.runner()).world


@st.composite
def scans(draw: st.DrawFn, lot: int = 0, how: Sequence[str] = ("any", "new", "new", "owner", "pin")) -> Scan:
    """`how`: any code; one that is free; a free one by who has a packet; one that asks for its PIN."""
    world, member, person, one_of = _world(draw), draw(members), draw(persons), draw(st.sampled_from(how))
    lots, pin = world.model.lots, "right"
    if lot:
        one_of = "any" if one_of == "any" else "new"
    lot = lot or draw(lot_numbers)
    if one_of == "any":
        return Scan(lot, draw(serials), member, person, draw(pins) if lots[lot].pin else pin)
    if one_of == "owner" and world.packets:
        campaign, _, _, member = draw(st.sampled_from(world.packets[:3]))
        lot = next((no for no, one in lots.items() if one.campaign == campaign and not one.pin), lot)
    if one_of == "pin":
        pinned = [no for no, one in lots.items() if one.pin]
        if pinned:
            return Scan(pinned[0], draw(st.sampled_from((0, 0, 1, 2, 3))), member, person, draw(pins))
    free = [serial for serial in range(SIZE) if not lots[lot].is_claimed(serial)]
    return Scan(lot, draw(st.sampled_from(free[:3] or [0])), member, person, pin)


@st.composite
def draws(draw: st.DrawFn) -> Draw:
    """Paid for by the shop, or by a member who has a chance."""
    world, member, person = _world(draw), draw(members), draw(persons)
    request, by = draw(request_ids), draw(st.sampled_from(("shop", "shop", "")))
    campaign = draw(st.sampled_from(_with(world, "wheel")))
    if draw(st.integers(0, 5)) == 5:
        pool, paid = draw(st.sampled_from(("wheel", "p0"))), draw(st.sampled_from(("wrong", "price")))
        return Draw(draw(campaign_ids), pool, member, request, person, paid, by)
    holders = [one for one in MEMBERS if world.chances(campaign, "wheel", one)]
    if holders and draw(st.booleans()):
        return Draw(campaign, "wheel", draw(st.sampled_from(holders)), request, person, "", by)
    return Draw(campaign, "wheel", member, request, person, draw(st.sampled_from(("price", ""))), by)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    campaign = draw(st.sampled_from(_with(_world(draw), "gift")))
    pool = draw(st.sampled_from((*["gift"] * 9, "p0")))
    return Grant(campaign, pool, draw(st.sampled_from((*MEMBERS, "ann", "ann"))), draw(request_ids))


@st.composite
def friends(draw: st.DrawFn) -> Friend:
    world, person = _world(draw), draw(persons)
    share = draw(st.integers(0, max(0, min(3, len(world.shares) - 1))))
    return Friend(share, draw(members), person)


claims = st.one_of(scans(), scans(), scans(), draws(), grants(), friends())


@st.composite
def together(draw: st.DrawFn) -> list[Action]:
    """What arrives together: anything; or several for one code, for one packet, or under one request id."""
    world = _world(draw)
    how = draw(st.sampled_from(("any", "any", "code", "share", "request", "pin")))
    n = draw(st.integers(2, 4))
    match how:
        case "code" | "pin":
            first = draw(scans(how=["new" if how == "code" else "pin"]))
            rest = st.builds(Scan, st.just(first.lot), st.just(first.serial), members, persons, pins)
            return [first, *draw(st.lists(rest, min_size=1, max_size=n))]
        case "share" if world.shares:
            share = draw(st.integers(0, min(1, len(world.shares) - 1)))
            return [Friend(share, member) for member in draw(st.permutations(MEMBERS))[:n]]
        case "request":
            of = draw(st.sampled_from((draws, grants)))
            one, other = draw(of()), draw(of())
            again = other.under(one.request)
            return [one, draw(st.sampled_from((one, again))), *draw(st.lists(claims, max_size=2))]
    return [claim for claim in draw(st.lists(claims, min_size=2, max_size=5)) if world.can_be(claim)]


@st.composite
def untils(draw: st.DrawFn) -> Until:
    """Just before a moment at which something changes, or at it; and what depends on it."""
    world, campaign, off = _world(draw), draw(campaign_ids), draw(st.sampled_from((-1, -1, 0, 0, 1)))
    edge = draw(st.sampled_from(_edges(world, campaign)))
    match edge:
        case "packet":
            then = [draw(st.one_of(scans(how=["owner"]), st.builds(Expire, st.integers(0, 2))))]
        case "share" if world.shares:
            then = [Friend(_next_to_end(world), draw(members), draw(persons))]
        case "wait":
            then = draw(st.lists(scans(how=["pin"]), min_size=1, max_size=2))
        case _:
            then = draw(st.lists(claims, max_size=2))
    return Until(edge, campaign, off, tuple(then))


def _edges(world: World, campaign: str) -> list[str]:
    edges = ["day", "day", "window", "window"]
    edges += ["packet"] * 3 * bool(world.packets) + ["share"] * 3 * bool(world.shares)
    edges += ["wait"] * 2 * any(until > world.now for until in world.waits.all())
    known = world.model.campaigns.get(campaign)
    if known:
        edges += ["start"] * 6 * (world.now < known.plan.starts_ms)
        edges += ["end"] * (world.now > known.plan.starts_ms + 86_400_000)
    return edges


def _next_to_end(world: World) -> int:
    """The place of the packet whose time is over next, or was over last."""
    ends = []
    for place, (scan_id, _) in enumerate(world.shares):
        share = world.model.shares[scan_id]
        end = share.at_ms + world.model.campaigns[share.campaign].plan.shared.open_for
        ends.append((end <= world.now, end, place))
    return min(ends)[2]


_lots = st.sampled_from((1, 1, 1, 2, 3, 4))
_pools = st.sampled_from(("p0", "p0", "p1", "p2", "wheel", "gift", "friends", "n2"))
_WHAT = st.one_of(
    st.tuples(st.just("top_up"), campaign_ids, _pools, st.sampled_from("aaabc"), st.integers(1, 2)),
    st.tuples(st.just("top_up_budget"), campaign_ids, _pools | st.just(""), st.sampled_from((1, 7, 200))),
    st.tuples(st.just("move"), _lots, campaign_ids),
    st.tuples(st.just("assign"), _lots, _sellers),
    st.tuples(st.just("activate"), lot_numbers, serials, serials),
)
# They stop much of what comes after.
_STOPS = st.one_of(
    st.tuples(st.just("resume"), campaign_ids),
    st.tuples(st.just("pause"), campaign_ids),
    st.tuples(st.just("block"), lot_numbers),
)


@st.composite
def operated(draw: st.DrawFn) -> Operation:
    """What is done by hand, and a claim that it concerns."""
    what = draw(_STOPS if draw(st.integers(0, 9)) == 9 else _WHAT)
    request = draw(st.sampled_from(("", "", "", "o1", "o2", "o3")))
    look = draw(st.integers(0, 3)) == 3
    if draw(st.integers(0, 3)) == 3:
        return Operation(what, request, look)
    is_lots = what[0] in ("move", "assign", "activate", "block")
    then = draw(scans(lot=what[1]) if is_lots else claims)
    return Operation(what, request, look, then, what[0] == "pause" and draw(st.integers(0, 3)) < 3)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, int]:
    """A campaign, what changes in its file, and where."""
    world, campaign = _world(draw), draw(campaign_ids)
    known = world.model.campaigns.get(campaign)
    if known and world.now > known.plan.ends_ms and draw(st.booleans()):
        return campaign, "end", 0
    return campaign, draw(st.sampled_from(CHANGES)), draw(st.integers(0, 6))


def expired_with() -> st.SearchStrategy[list[Action]]:
    """One packet that may go back, and what arrives with it."""
    return st.tuples(st.integers(0, 1), st.lists(claims, max_size=2)).map(
        lambda both: [Expire(both[0]), *both[1]]
    )


def _with(world: World, pool: str) -> list[str]:
    """The campaigns that have such a pool."""
    return [id for id, one in world.model.campaigns.items() if pool in one.plan.by_id] or ["c1"]
