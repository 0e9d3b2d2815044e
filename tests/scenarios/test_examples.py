"""The four stories of examples/, each played on a real store with its own file, in years yet to come."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scanner.ledger import lots
from scanner.ledger.packets import sweep
from tests.brand import Brand, InProcess
from tests.clock import FrozenClock, frozen_clock

EXAMPLES = Path(__file__).parents[2] / "examples"
YEARS = {"2027-": "2091-", "2028-": "2092-", "2029-": "2093-"}
SHARE_CLAIMS = "/v1/shares/{token}/claims"
CODES = "/v1/codes/{code}"


@pytest.fixture
async def clock(brand: Brand) -> AsyncIterator[FrozenClock]:
    clock = await frozen_clock(brand)
    yield clock
    report = await clock.brand.audit()
    assert [found.text for found in report.differences] == []


async def begin(clock: FrozenClock, name: str, at: str) -> InProcess:
    """The example in force, with its year moved, and a worker."""
    toml = (EXAMPLES / name).read_text("utf-8")
    for year, later in YEARS.items():
        toml = toml.replace(year, later)
    await clock.brand.apply(toml)
    await clock.set(at)
    return clock.brand.scanner()


async def lot_of(brand: Brand, campaign: str, product: str, size: int = 20, *, pin: bool = False) -> int:
    no = await lots.register(
        brand.store,
        by="test",
        kid=brand.keyring.minting_kid,
        size=size,
        product=product,
        campaign=campaign,
        pin=pin,
    )
    await lots.activate(brand.store, no, by="test", first=0, last=size - 1)
    return no


def won(answer: dict[str, object]) -> dict[str, list[str]]:
    """Beneficiaries by pool, of every award."""
    assert answer["outcome"] == "accepted", answer
    pools: dict[str, list[str]] = {}
    for award in answer["awards"]:
        pools.setdefault(award["pool"], []).append(award["beneficiary"])
    return pools


async def test_painters_and_dealers_of_a_paint_brand(clock: FrozenClock) -> None:
    scanner = await begin(clock, "paint.toml", "2091-03-10T09:00:00+08:00")
    brand = clock.brand
    lot = await lot_of(brand, "spring-2027", "06901234567892", 40)
    await lots.assign(brand.store, lot, by="test", seller="dealer-7")
    gold = {"role": "worker", "tier": "gold", "inviter": "foreman"}

    async def scan(serial: int, member: str, **claims: str) -> dict[str, object]:
        token = brand.token(member, **claims)
        body = {"code": brand.code(lot, serial), "channel": "weixin-mini-program"}
        return await scanner.asked("/v1/scans", token, body)

    first = await scan(0, "lin", **gold)
    pools = won(first)
    assert (pools["points"], pools["dealer"], pools["foreman"]) == (["member"], ["seller"], ["inviter"])
    assert won(await scan(1, "wang")).keys() == {"points", "dealer"}  # nobody brought wang in, and no tier
    assert (await scan(0, "lin", **gold)) == first | {"replayed": True}
    for serial in range(2, 21):
        await scan(serial, "lin", **gold)
    limited = await scan(21, "lin", **gold)
    assert (limited["outcome"], limited["resets_at"]) == ("limit_reached", "2091-03-10T16:00:00.000Z")
    assert won(await scan(21, "wang"))  # the code stayed free
    drawn = await scanner.draw("wang", campaign="spring-2027", pool="wheel", request_id="r1")
    assert drawn["outcome"] == "no_chance"
    paid = {"campaign": "spring-2027", "pool": "wheel", "member": "wang", "request_id": "order-1"}
    bought = await scanner.serve("/v1/draws", **paid, paid={"points": 100})
    assert bought["outcome"] == "accepted"
    assert await scanner.serve("/v1/draws", **paid, paid={"points": 100}) == bought | {"replayed": True}


async def test_a_soft_drinks_red_packet_rain(clock: FrozenClock) -> None:
    scanner = await begin(clock, "soft-drink.toml", "2091-06-10T19:59:59.999+08:00")
    lot = await lot_of(clock.brand, "summer-rain", "06901234500004", 12)
    entries = []

    async def scan(serial: int, member: str) -> None:
        answer = await scanner.scan(member, clock.brand.code(lot, serial))
        assert "caps" in won(answer)
        event = (await clock.brand.store.client.xrevrange(clock.brand.store.keys.events, count=1))[0][1]
        entries.append(b'"rain"' in event[b"awards"] or b"rain/" in event.get(b"blanks", b""))

    await scan(0, "mei")
    await clock.forward(0.001)
    for serial in (1, 2, 3, 4):
        await scan(serial, "mei")
    await clock.forward(300)
    await scan(5, "ming")
    assert entries == [False, True, True, True, False, False]  # not before, three a day, not after


async def test_a_cosmetics_parcel_card(clock: FrozenClock) -> None:
    scanner = await begin(clock, "cosmetics.toml", "2091-02-14T10:00:00+08:00")
    brand = clock.brand
    lot = await lot_of(brand, "parcel-card", "06901234511116", pin=True)
    kid = brand.keyring.minting_kid
    passphrase = f"{brand.keyring.table().pin(kid, lot, 0):06d}"
    wrong = "000000" if passphrase != "000000" else "111111"
    code = brand.code(lot, 0)
    assert (await scanner.scan("rose", code))["outcome"] == "pin_required"
    for outcome in ("pin_wrong", "pin_wrong", "pin_wrong", "throttled"):
        assert (await scanner.scan("rose", code, pin=wrong))["outcome"] == outcome
    assert (await scanner.scan("rose", code, pin=passphrase))["outcome"] == "throttled"
    await clock.forward(10)
    card = await scanner.scan("rose", code, pin=passphrase)
    assert "card" in won(card)

    async def open_packet(friend: str) -> dict[str, object]:
        return await scanner.asked(SHARE_CLAIMS, brand.token(friend), {}, parameter=card["share"])

    assert (await open_packet("rose"))["outcome"] == "own_share"
    friends = [f"friend-{n}" for n in range(5)]
    opened = [await open_packet(friend) for friend in friends]
    assert [answer["outcome"] for answer in opened] == ["accepted"] * 5
    assert await open_packet(friends[0]) == opened[0] | {"replayed": True}
    assert (await open_packet("friend-6"))["outcome"] == "share_used_up"
    last = (await brand.store.client.xrevrange(brand.store.keys.events, count=1))[0][1]
    assert (last[b"giver"], last[b"slot"]) == (b"rose", b"5")
    assert b'"beneficiary":"giver"' in last[b"giver_awards"]

    grant = {"campaign": "parcel-card", "pool": "welcome-back", "member": "rose", "request_id": "g1"}
    granted = await scanner.serve("/v1/grants", **grant)
    assert granted["outcome"] == "granted"
    pin = f"{brand.keyring.table().pin(kid, lot, 1):06d}"
    assert won(await scanner.scan("rose", brand.code(lot, 1), pin=pin))["welcome-back"] == ["member"]
    lost = await scanner.serve("/v1/grants", **(grant | {"request_id": "g2"}))
    await clock.forward(30 * 86_400)
    assert await sweep(brand.store, scanner.directory.campaigns) == 1
    pin = f"{brand.keyring.table().pin(kid, lot, 2):06d}"
    assert lost["outcome"] == "granted"
    assert "welcome-back" not in won(await scanner.scan("rose", brand.code(lot, 2), pin=pin))


async def test_an_appliances_manual(clock: FrozenClock) -> None:
    scanner = await begin(clock, "appliance.toml", "2091-05-01T12:00:00+08:00")
    brand = clock.brand
    purifier = await lot_of(brand, "appliance-care", "06901234522228")
    cooler = await lot_of(brand, "appliance-care", "06901234533330")
    for lot in (purifier, cooler):
        await lots.assign(brand.store, lot, by="test", seller="shop-3")

    async def ask(lot: int) -> dict[str, object]:
        return await scanner.asked(CODES, brand.token("owner"), parameter=brand.code(lot, 0))

    known = await ask(purifier)
    assert (known["outcome"], known["scanned"]) == ("genuine", False)
    assert (known["title"], known["url"]) == (
        "Water purifier RO-600",
        "https://appliances.example/ro-600/manual",
    )
    first = await scanner.scan("owner", brand.code(purifier, 0))
    assert won(first)["service"] == ["member"]
    assert won(first)["installer"] == ["seller"]
    asked = await ask(purifier)
    assert (asked["scanned"], asked["first_scanned_at"]) == (True, first["scanned_at"])
    assert won(await scanner.scan("owner", brand.code(cooler, 0))).keys() == {"service", "installer"}
