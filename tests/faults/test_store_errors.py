"""The store says no to each of the service's commands: `unavailable`, and served again by itself.

Errors and replies that are none are said by somebody in between; what a real store can be brought to say is
said by a real one. The controls hold the same questions against services that take an error for an answer.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.ledger.claims import ClaimFunction, claim_of
from scanner.ledger.connection import Store, store_for
from scanner.ledger.embedded import embedded_store
from scanner.ledger.frames import Asked
from scanner.ledger.records import Record
from scanner.service import lookups
from scanner.service.supervisor import service
from tests.brand import Brand, brand_in, settings_for
from tests.faults.asking import Shop, ask, ask_until_true
from tests.faults.figures import say
from tests.faults.interposed import Interposed
from tests.faults.seeds import seeded, share
from tests.faults.troubles import REAL
from tests.running import Running, eventually, running, serving
from tests.service.lanes import served

ERRORS = {
    "WRONGTYPE": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "MISCONF": b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
    "function missing": b"-ERR Function not found\r\n",
    "BUSY": b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "NOAUTH": b"-NOAUTH Authentication required.\r\n",
    "NOPERM": b"-NOPERM User default has no permissions to run this command\r\n",
    "MASTERDOWN": b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    "NOREPLICAS": b"-NOREPLICAS Not enough good replicas to write.\r\n",
    "CLUSTERDOWN": b"-CLUSTERDOWN The cluster is down\r\n",
    "MOVED": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "script failed": b"-ERR user_function:1: attempt to index a nil value script: claim\r\n",
    "no text": b"-\xff\xfe\r\n",
}
# What no store says to these commands. An empty list is not here: to a look that is a store which lost all.
GARBAGE = {
    "OK": b"+OK\r\n",
    "a number": b":1\r\n",
    "a text": b"$9\r\n\xff\x00garbage\r\n",
    "a list of a number": b"*1\r\n:7\r\n",
    "a list of an error": b"*1\r\n-ERR inside\r\n",
    "lists in lists": b"*1\r\n*1\r\n*1\r\n$1\r\nx\r\n",
    "too many": b"*40\r\n" + b"$1\r\nN\r\n" * 40,
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}
REPLIES = ERRORS | GARBAGE
BY_REQUESTS = CLAIMS, LOOK_UP = ("FCALL", "HGET")
"""What is sent because somebody asks. The rest the service asks by itself, or as the store comes back."""
AT_START = ("INFO", "CONFIG GET", "FUNCTION LIST", "FUNCTION LOAD")


@dataclass
class Troubled:
    """A service whose store is reached through somebody who may say no."""

    run: Running
    between: Interposed
    shop: Shop

    async def is_not_ready(self) -> bool:
        return not await self.run.is_ready()

    async def begin(self, command: str, reply: bytes) -> None:
        """Returns when the service has met with the trouble, where it asks by itself."""
        between = self.between
        if command not in BY_REQUESTS:
            between.reply = lambda _: ERRORS["LOADING"]  # so that it looks at the store anew
            await eventually(self.is_not_ready)
            await self.shop.brand.lot(1)  # there is something new to read
            await self.shop.brand.store.client.execute_command("FUNCTION", "FLUSH")
        before = between.answered[command]
        between.refuse(command, reply)
        if command not in BY_REQUESTS:

            async def was_met() -> bool:
                return between.answered[command] > before

            await eventually(was_met)


@asynccontextmanager
async def troubled(tmp_path: Path) -> AsyncIterator[Troubled]:
    async with (
        embedded_store(tmp_path / "store") as embedded,
        Interposed(embedded.socket_path) as between,
        brand_in(tmp_path / "data", store_url=between.url, log_level="error") as brand,
        serving(brand) as run,
    ):
        direct = store_for(settings_for(tmp_path / "data"), embedded)
        shop = await Shop.open(replace(brand, store=direct))
        between.seen.clear()
        try:
            yield Troubled(run, between, shop)
        finally:
            await direct.close()


async def faults_under(troubled: Troubled, command: str, reply: bytes) -> list[str]:
    """Asks everything while the store says this to every such command, and again until it has recovered."""
    await troubled.begin(command, reply)
    questions, port, before = troubled.shop.questions(), troubled.run.port, dict(troubled.between.answered)
    answers = await ask(port, questions)
    faults = [asked.fault for asked in answers if asked.fault]
    if command == CLAIMS:
        faults += [
            f"{asked.question.kind} was answered {asked.outcome} without the store"
            for asked in answers
            if asked.question.kind in ("a first scan", "a repeated scan", "a batch", "a draw")
            and asked.outcome != "unavailable"
        ]
    if command in (CLAIMS, LOOK_UP):
        assert troubled.between.answered[command] > before.get(command, 0)
    troubled.between.relent()
    await eventually(troubled.run.is_ready)
    return faults + await ask_until_true(port, questions)


async def commands_of(troubled: Troubled) -> list[str]:
    """Every command that the service sends: at the start, by itself, and for every kind of request."""
    await troubled.begin("TIME", REPLIES["OK"])
    troubled.between.relent()
    await eventually(troubled.run.is_ready)  # so it has looked at the store anew, and asked all it asks then
    assert await ask_until_true(troubled.run.port, troubled.shop.questions()) == []
    found = set(troubled.between.seen)
    assert found >= {*BY_REQUESTS, *AT_START, "TIME", "ZRANGEBYSCORE"}, found
    return sorted(found)


async def faults_of(troubled: Troubled, pairs: Sequence[tuple[str, str]]) -> list[str]:
    faults = []
    for command, name in pairs:
        try:
            found = await faults_under(troubled, command, REPLIES[name])
        except TimeoutError:
            found = ["it has not recovered"]
        faults += [f"{name} to {command}: {text}" for text in found]
    return faults


async def test_every_error_to_every_command(tmp_path: Path) -> None:
    """In CI every command and every error a few times; in the long run, all of them with each other."""
    with seeded() as rng:
        async with troubled(tmp_path) as trouble:
            pids = trouble.run.supervisor.worker_pids
            commands = await commands_of(trouble)
            pairs = [(command, name) for command in commands for name in REPLIES]
            rng.shuffle(pairs)
            kept = [next(pair for pair in pairs if pair[0] == command) for command in commands]
            kept += [pair for pair in pairs if pair not in kept][: share(20, len(pairs))]
            wrong = await faults_of(trouble, kept)
            assert not wrong, "\n".join(wrong)
            assert trouble.run.supervisor.worker_pids == pids
            assert (await trouble.shop.brand.audit()).differences == []
            _, metrics = await trouble.run.operations("/metrics")
            assert 'scanner_requests_total{outcome="internal_error"} 0.0' in metrics
            refused = sum(trouble.between.answered.values())
            say(
                f"store errors: {len(commands)} commands, {len(kept)} pairs of a command and an error, "
                f"{refused} commands refused: "
                "every answer true or unavailable, audit clean"
            )


@pytest.mark.parametrize("command", AT_START)
async def test_every_error_at_the_start(tmp_path: Path, command: str) -> None:
    """The command that starts the service ends with one line, and no trace of the stack."""
    async with (
        embedded_store(tmp_path / "store") as embedded,
        Interposed(embedded.socket_path) as between,
        brand_in(tmp_path / "data", store_url=between.url, log_level="error") as brand,
    ):
        wrong = []
        await brand.store.client.execute_command("FUNCTION", "FLUSH")
        for name, reply in REPLIES.items():
            between.refuse(command, reply)
            try:
                async with service(brand.settings):
                    if name in ERRORS:
                        wrong.append(f"started in spite of {name}")
            except (ConfigurationError, StoreUnavailableError) as error:
                if "\n" in str(error):
                    wrong.append(f"{name}: {error}")
            except Exception as error:
                wrong.append(f"{name}: {error!r}")
        assert wrong == []


async def looked_at_twice(run: Running) -> None:
    """Returns when the worker's eye has met with what is the matter with the store."""
    [cells] = run.supervisor.rows
    for _ in range(2):
        beat = cells.get("beat_ms")

        async def has_looked(beat: int = beat) -> bool:
            return cells.get("beat_ms") != beat

        await eventually(has_looked)


