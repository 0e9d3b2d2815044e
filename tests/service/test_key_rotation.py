"""Keys change under load: whose keys are live notices nothing, who is revoked is refused within a second.

How long it took is printed: `pytest -s` shows it.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import orjson
import pytest

from scanner.codes import Keyring
from scanner.identity import TokenKeys
from scanner.ledger.embedded import EmbeddedStore
from scanner.settings import write_key_file
from tests.brand import SHARES, campaign_toml
from tests.phone import Phone, scan_request
from tests.running import Running, eventually, running
from tests.service.key_changes import (
    PATIENT,
    TRIED,
    Live,
    broken_workers,
    change_codes,
    change_tokens,
    loaded,
    outcomes,
    triers,
    until,
)
from tests.service.pools import friends, http_to

LANES = pytest.mark.parametrize("fast_lane", [True, False], ids=["fast lane", "aiohttp"])
BROKEN = {
    "nobody looks": """
from scanner.service import key_files
key_files.KeyFiles.look = lambda self: False
""",
    "the lane is not told": """
from scanner.service.fast_lane.lane import FastLane
use = FastLane.use
FastLane.use = lambda self, *others: None if hasattr(self, "_desk") else use(self, *others)
""",
    "the server is not told": """
from scanner.service.protocol import Server
use = Server.use
Server.use = lambda self, routes: None if hasattr(self, "_routes") else use(self, routes)
""",
}


def requests(tokens_of: Live, codes_of: Live) -> list[bytes]:
    """A scan of each trier's own code: with the tokens of one time, of the codes of another."""
    return [scan_request(tokens_of.token(f"trier-{number}"), codes_of.code(number)) for number in TRIED]


@pytest.mark.parametrize(("fast_lane", "tries"), [(True, 20), (False, 5)], ids=["fast lane", "aiohttp"])
async def test_keys_change_under_load(tmp_path: Path, fast_lane: bool, tries: int) -> None:
    tokens_s, codes_s = [], []
    async with running(tmp_path / "data", fast_lane=fast_lane, **PATIENT) as run:
        brand = run.brand
        await brand.apply(campaign_toml())
        old = await Live.of(brand)
        async with loaded(run, old) as load, triers(run) as phones:
            await until(phones, requests(old, old), "replayed", "accepted")
            for _ in range(tries):
                revoked_token, revoked_kid = brand.token_keys.signing_kid, brand.keyring.minting_kid
                change_tokens(brand, lambda keys: keys.rotate())
                change_codes(brand, lambda ring: ring.rotate())
                new = await Live.of(brand)
                # Nobody uses the new keys before every worker has them; the old ones serve meanwhile.
                await until(
                    phones, requests(new, new), "replayed", "accepted", "unauthorized", "unknown_code"
                )
                await load.use(new)

                assert await outcomes(phones, requests(old, new)) == {"replayed"}
                began = time.perf_counter()
                change_tokens(brand, lambda keys: keys.revoke(revoked_token))  # noqa: B023 (called at once)
                end = await until(phones, requests(old, new), "unauthorized", "replayed")
                tokens_s.append(end - began)

                assert await outcomes(phones, requests(new, old)) == {"replayed"}
                began = time.perf_counter()
                change_codes(brand, lambda ring: ring.revoke(revoked_kid))  # noqa: B023
                end = await until(phones, requests(new, old), "unknown_code", "replayed")
                codes_s.append(end - began)

                assert await outcomes(phones, requests(old, new)) == {"unauthorized"}
                assert await outcomes(phones, requests(new, old)) == {"unknown_code"}
                assert await outcomes(phones, requests(new, new)) == {"replayed"}
                old = new
            scans = dict(load.outcomes)
        assert load.wrong == []
        assert set(scans) == {"accepted", "replayed"}
        assert len(run.supervisor.worker_pids) == 2
        assert run.supervisor.collector.restarts == 0
        assert not (await brand.audit()).differences
    for what, took_s in (("token", tokens_s), ("master", codes_s)):
        sys.stdout.write(
            f"\n{what} key revoked {len(took_s)} times under load: refused by all workers after "
            f"{median(took_s):.3f} s (median), {max(took_s):.3f} s (worst)"
        )
    sys.stdout.write(f"\nscans of live keys meanwhile: {scans}\n")


