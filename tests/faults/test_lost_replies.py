"""Row 4 of the sheet: replies that are lost after execution, resets, stalls: nothing has an effect twice."""

from itertools import islice
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.faults.figures import say
from tests.faults.proxy import Chances, Proxy
from tests.faults.rig import rig
from tests.faults.seeds import seeded, share
from tests.faults.store import doomed_store

CHANCES = Chances(dropped=5, cut=1, reset=5, stalled=2, sliced=5, stall_s=(0.05, 0.5))
TIMEOUT_MS = 300
"""Of the store: shorter than the longest stalls, so that replies come too late as well."""
PHONES = 8
"""Few, so that batches are small and many: it is the batch that meets with the fault."""
SCANS = share(3_000, 10_000)  # a chapter
CLAIMED_BEFORE = """  if record then
    return claimed_before(record, who)
  end
"""


async def test_a_line_that_loses_replies(tmp_path: Path) -> None:
    scans = acknowledged = faults = 0
    for chapter in range(share(1, 10)):
        with seeded(chapter) as dice:
            async with rig(tmp_path / f"{chapter}", dice, chances=CHANCES, store_timeout_ms=TIMEOUT_MS) as on:
                async with on.crowd(codes=islice(on.codes, SCANS), phones=PHONES) as crowd:
                    await crowd.done(600)
                assert on.proxy is not None
                happened, on.proxy.chances = on.proxy.happened, Chances()
                assert happened.keys() >= {"dropped", "reset"}
                assert (await on.judged()).all == []
                scans, faults = scans + SCANS, faults + happened.total()
                acknowledged += on.acknowledged
    say(
        f"row 4: {scans} codes, {acknowledged} scans acknowledged, {faults} faults on the line to the store: "
        "0 extra effects, 0 lost, 0 double, 0 overspent"
    )


async def test_control_a_claim_that_may_not_be_repeated_is_caught(tmp_path: Path) -> None:
    """Each code is one member's, so whatever is claimed twice was so because of a fault."""
    with seeded() as dice:
        async with rig(
            tmp_path / "rig",
            dice,
            chances=CHANCES,
            plants=[(CLAIMED_BEFORE, "")],
            store_timeout_ms=TIMEOUT_MS,
        ) as on:
            async with on.crowd(codes=islice(on.codes, 1_000), phones=PHONES, stolen=0) as crowd:
                await crowd.done(120)
            assert on.proxy is not None
            on.proxy.chances = Chances()
            findings = await on.judged()
            assert findings.double
            say(f"row 4, control, a claim that may not be repeated, {crowd.answered} scans: {findings}")


async def test_control_a_client_that_sends_again_by_itself_has_extra_effects(tmp_path: Path) -> None:
    with seeded() as dice:
        async with doomed_store(tmp_path / "store") as store, Proxy(store.socket, dice=dice) as proxy:
            client = Redis(port=proxy.port)  # as it comes, with its own retries
            await client.ping()
            proxy.chances = Chances(dropped=5)
            answered = 0
            for _ in range(300):
                try:
                    await client.eval("return redis.call('INCR', KEYS[1])", 1, "effects")
                except RedisError:
                    continue
                answered += 1
            proxy.chances = Chances()
            effects = int(await client.get("effects"))
            await client.aclose()
            assert effects > answered
            say(f"row 4, control, redis-py's own retries: {answered} answered, {effects} effects")
