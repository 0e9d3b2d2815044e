"""The generator: every request once, honest latencies, and what it does when the service misbehaves."""

import asyncio
import socket
import time

import pytest

from loadtests.errors import LoadTestError
from loadtests.generator import Outcome, drive
from tests.loadtests.tiny import Asked, answer, request, tiny

SLOW_US = 200_000


def slow(outcome: Outcome) -> int:
    """Answers that took more than 0.2 s."""
    return sum(
        item.count_added_in_this_iter_step
        for item in outcome.latency_us.get_recorded_iterator()
        if item.value_iterated_to > SLOW_US
    )


@pytest.mark.parametrize("rate", [None, 2_000.0])
async def test_each_request_is_sent_once_and_its_answer_told(rate: float | None) -> None:
    told: dict[int, bytes] = {}
    async with tiny(lambda asked: answer(asked.body, status=200 + asked.no % 2)) as (served, address):
        outcome = await drive(
            address,
            (request(b"%d" % n) for n in range(300)),
            connections=7,
            rate=rate,
            on_answer=lambda index, status, body: told.update({index: body}),
        )
    assert sorted(served.bodies, key=int) == [b"%d" % n for n in range(300)]
    assert told == {n: b"%d" % n for n in range(300)}
    assert outcome.statuses == {200: 150, 201: 150}
    assert outcome.answers == outcome.requests == 300
    assert outcome.latency_us.get_total_count() == 300
    assert served.connections == 7


async def stalled(rate: float | None) -> Outcome:
    """A run of 400 requests in whose middle the service answers nobody for 0.6 s."""

    def say(asked: Asked) -> bytes:
        if asked.no == 150:
            served.may_answer.clear()
            asyncio.get_running_loop().call_later(0.6, served.may_answer.set)
        return answer()

    async with tiny(say) as (served, address):
        return await drive(address, [request()] * 400, connections=4, rate=rate)


async def test_open_loop_shows_a_stall_and_closed_loop_hides_it() -> None:
    """At 400/s some 160 requests fall due in the first 0.4 s of the stall and wait for 0.2 s or more; of the
    closed loop, each of 4 connections waits with one."""
    open_loop, closed_loop = await stalled(400.0), await stalled(None)
    assert open_loop.answers == closed_loop.answers == 400
    assert slow(closed_loop) >= 1, "there was a stall"
    assert slow(open_loop) > 10 * slow(closed_loop)


async def test_due_times_may_be_a_list_and_the_shorter_one_ends_it() -> None:
    async with tiny(lambda asked: answer()) as (served, address):
        outcome = await drive(address, [request()] * 9, connections=2, rate=[0.0, 0.0, 0.01, 0.02])
        assert outcome.answers == len(served.bodies) == 4
        outcome = await drive(address, [request()] * 3, connections=2, rate=[0.0] * 9)
        assert outcome.answers == 3
        assert (await drive(address, [], connections=2, rate=5.0)).requests == 0
        assert (await drive(address, [], connections=2)).requests == 0


@pytest.mark.parametrize("rate", [None, 1_000.0])
async def test_connections_that_end_politely_are_opened_again(rate: float | None) -> None:
    async with tiny(lambda asked: answer(b"{}", "Connection: close")) as (served, address):
        outcome = await drive(address, [request()] * 40, connections=3, rate=rate)
    assert outcome.statuses == {200: 40}
    assert not outcome.failures
    assert served.connections >= 40


@pytest.mark.parametrize("rate", [None, 1_000.0])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "connection closed"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf", "broken answer"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "unreadable answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}", "unreadable answer"),
        (b"FTP/1.1! 200 OK\r\nContent-Length: 2\r\n\r\n{}", "unreadable answer"),
        (answer() + answer(), "unreadable answer"),
    ],
)
async def test_what_breaks_off_has_failed_and_the_rest_goes_on(
    said: bytes | None, reason: str, rate: float | None
) -> None:
    async with tiny(lambda asked: said if asked.body == b"bad" else answer()) as (_, address):
        requests = [request(b"bad") if n in (3, 11) else request() for n in range(30)]
        outcome = await drive(address, requests, connections=3, rate=rate)
    assert outcome.failures == {reason: 2}
    assert outcome.statuses == {200: 28}


