"""One wave of messages on its way to JetStream, and what was answered to each."""

import asyncio

import orjson

from scanner.queue.bridges.bridge import text_of

# What the server says of one message, and would say of it again: too large for the stream, or its headers.
NEVER = (10054, 10097)


class Wave:
    """What is under way at once. Messages go by their place in it: ``open`` are those without an answer, or
    with a bad one, ``never`` those that are refused for good, and why."""

    def __init__(self, serial: int, size: int) -> None:
        self.serial = serial
        self.open = dict.fromkeys(range(size))
        self.never: list[tuple[int, str]] = []
        self.reason = ""
        self.is_lost = False
        self._unanswered = set(self.open)
        self._news = asyncio.Event()

    @property
    def is_silent(self) -> bool:
        """Whether nothing was answered at all."""
        return len(self._unanswered) == len(self.open) > 0

    def answer(self, place: int, data: bytes) -> None:
        """What the server, or whoever else knows where to answer, has said to one."""
        if place not in self.open:
            return
        refusal = _refusal(data)
        if refusal is None:
            self._settle(place)
        elif refusal[0] in NEVER:
            self.refuse(place, refusal[1])
        else:
            self.reason = self.reason or refusal[1]
            self._heard(place)

    def refuse(self, place: int, reason: str) -> None:
        """It can never be taken."""
        self.never.append((place, reason))
        self._settle(place)

    def lose(self, reason: str) -> None:
        """No more answers will come."""
        self.reason = self.reason or reason
        self.is_lost = True
        self._news.set()

    async def wait(self, timeout_s: float) -> None:
        """Returns when each has its answer, when they are lost, or when none came for so long."""
        while self._unanswered and not self.is_lost:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return

    def _settle(self, place: int) -> None:
        del self.open[place]
        self._heard(place)

    def _heard(self, place: int) -> None:
        self._unanswered.discard(place)
        self._news.set()


def _refusal(data: bytes) -> tuple[object, str] | None:
    """The server's code for it, and its words; None where the message is in the stream."""
    try:
        said = orjson.loads(data)
        if isinstance(said, dict) and "error" not in said and "seq" in said:
            return None
        error = said["error"]
        return error["err_code"], text_of(error["description"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None, "no stream takes it"  # nobody listens: an empty answer of status 503
