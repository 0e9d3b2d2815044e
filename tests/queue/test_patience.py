"""What a consumer says of a store that refuses one thing, and does all the others."""

import logging
from functools import partial
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from scanner.queue import Event, RejectedError
from scanner.queue.consuming.patience import Patience, Trouble
from tests.queue.streams import running, stream_in
from tests.running import eventually


async def said_while_one_event_cannot_be_buried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> list[str]:
    """The log of a consumer that asks for it five times, and reads and acknowledges others meanwhile."""
    async with stream_in(tmp_path) as stream:
        dead, consumer = stream.keys().dead("points"), stream.consumer(name="w")

        @consumer.handler
        async def take(event: Event) -> None:
            if event.data()["member"] == "bad":
                raise RejectedError("no")

        async def is_only_the_bad_one_left() -> bool:
            return [entry for entry, _, _ in await stream.pending()] == [bad]

        async def refused(times: int) -> bool:
            info = await stream.store.client.info("errorstats")
            return int(info.get("errorstat_WRONGTYPE", {"count": 0})["count"]) >= times

        async def is_buried() -> bool:
            return len(await stream.dead()) == 1

        await stream.ask("SET", dead, "no stream")
        with caplog.at_level(logging.WARNING, "scanner"):
            async with running(consumer):
                bad = await stream.scan("bad")
                for times in range(1, 6):
                    await stream.scans(5)
                    await eventually(partial(refused, times))
                    await eventually(is_only_the_bad_one_left)
                await stream.ask("DEL", dead)
                await eventually(is_buried)
                await stream.nothing_left()
        return [word for line in caplog.messages for word in ("waits", "goes on") if word in line]


async def test_it_says_once_that_it_waits_and_once_that_it_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await said_while_one_event_cannot_be_buried(tmp_path, caplog) == ["waits", "goes on"]


async def test_control_where_any_answer_ends_the_trouble_it_says_so_again_and_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Patience.ends

    def all_end(self: Patience, trouble: Trouble) -> None:
        for one in list(self._waiting):
            ends(self, one)

    monkeypatch.setattr(Patience, "ends", all_end)
    assert len(await said_while_one_event_cannot_be_buried(tmp_path, caplog)) > 4


@pytest.mark.parametrize(
    ("error", "has_trace"), [(RedisConnectionError("lost"), False), (RuntimeError("ours, or uvloop's"), True)]
)
async def test_what_may_be_a_fault_of_ours_is_shown_with_where_it_was(
    error: Exception, has_trace: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asked = iter([error, None])

    async def ask() -> None:
        if trouble := next(asked):
            raise trouble

    await Patience("points", "w").insist(ask)
    assert [bool(record.exc_info) for record in caplog.records] == [has_trace, False]
