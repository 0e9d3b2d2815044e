"""Phones that scan all the time, and scan again where they had no answer; the notebook has it all first."""

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from typing import Protocol

from tests.faults.notebook import KNOWN, Errand, Notebook
from tests.phone import Phone, Reply, scan_request

AGAIN_AFTER_S, AGAIN_AFTER_S_MAX = 0.01, 0.16


class Caller(Protocol):
    """How a phone reaches the service; None where no answer came."""

    async def ask(self, token: str, code: str) -> Reply | None: ...
    def hang_up(self) -> None: ...


class PatientPhone:
    """A phone that keeps its connection, and dials again after it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._phone: Phone | None = None

    async def ask(self, token: str, code: str) -> Reply | None:
        try:
            if self._phone is None:
                self._phone = await Phone(self._port).__aenter__()
            return await self._phone.send(scan_request(token, code))
        except (OSError, EOFError):
            self.hang_up()
            return None

    def hang_up(self) -> None:
        if self._phone is not None:
            self._phone.hang_up()
            self._phone = None


class Crowd:
    """Runs the errands over some connections until they are all done, or until ``stop``.

    ``left_for_later``: how many in a hundred errands without an answer are not asked again at once; they
    stand in the notebook as unknown, and whoever judges it asks them in the end.
    """

    def __init__(
        self,
        errands: Iterator[Errand],
        notebook: Notebook,
        caller: Callable[[], Caller],
        token: Callable[[str], str],
        dice: Random,
        *,
        phones: int,
        left_for_later: int = 20,
    ) -> None:
        self._errands, self._notebook, self._caller, self._token = errands, notebook, caller, token
        self._dice, self._left_for_later, self._phones = dice, left_for_later, phones
        self._is_over = False
        self._goals: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self.answered = self.unanswered = 0
        """Requests that had an answer, 200 or 409; and those that had none, or an error."""

    async def __aenter__(self) -> "Crowd":
        self._tasks = [asyncio.create_task(self._scan()) for _ in range(self._phones)]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, n: int, timeout_s: float = 60) -> None:
        """Waits until n more requests have had their answer."""
        goal = self.answered + n
        await self.until(lambda: self.answered >= goal, timeout_s)

    async def stop(self, timeout_s: float = 60) -> None:
        """No new errand is begun; those under way are finished."""
        self._is_over = True
        await self.done(timeout_s)

    async def done(self, timeout_s: float = 60) -> None:
        """Waits until all errands are done."""
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*self._tasks)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        """Waits for what an answer, or the lack of one, brings about."""
        reached = asyncio.get_running_loop().create_future()
        self._goals.append((condition, reached))
        async with asyncio.timeout(timeout_s):
            while not reached.done():
                busy = [task for task in self._tasks if not task.done()]
                assert busy, "the errands ran out"
                done, _ = await asyncio.wait([reached, *busy], return_when=asyncio.FIRST_COMPLETED)
                for finished in done:
                    finished.result()  # a phone that failed fails the test

    async def _scan(self) -> None:
        caller = self._caller()
        try:
            for errand in self._errands:
                wait_s = AGAIN_AFTER_S
                while not await self._ask(caller, errand):
                    if self._dice.randrange(100) < self._left_for_later:
                        break
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, AGAIN_AFTER_S_MAX)
                if self._is_over:
                    break
        finally:
            caller.hang_up()

    async def _ask(self, caller: Caller, errand: Errand) -> bool:
        is_answered = await ask(errand, self._notebook, caller, self._token)
        if is_answered:
            self.answered += 1
        else:
            self.unanswered += 1
        for is_reached, reached in self._goals:
            if not reached.done() and is_reached():
                reached.set_result(None)
        self._goals = [goal for goal in self._goals if not goal[1].done()]
        return is_answered


async def ask(errand: Errand, notebook: Notebook, caller: Caller, token: Callable[[str], str]) -> bool:
    """One request, noted before and after. False where all stays unknown."""
    number = await notebook.sends(errand)
    reply = await caller.ask(token(errand.member), errand.code)
    notebook.tells(number, reply)
    return reply is not None and reply.status in KNOWN