async def test_what_a_real_store_says(tmp_path: Path) -> None:
    async with running(tmp_path / "data", log_level="error") as run:
        shop = await Shop.open(run.brand)
        for name, (begin, end) in REAL.items():
            questions = shop.questions()
            await begin(run.brand)
            answers = await ask(run.port, questions)
            await looked_at_twice(run)
            answers += await ask(run.port, questions)
            await end(run.brand)
            assert [asked.fault for asked in answers if asked.fault] == [], name
            if name != "directory of another type":  # which only the eye on the store looks at
                assert not all(asked.is_true for asked in answers), f"{name} was not met"
            await eventually(run.is_ready)
            assert await ask_until_true(run.port, questions) == [], name
        assert (await run.brand.audit()).differences == []
        say(f"a real store's errors: {', '.join(REAL)}: every answer true or unavailable, audit clean")


@pytest.mark.parametrize("how", [("FUNCTION", "FLUSH"), ("FUNCTION", "DELETE", "")])
async def test_functions_that_are_gone_are_loaded_again(tmp_path: Path, how: tuple[str, ...]) -> None:
    """Nobody notices: not one answer is `unavailable`."""
    async with running(tmp_path / "data", log_level="error") as run:
        shop = await Shop.open(run.brand)
        store = run.brand.store
        name = (await store.client.execute_command("FUNCTION", "LIST"))[0][1].decode()
        await store.client.execute_command(*(part or name for part in how))
        answers = await ask(run.port, shop.questions())
        assert all(asked.is_true for asked in answers), answers


