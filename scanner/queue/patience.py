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
    """One consumer's. ``who`` is what the log calls it."""

    def __init__(self, group: str, who: str) -> None:
        self._group = group
        self._who = who
        self._said = False
        self._pause_s = PAUSE_S[0]

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks until there is an answer.

        Raises:
            StoreRefusedError: asking again would not change it.
        """
        while True:
            try:
                answer = await ask()
            except TROUBLES as error:
                await self.pause(error)
            else:
                self.is_well()
                return answer

    def is_well(self) -> None:
        """An answer came."""
        if self._said:
            log.warning("%s goes on", self._who)
            self._said = False
        self._pause_s = PAUSE_S[0]

    async def pause(self, error: Exception) -> None:
        """Waits a while; raises where that would not help."""
        text = self._judged(error)
        if not self._said:
            log.warning("%s waits: %s", self._who, text)
            self._said = True
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, PAUSE_S[1])
        await asyncio.sleep(pause_s)

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
