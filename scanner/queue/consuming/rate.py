"""How many may begin a second."""

import asyncio

# A gateway that allows 100 a second counts by its own clock: a whole second's worth at once would be twice
# that within one of its seconds.
BURST_S = 0.1


class Rate:
    """A token bucket: ``per_s`` a second on the average, a tenth of a second's worth at once; None: no limit.

    Who takes more than is there at once pays for it before the next one begins.
    """

    def __init__(self, per_s: float | None) -> None:
        self.per_s = per_s
        self._loop = asyncio.get_running_loop()
        self._burst = max(1.0, (per_s or 0) * BURST_S)
        self._tokens = self._burst
        self._at = self._loop.time()
        self._turn = asyncio.Lock()

    async def take(self, n: int = 1) -> None:
        """Returns when n more may begin."""
        if self.per_s is None:
            return
        async with self._turn:  # who comes first, begins first
            while True:
                now = self._loop.time()
                self._tokens = min(self._burst, self._tokens + (now - self._at) * self.per_s)
                self._at = now
                missing = min(n, self._burst) - self._tokens
                if missing <= 1e-9:
                    self._tokens -= n
                    return
                await asyncio.sleep(missing / self.per_s)

    def put_back(self) -> None:
        """One that was taken was not used."""
        self._tokens += 1