class TakesAnErrorForNo(ClaimFunction):
    """The broken variant: an error of the store is a *no*."""

    verdict = b"N"

    async def replies(self, batch: Sequence[Asked]) -> list[bytes]:
        try:
            return await super().replies(batch)
        except StoreUnavailableError:
            return [self.verdict] * len(batch)


class LetsAnErrorOut(ClaimFunction):
    """The broken variant: an error of the store is a fault of ours."""

    async def replies(self, batch: Sequence[Asked]) -> list[bytes]:
        return await self._send(self.command(batch))


async def free_where_it_cannot_be_read(store: Store, lot: int, serial: int) -> Record | None:
    """The broken variant: what cannot be read was not scanned."""
    try:
        return await claim_of(store, lot, serial)
    except StoreUnavailableError:
        return None


@pytest.mark.parametrize(
    ("trouble", "variant", "caught"),
    [
        ("NOPERM to claim", TakesAnErrorForNo, "a first scan was answered 409"),
        ("OOM", TakesAnErrorForNo, "a repeated scan was answered 409"),
        ("READONLY", LetsAnErrorOut, "a draw was answered 500"),
        ("NOPERM to read", None, "a look-up was answered 200"),
    ],
)
async def test_control_an_error_that_is_taken_for_an_answer_is_caught(
    brand: Brand,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
    variant: type[ClaimFunction] | None,
    caught: str,
) -> None:
    shop = await Shop.open(brand)
    async with served(brand) as side:
        if variant is None:
            monkeypatch.setattr(lookups, "claim_of", free_where_it_cannot_be_read)
        else:
            side.scanner.batcher._send = variant(brand.store).replies
        begin, end = REAL[trouble]
        assert all(asked.is_true for asked in await ask(side.port, shop.questions()))
        await begin(brand)
        answers = await ask(side.port, shop.questions())
        await end(brand)
        assert any(caught in asked.fault for asked in answers), [asked.fault for asked in answers]
