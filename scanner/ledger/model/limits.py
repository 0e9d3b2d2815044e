"""The model's limits: how often a member may, and has (docs/prizes.md).

Counts are kept by number: a pool's own, and 0 for the accepted scans of the campaign.
"""

from collections.abc import Iterable

from scanner.campaigns import Day, Plan, standing
from scanner.ledger.model.state import CampaignState, Counts

SCANS = 0


class Limits:
    """A member's limits at a moment, ms since 1970, by what was counted before it."""

    def __init__(self, campaign: CampaignState, member: bytes, at_ms: int) -> None:
        self._campaign, self._member = campaign, member
        self._plan = campaign.plan
        if not self._plan.limited:
            return
        # Where nothing depends on the time of day this is one endless day.
        self._day: Day = standing(self._plan, at_ms).day
        counts = campaign.counts.get(member)
        if counts is not None and at_ms > counts.expires_ms:
            counts = None
        self._counts = counts

    def reached(self, no: int) -> int | None:
        """None where there is room for one more; else when there is again, 0 for never."""
        per_day, total = _limits(self._plan, no)
        if per_day is None and total is None:
            return None
        today, in_all = self._counted(no)
        if total is not None and in_all >= total:
            return 0
        return self._day.until_ms if per_day is not None and today >= per_day else None

    def count(self, numbers: Iterable[int]) -> None:
        """Counts one more of each that is limited."""
        if not self._plan.limited:
            return
        more = [no for no in numbers if _limits(self._plan, no) != (None, None)]
        if not more:
            return
        known = self._counts.of if self._counts else {}
        # A limit that was lifted is forgotten: it can come back with another campaign only.
        kept = {no: list(self._counted(no)) for no in known if _limits(self._plan, no) != (None, None)}
        for no in more:
            counted = kept.setdefault(no, [0, 0])
            counted[0] += 1
            counted[1] += 1
        expires_ms = self._plan.counted_until or self._day.until_ms
        self._campaign.counts[self._member] = Counts(self._day.number, expires_ms, kept)

    def _counted(self, no: int) -> tuple[int, int]:
        """How often on this day, and in all."""
        if self._counts is None or no not in self._counts.of:
            return 0, 0
        today, total = self._counts.of[no]
        return today if self._counts.day == self._day.number else 0, total


def _limits(plan: Plan, no: int) -> tuple[int | None, int | None]:
    if no == SCANS:
        return plan.per_day, plan.total
    pool = plan.by_no.get(no)
    return (pool.per_day, pool.total) if pool else (None, None)
