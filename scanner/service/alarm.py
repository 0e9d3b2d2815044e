"""The alarm about forgeries: how many a second there are in all, and whether it is time to say so."""

from collections import deque

WINDOW_S = 10.0
CALM_S = 10.0
"""How long the rate must stay below half before the alarm ends."""
SAY_AGAIN_S = 60.0


class ForgeryAlarm:
    """Rings while forgeries come at a rate, told as lines for the log. Fed about once a second."""

    def __init__(self, alarm_per_s: float) -> None:
        """Rings from so many a second on, as the mean of ten seconds, until there are less than half."""
        self._alarm_per_s = alarm_per_s
        self._samples: deque[tuple[float, int]] = deque()
        self._began: tuple[float, int] | None = None
        self._said_s = self._busy_s = 0.0
        self.per_s = 0.0

    @property
    def ringing(self) -> bool:
        return self._began is not None

    def feed(self, total: int, now_s: float) -> list[str]:
        """Takes the number of forgeries so far and the time; gives the lines to log.

        `now_s` is any clock's. Where it steps back, or the number does, the window begins anew.
        """
        samples = self._samples
        if samples and (now_s < samples[-1][0] or total < samples[-1][1]):
            self._begin_anew(total, now_s)
        samples.append((now_s, total))
        # The first sample is the last one that is as old as the window: the rate is that of a whole window.
        while len(samples) > 1 and samples[1][0] <= now_s - WINDOW_S:
            samples.popleft()
        first_s, first_total = samples[0]
        self.per_s = (total - first_total) / max(WINDOW_S, now_s - first_s)
        if self._began is None:
            return self._ring(now_s) if self.per_s >= self._alarm_per_s else []
        return self._go_on(self._began, total, now_s)

    def _begin_anew(self, total: int, now_s: float) -> None:
        """Forgets what cannot be compared any more. What rings goes on, and counts from here."""
        self._samples.clear()
        if self._began is not None:
            self._began = now_s, total
            self._said_s = self._busy_s = now_s

    def _ring(self, now_s: float) -> list[str]:
        self._began = self._samples[0]
        self._said_s = self._busy_s = now_s
        return [
            f"forgeries: {self.per_s:.0f} a second over {WINDOW_S:.0f} s; the alarm is set to "
            f"{self._alarm_per_s:g} (SCANNER_FORGERIES_ALARM_PER_S)"
        ]

    def _go_on(self, began: tuple[float, int], total: int, now_s: float) -> list[str]:
        so_far = f"{total - began[1]} in {now_s - began[0]:.0f} s"
        if self.per_s >= self._alarm_per_s / 2:
            self._busy_s = now_s
        elif now_s - self._busy_s >= CALM_S:
            self._began = None
            return [f"forgeries: over, {so_far}"]
        if now_s - self._said_s >= SAY_AGAIN_S:
            self._said_s = now_s
            return [f"forgeries: {self.per_s:.0f} a second still, {so_far} so far"]
        return []
