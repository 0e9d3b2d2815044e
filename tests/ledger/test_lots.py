"""Lots and campaigns in the store: what changes, what is refused, and that each change is an entry."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.campaigns import parse
from scanner.errors import CampaignError, StoreRefusedError
from scanner.ledger import campaigns, lots
from tests.brand import POINTS, PRODUCT, Brand, campaign_toml, deck_toml


async def types(brand: Brand) -> list[str]:
    entries = await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=100)
    return [fields[b"type"].decode() for _, fields in entries]


async def test_each_change_is_one_entry_and_repeating_it_is_none(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    await brand.apply(campaign_toml("autumn"))
    lot = await brand.lot(10)
    assert not await lots.activate(brand.store, lot, by="test", first=3, last=4)
    assert await lots.move(brand.store, lot, by="test", campaign="autumn")
    assert not await lots.move(brand.store, lot, by="test", campaign="autumn")
    assert await lots.block(brand.store, lot, by="test")
    assert not await lots.block(brand.store, lot, by="test")
    assert (await campaigns.apply(brand.store, parse(campaign_toml()), by="test")).changed is False
    assert await types(brand) == [
        "campaign.applied",
        "campaign.applied",
        "lot.registered",
        "lot.activated",
        "lot.moved",
        "lot.blocked",
    ]
    assert not (await brand.audit()).differences


async def test_what_cannot_be_is_refused(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10, active=False)
    store = brand.store
    with pytest.raises(StoreRefusedError, match="no campaign nowhere"):
        await lots.register(store, by="t", kid=1, size=1, product=PRODUCT, campaign="nowhere")
    with pytest.raises(StoreRefusedError, match="1 to 67108864 codes"):
        await lots.register(store, by="t", kid=1, size=0, product=PRODUCT, campaign="spring")
    with pytest.raises(StoreRefusedError, match="serials 0 to 9"):
        await lots.activate(store, lot, by="t", first=0, last=10)
    with pytest.raises(StoreRefusedError, match="serials 0 to 9"):
        await lots.activate(store, lot, by="t", first=5, last=4)
    with pytest.raises(StoreRefusedError, match="no lot 99"):
        await lots.activate(store, 99, by="t", first=0, last=0)
    with pytest.raises(StoreRefusedError, match="no lot 99"):
        await lots.block(store, 99, by="t")
    with pytest.raises(StoreRefusedError, match="no lot 99"):
        await lots.move(store, 99, by="t", campaign="spring")
    with pytest.raises(StoreRefusedError, match="no campaign nowhere"):
        await lots.move(store, lot, by="t", campaign="nowhere")
    await lots.block(store, lot, by="t")
    with pytest.raises(StoreRefusedError, match="is blocked"):
        await lots.activate(store, lot, by="t", first=0, last=0)
    assert await types(brand) == ["campaign.applied", "lot.registered", "lot.blocked"]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), min_size=1, max_size=12))
async def test_active_ranges_are_the_union_of_what_was_activated(
    brand: Brand, spans: list[tuple[int, int]]
) -> None:
    if not await campaigns.ids(brand.store):
        await brand.apply(campaign_toml())
    lot = await brand.lot(100, active=False)
    active: set[int] = set()
    for first, length in spans:
        await lots.activate(brand.store, lot, by="test", first=first, last=first + length)
        active |= set(range(first, first + length + 1))
    stored = await lots.read(brand.store, lot)
    assert {serial for first, last in stored.active for serial in range(first, last + 1)} == active
    assert all(b[0] > a[1] + 1 for a, b in zip(stored.active, stored.active[1:], strict=False))


async def test_too_many_separate_ranges_are_refused(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(1_000, active=False)
    for serial in range(0, 512, 2):
        await lots.activate(brand.store, lot, by="test", first=serial, last=serial)
    with pytest.raises(StoreRefusedError, match="256 separate active ranges"):
        await lots.activate(brand.store, lot, by="test", first=600, last=600)
    assert await lots.activate(brand.store, lot, by="test", first=0, last=999)


async def test_stock_is_added_to_what_is_left(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=deck_toml(10)))
    lot = await brand.lot(100)
    scanner = brand.scanner()
    for code in brand.codes(lot, range(4)):
        await scanner.scan("alice", code)
    await brand.apply(campaign_toml(pools=deck_toml(25)))
    left = await brand.store.client.hgetall(brand.store.keys.pool("spring", "deck"))
    assert left == {b"p": b"21"}
    with pytest.raises(CampaignError, match="stock"):
        await brand.apply(campaign_toml(pools=deck_toml(10)))
    assert not (await brand.audit()).differences


async def test_a_campaign_that_has_not_started_is_filled_anew(brand: Brand) -> None:
    later = {"starts": "2098-01-01T00:00:00Z", "ends": "2099-01-01T00:00:00Z"}
    await brand.apply(campaign_toml(pools=deck_toml(10) + POINTS, **later))
    await brand.apply(campaign_toml(pools=deck_toml(5), **later))
    client, keys = brand.store.client, brand.store.keys
    assert await client.hgetall(keys.pool("spring", "deck")) == {b"p": b"5"}
    assert await client.hgetall(keys.pool("spring", "points")) == {}
    assert not (await brand.audit()).differences


async def test_a_change_that_was_judged_on_an_older_version_is_refused(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=deck_toml(10)))
    store, keys = brand.store, brand.store.keys
    current = await campaigns.read(store, "spring")
    of_it = [keys.campaign("spring"), keys.budget("spring"), keys.pool("spring", "deck")]
    args = ["t", "spring", 1, "f" * 16, "1", "v", 0, 1, "{}", "{}", "[]", "[]"]
    with pytest.raises(StoreRefusedError, match="changed meanwhile"):
        await store.call("campaign_apply", [keys.events, keys.directory, *of_it], args)
    args[3], args[4] = current.plan.version, "0"  # judged before the start, applied after it
    with pytest.raises(StoreRefusedError, match="changed meanwhile"):
        await store.call("campaign_apply", [keys.events, keys.directory, *of_it], args)
    assert not (await brand.audit()).differences


async def test_a_lot_is_read_back(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(130, pin=True)
    [stored] = await lots.read_all(brand.store)
    assert (stored.no, stored.size, stored.pin, stored.active_count) == (lot, 130, True, 130)
    assert await lots.first_unclaimed(brand.store, stored) == 0
    assert await lots.claimed_count(brand.store, stored) == 0
