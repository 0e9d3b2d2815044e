"""The claim function on a real store: each verdict, in and across batches."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import StoreUnavailableError
from scanner.ledger import campaigns, lots
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.directory import Directory
from scanner.ledger.frames import Claim, Entered
from scanner.ledger.records import Record, Won, details_digest, member_digest, parse_record
from tests.brand import Brand, brand_in, campaign_toml

DECK = """
[[pool]]
id = "deck"
draw = "deck"
[[pool.prize]]
id = "gold"
kind = "points"
amount = 5
stock = 2
[[pool.prize]]
id = "blank"
kind = "none"
stock = 1
"""


async def claim_for(brand: Brand, lot: int, serial: int, member: str = "alice", **values: object) -> Claim:
    """The claim that the service would make of a scan."""
    stored = await lots.read(brand.store, lot)
    campaign = await campaigns.read(brand.store, stored.campaign)
    table, kid = brand.keyring.table(), brand.keyring.minting_kid
    made = Claim(
        scan_id=table.scan_id(kid, lot, serial),
        lot=lot,
        serial=serial,
        plan=campaign.plan,
        pools=tuple(
            Entered(pool.id, pool.no, table.draw(kid, lot, serial, pool.id.encode()))
            for pool in campaign.plan.pools
        ),
        member=member,
    )
    return replace(made, **values)


async def verdicts(brand: Brand, *claims: Claim) -> list[Verdict]:
    return [answer.verdict for answer in await ClaimFunction(brand.store)(claims)]


async def entries(brand: Brand) -> list[dict[bytes, bytes]]:
    return [
        fields
        for _, fields in await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=10_000)
    ]


async def test_the_first_claim_wins_and_is_kept_for_ever(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    send = ClaimFunction(brand.store)
    [first] = await send([await claim_for(brand, lot, 3)])
    [again] = await send([await claim_for(brand, lot, 3)])
    [other] = await send([await claim_for(brand, lot, 3, "bob")])
    assert first.verdict is Verdict.ACCEPTED
    assert again.verdict is Verdict.REPLAYED
    assert again.record == first.record
    assert other == (Verdict.CLAIMED, first.at_ms, None)


async def test_within_a_batch_the_first_in_order_wins(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    claims = [await claim_for(brand, lot, 3, member) for member in ("alice", "bob", "alice", "carol")]
    assert await verdicts(brand, *claims) == [
        Verdict.ACCEPTED,
        Verdict.CLAIMED,
        Verdict.REPLAYED,
        Verdict.CLAIMED,
    ]
    assert len([entry for entry in await entries(brand) if entry[b"type"] == b"scan.accepted"]) == 1


async def test_the_entry_says_what_the_scan_said_and_leaves_out_what_it_did_not(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    await verdicts(brand, await claim_for(brand, lot, 7, role="worker", loc='{"lat":1.5,"lng":2.0}'))
    entry = (await entries(brand))[-1]
    assert entry[b"role"] == b"worker"
    assert entry[b"loc"] == b'{"lat":1.5,"lng":2.0}'
    assert entry[b"serial"] == b"7"
    assert entry[b"awards"].startswith(b'[{"pool":"points","prize":"p50"')
    assert not entry.keys() & {b"tier", b"seller", b"inviter", b"trace", b"channel", b"blanks"}


async def test_a_record_is_short_and_reads_back(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(100)
    await verdicts(brand, await claim_for(brand, lot, 70, tier="gold"))
    data = await brand.store.client.hget(brand.store.keys.claims(lot, 1), "6")
    record = parse_record(data)
    assert len(data) == 26
    assert record.member == member_digest("alice")
    assert record.details == details_digest("", "gold", "", "", "", "", "")
    assert record.won == (Won(1, 1),)


@pytest.mark.parametrize(
    ("prepare", "verdict"),
    [
        ("nothing", Verdict.ACCEPTED),
        ("blocked", Verdict.BLOCKED),
        ("inactive", Verdict.NOT_ACTIVE),
        ("lot missing", Verdict.NOT_READY),
        ("pool missing", Verdict.NOT_READY),
        ("prize missing", Verdict.NOT_READY),
        ("campaign missing", Verdict.NOT_READY),
        ("lot is a string", Verdict.NOT_READY),
        ("pool is a list", Verdict.NOT_READY),
        ("claims are a string", Verdict.NOT_READY),
        ("events are a string", Verdict.NOT_READY),
        ("pool is not a number", Verdict.NOT_READY),
        ("other version", Verdict.STALE),
        ("other campaign", Verdict.STALE),
    ],
)
async def test_a_claim_is_judged_before_anything_is_written(
    brand: Brand, prepare: str, verdict: Verdict
) -> None:
    await brand.apply(campaign_toml(pools=DECK))
    await brand.apply(campaign_toml("autumn"))
    lot = await brand.lot(64, active=prepare != "inactive")
    claim = await claim_for(brand, lot, 5)
    client, keys = brand.store.client, brand.store.keys

    async def broken(key: str, *command: str) -> None:
        await client.execute_command("DEL", key)
        await client.execute_command(command[0], key, *command[1:])

    match prepare:
        case "blocked":
            await lots.block(brand.store, lot, by="test")
        case "lot missing":
            await client.execute_command("DEL", keys.lot(lot))
        case "pool missing":
            await client.execute_command("DEL", keys.pool("spring", "deck"))
        case "prize missing":
            await client.execute_command("HDEL", keys.pool("spring", "deck"), "gold")
        case "campaign missing":
            await client.execute_command("DEL", keys.campaign("spring"))
        case "lot is a string":
            await broken(keys.lot(lot), "SET", "x")
        case "pool is a list":
            await broken(keys.pool("spring", "deck"), "LPUSH", "x")
        case "claims are a string":
            await broken(keys.claims(lot, 0), "SET", "x")
        case "events are a string":
            await broken(keys.events, "SET", "x")
        case "pool is not a number":
            await client.execute_command("HSET", keys.pool("spring", "deck"), "gold", "many")
        case "other version":
            claim = replace(claim, plan=replace(claim.plan, version="0" * 16))
        case "other campaign":
            await lots.move(brand.store, lot, by="test", campaign="autumn")
    before = await _everything(brand)
    assert await verdicts(brand, claim) == [verdict]
    assert (await _everything(brand) == before) is (verdict is not Verdict.ACCEPTED)


async def _everything(brand: Brand) -> dict[bytes, bytes]:
    client = brand.store.client
    names = await client.execute_command("KEYS", "*")
    return {name: await client.execute_command("DUMP", name) for name in names}


@pytest.mark.parametrize(
    ("starts", "ends", "verdict"),
    [
        ("2098-01-01T00:00:00Z", "2099-01-01T00:00:00Z", Verdict.NOT_STARTED),
        ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", Verdict.OVER),
    ],
)
async def test_the_store_keeps_the_time(brand: Brand, starts: str, ends: str, verdict: Verdict) -> None:
    await brand.apply(campaign_toml(starts=starts, ends=ends))
    lot = await brand.lot(10)
    assert await verdicts(brand, await claim_for(brand, lot, 0)) == [verdict]


async def test_a_claim_outlives_its_campaign_and_its_lot(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    claim = await claim_for(brand, lot, 0)
    await verdicts(brand, claim)
    await lots.block(brand.store, lot, by="test")
    assert await verdicts(brand, claim, replace(claim, member="bob")) == [Verdict.REPLAYED, Verdict.CLAIMED]


async def test_a_deck_gives_each_card_once_and_then_nothing(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=DECK))
    lot = await brand.lot(10)
    answers = await ClaimFunction(brand.store)([await claim_for(brand, lot, serial) for serial in range(5)])
    drawn = sorted(answer.record.won for answer in answers)
    assert drawn == [(), (), (Won(1, 1),), (Won(1, 1),), (Won(1, 2),)]
    left = await brand.store.client.hgetall(brand.store.keys.pool("spring", "deck"))
    assert left == {b"gold": b"0", b"blank": b"0"}
    assert sum(b"blanks" in entry for entry in await entries(brand)) == 1


async def test_a_library_that_was_flushed_is_loaded_again(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    claim = await claim_for(brand, lot, 0)
    await brand.store.client.execute_command("FUNCTION", "FLUSH")
    assert await verdicts(brand, claim) == [Verdict.ACCEPTED]


async def test_a_store_that_refuses_to_write_is_unavailable_and_recovers(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    claim = await claim_for(brand, lot, 0)
    command = brand.store.client.execute_command
    await command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailableError, match="maxmemory"):
        await verdicts(brand, claim)
    await command("CONFIG", "SET", "maxmemory", "0")
    assert await verdicts(brand, claim) == [Verdict.ACCEPTED]


async def test_the_function_touches_no_key_that_it_was_not_given(brand: Brand) -> None:
    """The store itself would not object outside a cluster, so the names are looked for in what it ran."""
    await brand.apply(campaign_toml(pools=DECK))
    lot = await brand.lot(10)
    claim = await claim_for(brand, lot, 0)
    given = set(ClaimFunction(brand.store).command([claim])[3:-2])
    names = await brand.store.client.execute_command("KEYS", "*")
    before = {name: await brand.store.client.execute_command("DUMP", name) for name in names}
    await verdicts(brand, claim)
    names = await brand.store.client.execute_command("KEYS", "*")
    changed = {
        name.decode()
        for name in names
        if before.get(name) != await brand.store.client.execute_command("DUMP", name)
    }
    assert changed == given - {brand.store.keys.lot(lot), brand.store.keys.campaign("spring")}


names = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=64)
scans = st.tuples(names, names | st.just(""), st.just("") | st.just('{"lat":1.0,"lng":-2.5}'))


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(scans, min_size=30, max_size=60), st.integers(0, (1 << 26) - 64))
def test_whatever_a_scan_says_comes_through(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str, str]], first: int
) -> None:
    """Frames are binary: no text, however odd, may shift what follows it."""

    async def story() -> None:
        async with brand_in(tmp_path_factory.mktemp("frames")) as brand:
            await brand.apply(campaign_toml())
            lot = await brand.lot(1 << 26)
            claims = [
                await claim_for(brand, lot, first + i, member, seller=seller, loc=loc)
                for i, (member, seller, loc) in enumerate(said)
            ]
            assert await verdicts(brand, *claims) == [Verdict.ACCEPTED] * len(claims)
            accepted = [entry for entry in await entries(brand) if entry[b"type"] == b"scan.accepted"]
            assert said == [
                tuple(entry.get(name, b"").decode() for name in (b"member", b"seller", b"loc"))
                for entry in accepted
            ]
            assert not (await brand.audit()).differences

    asyncio.run(story())


def test_a_record_holds_48_bits_of_time() -> None:
    data = (1 << 40).to_bytes(6, "big") + b"\0\7" + b"m" * 8 + b"d" * 8 + b"\1\2\3\4"
    assert parse_record(data) == Record(1 << 40, 7, b"m" * 8, b"d" * 8, (Won(1, 2), Won(3, 4)))


async def test_a_directory_forgets_nothing_and_learns_what_changed(brand: Brand) -> None:
    directory = Directory(brand.store)
    await brand.apply(campaign_toml())
    lot = await brand.lot(10, active=False)
    await directory.refresh()
    assert directory.lots[lot].active_count == 0
    await lots.activate(brand.store, lot, by="test", first=2, last=4)
    await directory.refresh()
    assert directory.lots[lot].active == ((2, 4),)
    assert directory.campaigns["spring"].plan.no == 1
