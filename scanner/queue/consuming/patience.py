"""Asking a store that may be away: again and again, after growing pauses, and saying so once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ResponseError

from scanner.errors import StoreRefusedError
from scanner.ledger.connection import NO_ANSWER

log = logging.getLogger("scanner")

T = TypeVar("T")

TROUBLES = (*NO_ANSWER, OSError)
PAUSE_S = (0.05, 2.0)


class Patience:
    """One consumer's, which asks for several things at once. ``who`` is what the log calls it."""

    def __init__(self, group: str, who: str) -> None:
        self._group = group
        self._who = who
        self._waiting: set[Trouble] = set()

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks until there is an answer.

        Raises:
            StoreRefusedError: asking again would not change it.
        """
        trouble = Trouble(self)
        try:
            while True:
                try:
                    answer = await ask()
                except TROUBLES as error:
                    await trouble.wait(error)
                else:
                    trouble.is_over()
                    return answer
        finally:
            self._waiting.discard(trouble)

    def begins(self, trouble: "Trouble", error: Exception) -> None:
        """Says so where it is the only one; raises where waiting would not help."""
        text = self._judged(error)
        if not self._waiting:
            # uvloop has no error of its own for a lost connection; but it may be a fault of ours.
            trace = error if isinstance(error, RuntimeError) else None
            log.warning("%s waits: %s", self._who, text, exc_info=trace)
        self._waiting.add(trouble)

    def ends(self, trouble: "Trouble") -> None:
        if trouble in self._waiting:
            self._waiting.remove(trouble)
            if not self._waiting:
                log.warning("%s goes on", self._who)

    def _judged(self, error: Exception) -> str:
        # redis-py puts the commands of a pipeline before an error, and so what is in the event.
        text = str(error).rpartition("caused error: ")[2]
        if isinstance(error, ResponseError):
            if "NOGROUP" in text:
                raise StoreRefusedError(
                    f"group {self._group} is not there any more: it was destroyed, or the ledger was "
                    "restored; start its consumers again, with start=… for where it is to begin"
                ) from None
            if "NOPERM" in text:
                raise StoreRefusedError(
                    f"the store's user may not do what a consumer does ({text}): renew it with "
                    "`scanner store acl --role reader`"
                ) from None
            if "WRONGTYPE" in text:
                return "the ledger is being restored"
            return f"the store answered: {text}"
        return f"the store did not answer: {text or type(error).__name__}"


class Trouble:
    """What one of a consumer's tasks waits out."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._pause_s = PAUSE_S[0]

    async def wait(self, error: Exception) -> None:
        """Waits a while, longer each time; raises where that would not help."""
        self._patience.begins(self, error)
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, PAUSE_S[1])
        await asyncio.sleep(pause_s)

    def is_over(self) -> None:
        """An answer came."""
        self._patience.ends(self)
        self._pause_s = PAUSE_S[0]