async def test_answers_may_come_in_pieces_and_in_other_spellings() -> None:
    pieces = {b"0": answer(b"x" * 5000), b"1": answer(length="content-length"), b"2": answer(status=204)}
    pieces[b"2"] = b"HTTP/1.1 204 Nothing\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            for byte in pieces[await reader.readexactly(int(head.split()[-1]))]:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    told: list[tuple[int, bytes]] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        outcome = await drive(
            server.sockets[0].getsockname()[:2],
            [request(body) for body in sorted(pieces)],
            connections=1,
            on_answer=lambda index, status, body: told.append((status, body)),
        )
    assert not outcome.failures
    assert told == [(200, b"x" * 5000), (200, b"{}"), (204, b"")]


@pytest.mark.parametrize("rate", [None, 500.0])
async def test_what_is_never_answered_ends_all_the_same(rate: float | None) -> None:
    async with tiny(lambda asked: answer()) as (served, address):
        served.may_answer.clear()
        outcome = await drive(address, [request()] * 8, connections=2, rate=rate, timeout_s=0.2)
        served.may_answer.set()
    assert outcome.answers == 0
    assert outcome.failures.total() == 8
    assert outcome.failures["timed out"] >= 2
    if rate:
        assert outcome.failures["never sent"], "what finds no connection gives up too"


@pytest.mark.parametrize("rate", [None, 100.0])
async def test_no_run_is_longer_than_it_may(rate: float | None) -> None:
    async with tiny(lambda asked: answer()) as (served, address):
        served.may_answer.clear()
        outcome = await drive(address, [request()] * 1000, connections=2, rate=rate, seconds_max=0.2)
        served.may_answer.set()
    assert outcome.answers == 0
    assert outcome.failures["out of time"] == 2


@pytest.mark.parametrize("rate", [None, 200.0])
async def test_a_service_that_goes_away_is_an_end_too(rate: float | None) -> None:
    async with tiny(lambda asked: None) as (served, address):
        run = asyncio.create_task(drive(address, [request()] * 60, connections=20, rate=rate, timeout_s=0.3))
        await served.arrived.wait()
    outcome = await run
    assert outcome.answers == 0
    assert outcome.failures.total() == 60


async def test_it_says_when_it_was_itself_too_slow() -> None:
    """Whoever reads the answers holds the generator up for longer than requests may be late."""
    async with tiny(lambda asked: answer()) as (_, address):
        outcome = await drive(
            address,
            [request()] * 50,
            connections=8,
            rate=1_000.0,
            on_answer=lambda index, status, body: time.sleep(0.01),
        )
    assert outcome.answers == 50
    assert outcome.late > 25
    assert "the generator lagged" in outcome.bottleneck()


async def test_a_fault_of_the_callers_own_is_raised() -> None:
    def break_down(index: int, status: int, body: bytes) -> None:
        raise ZeroDivisionError

    def no_requests():
        yield request()
        raise KeyError("template")

    async with tiny(lambda asked: answer()) as (_, address):
        with pytest.raises(ZeroDivisionError):
            await drive(address, [request()] * 5, connections=2, on_answer=break_down)
        for rate in (None, 100.0):
            with pytest.raises(KeyError, match="template"):
                await drive(address, no_requests(), connections=2, rate=rate)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.0.2.1", "example.org", "::ffff:8.8.8.8", ""])
async def test_load_goes_to_nobody_elses_host(host: str) -> None:
    with pytest.raises(LoadTestError, match="--i-own-this-host"):
        await drive((host, 80), [request()], connections=1)


async def test_where_nobody_listens_nothing_is_counted() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(LoadTestError, match=r"no connection to 127\.0\.0\.1:"):
            await drive(held.getsockname(), [request()], connections=3)


@pytest.mark.parametrize(("connections", "rate"), [(0, None), (1, 0.0), (1, -5.0)])
async def test_senseless_orders_are_refused(connections: int, rate: float | None) -> None:
    with pytest.raises(LoadTestError):
        await drive(("127.0.0.1", 9), [request()], connections=connections, rate=rate)
