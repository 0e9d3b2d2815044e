"""What a scan is answered, where it depends on the service and not on the code."""

import asyncio
import os
import signal
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import StoreUnavailableError
from scanner.ledger import campaigns
from scanner.ledger.embedded import EmbeddedStore
from scanner.service.answers import timestamp
from tests.brand import Brand, campaign_toml, deck_toml


async def test_past_the_bound_scans_are_shed_and_the_rest_is_answered(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(20)
    scanner = brand.scanner(batch_max=1, away_max=1, waiting_max=5)
    await scanner.scan("alice", brand.code(lot, 0))  # the directory is loaded
    answers = await asyncio.gather(*(scanner.scan("alice", code) for code in brand.codes(lot, range(1, 20))))
    outcomes = [answer["outcome"] for answer in answers]
    assert outcomes == ["accepted"] * 5 + ["overloaded"] * 14
    assert {answer["status"] for answer in answers} == {200, 503}


async def test_before_the_store_was_seen_a_genuine_code_is_not_called_unknown(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(1)
    scanner, pid = brand.scanner(), EmbeddedStore(brand.settings.data_dir).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "unavailable"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "accepted"


async def test_a_store_that_went_back_is_not_served_from(brand: Brand) -> None:
    """Restored from an older copy, it would take claimed codes for free ones."""
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    scanner = brand.scanner()
    assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "accepted"
    await brand.store.client.execute_command("FLUSHALL")
    assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "unavailable"
    await brand.apply(campaign_toml("other"))
    with pytest.raises(StoreUnavailableError, match="gone back"):
        await scanner.directory.refresh()
    assert not scanner.directory.loaded
    assert (await scanner.scan("alice", brand.code(lot, 1)))["outcome"] == "unavailable"


async def test_an_answer_to_a_claim_under_rules_that_are_new_here(brand: Brand) -> None:
    """Another worker has claimed by a newer file: this one learns it before it answers."""
    await brand.apply(campaign_toml(pools=deck_toml(1)))
    lot = await brand.lot(2)
    ours, theirs = brand.scanner(), brand.scanner()
    await ours.scan("alice", brand.code(lot, 0))
    more = '\n[[pool]]\nid = "more"\ndraw = "every"\n[[pool.prize]]\nid = "m"\nkind = "points"\namount = 1\n'
    await brand.apply(campaign_toml(pools=deck_toml(1) + more))
    first = await theirs.scan("alice", brand.code(lot, 1))
    assert [award["pool"] for award in first["awards"]] == ["more"]
    assert await ours.scan("alice", brand.code(lot, 1)) == {**first, "replayed": True}


async def test_trace_place_and_channel_go_into_the_event(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    scanner, trace = brand.scanner(), "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    for serial, parent in enumerate((trace, "garbage")):
        body = (
            b'{"code":"%s","channel":"wx","location":{"lat":31.23,"lng":121}}'
            % brand.code(lot, serial).encode()
        )
        answer = await scanner.scans.answer(f"Bearer {brand.token('alice', tier='gold')}", body, parent)
        assert answer.outcome == "accepted"
    entries = await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=100)
    with_trace, without = (fields for _, fields in entries[-2:])
    assert with_trace[b"trace"].decode() == trace
    assert with_trace[b"loc"] == b'{"lat":31.23,"lng":121.0}'
    assert with_trace[b"channel"] == b"wx"
    assert with_trace[b"tier"] == b"gold"
    assert b"trace" not in without


@given(st.integers(0, 1 << 42))
def test_a_time_is_written_to_the_millisecond(ms: int) -> None:
    text = timestamp(ms)
    assert text.endswith("Z")
    assert len(text) == 24
    assert round(datetime.fromisoformat(text).timestamp() * 1000) == ms


async def test_a_campaign_in_force_is_read_back_as_it_was_applied(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    campaign = await campaigns.read(brand.store, "spring")
    assert campaign.file.campaign.id == campaign.plan.id == "spring"
    assert await campaigns.remaining(brand.store, campaign.plan) == {"points": {"p50": None}}
    assert await campaigns.read(brand.store, "none") is None


async def test_a_store_that_went_back_stays_refused_however_much_is_applied_anew(brand: Brand) -> None:
    """The new revisions pass the old one: what was lost is lost all the same."""
    await brand.apply(campaign_toml())
    lot = await brand.lot(1)
    scanner = brand.scanner()
    assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "accepted"
    await scanner.directory.refresh()
    await brand.store.client.execute_command("FLUSHALL")
    with pytest.raises(StoreUnavailableError, match="gone back"):
        await scanner.directory.refresh()
    await brand.apply(campaign_toml())
    for _ in range(3):
        await brand.lot(1)
    assert (await scanner.scan("bob", brand.code(lot, 0)))["outcome"] == "unavailable"


async def test_one_broken_lot_is_not_ready_and_the_rest_of_its_batch_is_answered(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    good, broken = await brand.lot(2), await brand.lot(2)
    scanner = brand.scanner()
    await scanner.directory.refresh()
    await brand.store.client.execute_command("HDEL", brand.store.keys.lot(broken), "active")
    answers = await asyncio.gather(
        *(scanner.scan("alice", brand.code(lot, serial)) for lot in (good, broken) for serial in (0, 1))
    )
    outcomes = [answer["outcome"] for answer in answers]
    assert outcomes == ["accepted", "accepted", "unavailable", "unavailable"]