@pytest.mark.parametrize("variant", BROKEN)
async def test_control_workers_that_keep_what_was_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    broken_workers(monkeypatch, tmp_path / "broken", BROKEN[variant])
    fast_lane = variant != "the server is not told"
    async with running(tmp_path / "data", fast_lane=fast_lane, **PATIENT) as run, triers(run) as phones:
        brand = run.brand
        await brand.apply(campaign_toml())
        old = await Live.of(brand)
        await until(phones, requests(old, old), "replayed", "accepted")
        change_tokens(brand, lambda keys: keys.rotate().revoke("t1"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await until(phones, requests(old, old), "unauthorized", "replayed")


async def test_shares_of_a_revoked_key_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "data", **PATIENT) as run, triers(run) as phones:
        brand = run.brand
        await brand.apply(campaign_toml(pools=friends(slots=10, stock=10)))
        old = await Live.of(brand)
        change_codes(brand, Keyring.rotate)
        new = await Live.of(brand)
        await until(phones, requests(new, new), "replayed", "accepted", "unknown_code")
        claims = [await share_claims(phones, one) for one in (old, new)]
        assert [await outcomes(phones, one) for one in claims] == [{"accepted"}, {"accepted"}]
        change_codes(brand, lambda ring: ring.revoke(1))
        await until(phones, claims[0], "unknown_share", "replayed")
        assert await outcomes(phones, requests(new, old)) == {"unknown_code"}  # nor is it given once more
        assert await outcomes(phones, claims[1]) == {"replayed"}


async def share_claims(phones: Sequence[Phone], live: Live) -> list[bytes]:
    """Each trier's claim of a packet that another one's scan has opened."""
    [giver, *_] = phones
    reply = await giver.send(requests(live, live)[0])
    path = SHARES.replace("{token}", str(reply.data["share"]))
    return [http_to(path, b"", authorization=f"Bearer {live.token(f'friend-{number}')}") for number in TRIED]


@LANES
async def test_what_is_under_way_ends_with_the_keys_it_began_with(tmp_path: Path, fast_lane: bool) -> None:
    """The store stands still while both keys go, the master key without a trace, and scans wait for it.

    A scan that opens a shared packet needs its key again after the store's answer.
    """
    async with (
        running(
            tmp_path / "data", fast_lane=fast_lane, store_timeout_ms=30_000, batches_away_max=64, **PATIENT
        ) as run,
        triers(run) as phones,
        triers(run) as others,
    ):
        brand = run.brand
        await brand.apply(campaign_toml(pools=friends()))
        old = await Live.of(brand)
        assert await outcomes(others, requests(old, old)) == {"accepted"}
        under_way = [scan_request(old.token("alice"), old.code(100 + number)) for number in TRIED]
        before = await claims_sent(run)

        async def all_are_under_way() -> bool:
            return await claims_sent(run) - before == len(TRIED)

        store_pid = EmbeddedStore(brand.settings.data_dir).pid
        assert store_pid is not None
        os.kill(store_pid, signal.SIGSTOP)
        try:
            replies = asyncio.gather(
                *(phone.send(request) for phone, request in zip(phones, under_way, strict=True))
            )
            await eventually(all_are_under_way)
            change_tokens(brand, lambda keys: keys.rotate().revoke("t1"))
            change_codes(brand, lambda ring: Keyring(ring.rotate().keys[1:]))
            # Also a store that is away keeps nobody from looking at the files.
            await until(
                others,
                [scan_request(old.token("bob"), "0" * 24)] * len(others),
                "unauthorized",
                "unknown_code",
            )
        finally:
            os.kill(store_pid, signal.SIGCONT)
        assert {reply.outcome for reply in await replies} == {"accepted"}
        assert all(reply.data["share"] for reply in await replies)
        assert await outcomes(phones, under_way) == {"unauthorized"}


async def claims_sent(run: Running) -> int:
    _, text = await run.operations("/metrics")
    [line] = [line for line in text.splitlines() if line.startswith("scanner_claims_total ")]
    return int(float(line.split()[1]))


async def test_a_request_that_comes_slowly_is_judged_when_it_is_whole(tmp_path: Path) -> None:
    """Else whoever has a leaked key could begin requests, and end them after it was revoked."""
    async with running(tmp_path / "data", **PATIENT) as run, triers(run) as phones:
        brand = run.brand
        await brand.apply(campaign_toml())
        live = await Live.of(brand)
        assert await outcomes(phones, requests(live, live)) == {"accepted"}
        for phone, request in zip(phones, requests(live, live), strict=True):
            phone._writer.write(request[:-5])
        async with triers(run) as others:
            change_tokens(brand, lambda keys: keys.rotate().revoke("t1"))
            forgery = scan_request(live.token("alice"), "0" * 24)
            await until(others, [forgery] * len(others), "unauthorized", "unknown_code")
        replies = [
            await phone.send(request[-5:])
            for phone, request in zip(phones, requests(live, live), strict=True)
        ]
        assert {reply.outcome for reply in replies} == {"unauthorized"}


@pytest.mark.parametrize("harm", ["no JSON", "no key", "too open", "gone"])
async def test_a_file_that_cannot_be_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], harm: str
) -> None:
    """The service goes on with the keys of before and says so once; the mended file is in force at once."""
    async with running(tmp_path / "data", log_level="info", **PATIENT) as run, triers(run) as phones:
        brand = run.brand
        await brand.apply(campaign_toml())
        live = await Live.of(brand)
        assert await outcomes(phones, requests(live, live)) == {"accepted"}
        path = brand.settings.token_keys_path
        good = brand.token_keys.rotate().dump()
        capfd.readouterr()
        spoil(path, good, harm)
        stale = "2 of 2 workers keep the keys of before: mend the key file that the log names"
        await eventually(lambda: keys_are(run, 2, stale))
        assert await outcomes(phones, requests(live, live)) == {"replayed"}
        # The other file is taken all the same.
        change_codes(brand, Keyring.rotate)
        other = await Live.of(brand)
        await until(phones, requests(live, other), "replayed", "accepted", "unknown_code")
        write_key_file(path, TokenKeys.parse(good).revoke("t1").dump())
        await until(phones, requests(live, live), "unauthorized", "replayed")
        await eventually(lambda: keys_are(run, 0, "ok"))
        log = capfd.readouterr().err
        said = [line for line in log.splitlines() if "cannot be used" in line and WHAT_IS_SAID[harm] in line]
        assert len(said) == 2
        assert all(str(path) in line for line in said)
        for key in orjson.loads(good)["keys"]:
            assert key["key"][:8] not in log


WHAT_IS_SAID = {
    "no JSON": "the token key file must read",
    "no key": "1 to 16 keys",
    "too open": "chmod 600",
    "gone": "is missing",
}


def spoil(path: Path, data: bytes, harm: str) -> None:
    if harm == "no JSON":
        write_key_file(path, data[:-20])
    elif harm == "no key":
        write_key_file(path, b'{"keys": []}')
    elif harm == "too open":
        path.chmod(0o644)
    else:
        path.unlink()


async def keys_are(run: Running, stale: int, part: str) -> bool:
    """What the operations port says of the keys; the service is ready whatever they are."""
    status, text = await run.operations("/readyz")
    _, figures = await run.operations("/metrics")
    ready = orjson.loads(text)
    assert (status, ready["ready"]) == (200, True)
    return ready["parts"]["keys"] == part and f"scanner_keys_stale {stale}.0" in figures
