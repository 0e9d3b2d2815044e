"""Who fails too often waits: the same with the fast lane and without it, and in every worker."""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from scanner.identity import Member
from scanner.service.throttle import ADDRESS, MEMBER
from tests.brand import Brand, brand_in, campaign_toml
from tests.phone import Phone, Reply, http_request, scan_request
from tests.running import eventually, running
from tests.service.lanes import Side, served

FORGED = "0" * 24


@pytest.fixture(params=[True, False], ids=["lane", "aiohttp"])
def has_lane(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Scene:
    """A service, a lot of codes, and people who scan."""

    def __init__(self, brand: Brand, side: Side, lot: int) -> None:
        self.brand, self.side, self._lot, self._serial = brand, side, lot, 0

    def code(self) -> str:
        self._serial += 1
        return self.brand.code(self._lot, self._serial)

    async def send(self, requests: Iterable[bytes]) -> list[Reply]:
        async with Phone(self.side.port) as phone:
            return [await phone.send(request) for request in requests]

    async def scan(self, member: str, *codes: str, seen_as: str = "", **claims: str) -> list[str]:
        token = self.brand.token(member, **claims)
        headers = [f"X-Forwarded-For: {seen_as}"] if seen_as else []
        return [
            reply.outcome
            for reply in await self.send(with_headers(scan_request(token, c), headers) for c in codes)
        ]


def with_headers(request: bytes, headers: Iterable[str]) -> bytes:
    line, rest = request.split(b"\r\n", 1)
    return b"\r\n".join([line, *(header.encode() for header in headers), rest])


@asynccontextmanager
async def scene(data_dir: Path, has_lane: bool, **values: object) -> AsyncIterator[Scene]:
    async with brand_in(data_dir, fast_lane=has_lane, throttling=True, **values) as brand:
        await brand.apply(campaign_toml())
        lot = await brand.lot(5000)
        async with served(brand) as side:
            if has_lane:
                side.watch()
            yield Scene(brand, side, lot)


async def test_a_member_who_fails_too_often_waits(tmp_path: Path, has_lane: bool) -> None:
    async with scene(tmp_path / "data", has_lane) as play:
        free = MEMBER.free + 1
        assert await play.scan("mallory", *[FORGED] * free) == ["unknown_code"] * free
        genuine = play.code()
        [refused] = await play.send([scan_request(play.brand.token("mallory"), genuine)])
        assert (refused.status, refused.outcome) == (429, "throttled")
        assert 1 <= int(refused.headers["retry-after"]) <= MEMBER.wait_first_ms / 1000
        # Every door is shut to them, and open to everybody else; the code is as free as before.
        token = play.brand.token("mallory")
        asked = (
            f"GET /v1/codes/{genuine} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        assert [reply.outcome for reply in await play.send([asked])] == ["throttled"]
        assert await play.scan("alice", genuine) == ["accepted"]
        if has_lane:
            assert play.side.taken == free + 2


async def test_what_is_accepted_makes_good_and_a_replay_does_not(tmp_path: Path, has_lane: bool) -> None:
    async with scene(tmp_path / "data", has_lane) as play:
        for _ in range(2 * MEMBER.free):
            assert await play.scan("alice", FORGED, play.code()) == ["unknown_code", "accepted"]
        code = play.code()
        assert await play.scan("bob", code) == ["accepted"]
        outcomes = await play.scan("bob", *[FORGED, code] * (MEMBER.free + 1))
        assert outcomes == ["unknown_code", "replayed"] * MEMBER.free + ["unknown_code", "throttled"]


async def test_an_address_without_valid_tokens_waits_and_members_behind_it_do_not(
    tmp_path: Path, has_lane: bool
) -> None:
    async with scene(tmp_path / "data", has_lane) as play:
        free = ADDRESS.free + 1
        replies = await play.send([scan_request("no.valid.token", FORGED)] * (free + 2))
        assert [reply.outcome for reply in replies] == ["unauthorized"] * free + ["throttled"] * 2
        assert await play.scan("alice", play.code()) == ["accepted"]
        # There, one failure of their own is too many.
        assert await play.scan("bob", FORGED, play.code()) == ["unknown_code", "throttled"]


async def test_tokens_that_have_only_expired_are_no_failures(tmp_path: Path, has_lane: bool) -> None:
    """An app that is told to wait would not fetch another one."""
    async with scene(tmp_path / "data", has_lane) as play:
        expired = play.brand.token_keys.issue(Member("alice"), now_s=1_000_000_000, ttl_s=60)
        replies = await play.send([scan_request(expired, FORGED)] * (ADDRESS.free + 2))
        assert {reply.outcome for reply in replies} == {"unauthorized"}
        await play.send([scan_request("no.valid.token", FORGED)] * (ADDRESS.free + 2))
        replies = await play.send([scan_request(token, FORGED) for token in ("no.valid.token", expired)])
        assert [reply.outcome for reply in replies] == ["throttled", "unauthorized"]


async def test_a_service_is_not_held_back(tmp_path: Path, has_lane: bool) -> None:
    async with scene(tmp_path / "data", has_lane) as play:
        body = orjson.dumps({"scans": [{"member": "alice", "code": FORGED}] * 100})
        request = http_request(body, Authorization=f"Bearer {play.brand.service_token()}")
        request = request.replace(b"/v1/scans", b"/v1/scans/batch", 1)
        replies = await play.send([request] * 5)
        assert {reply.status for reply in replies} == {200}


async def test_behind_proxies_each_address_counts_for_itself(tmp_path: Path, has_lane: bool) -> None:
    async with scene(tmp_path / "data", has_lane, trusted_proxies="127.0.0.0/8") as play:
        bad = with_headers(scan_request("no.valid.token", FORGED), ["X-Forwarded-For: 203.0.113.7"])
        replies = await play.send([bad] * (ADDRESS.free + 2))
        assert replies[-1].outcome == "throttled"
        spoofed = with_headers(
            scan_request("no.valid.token", FORGED), ["X-Forwarded-For: 198.51.100.1, 203.0.113.7, 127.0.0.9"]
        )
        other = with_headers(scan_request("no.valid.token", FORGED), ["X-Forwarded-For: 203.0.113.8"])
        assert [reply.outcome for reply in await play.send([spoofed, other])] == ["throttled", "unauthorized"]
        assert await play.scan("bob", FORGED, play.code(), seen_as="203.0.113.7") == [
            "unknown_code",
            "throttled",
        ]


async def test_without_trusted_proxies_nobody_says_where_they_are(tmp_path: Path, has_lane: bool) -> None:
    async with scene(tmp_path / "data", has_lane) as play:
        requests = [
            with_headers(scan_request("no.valid.token", FORGED), [f"X-Forwarded-For: 203.0.113.{n % 250}"])
            for n in range(ADDRESS.free + 2)
        ]
        assert (await play.send(requests))[-1].outcome == "throttled"


async def test_control_without_throttling_nobody_waits(tmp_path: Path, has_lane: bool) -> None:
    async with brand_in(tmp_path / "data", fast_lane=has_lane) as brand, served(brand) as side:
        await brand.apply(campaign_toml())
        scene = Scene(brand, side, await brand.lot(1))
        outcomes = await scene.scan("mallory", *[FORGED] * 4 * MEMBER.free)
        assert set(outcomes) == {"unknown_code"}


async def test_the_workers_share_what_they_count(tmp_path: Path) -> None:
    async with running(tmp_path / "data", throttling=True, workers=2) as run:
        token = run.brand.token("mallory")
        # Each on a connection of its own, whichever worker takes it.
        replies = [await run.scan("mallory", FORGED) for _ in range(MEMBER.free + 1)]
        assert {reply.outcome for reply in replies} == {"unknown_code"}
        replies = await run.scan_all([scan_request(token, FORGED)] * 32, connections=32)
        assert {reply.outcome for reply in replies} == {"throttled"}


async def test_many_forgeries_ring_an_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path / "data", forgeries_alarm_per_s=3) as run:
        metrics = (await run.operations("/metrics"))[1]
        assert "scanner_forgeries_alarm 0.0" in metrics
        await run.scan_all([scan_request(run.brand.token("mallory"), FORGED)] * 40)

        async def rings() -> bool:
            return "scanner_forgeries_alarm 1.0" in (await run.operations("/metrics"))[1]

        with caplog.at_level(logging.WARNING, "scanner"):
            await eventually(rings)
        [line] = [record.getMessage() for record in caplog.records if "forgeries" in record.getMessage()]
        assert "SCANNER_FORGERIES_ALARM_PER_S" in line
        assert "mallory" not in line
