"""What every kind of claim has in common: the campaign that must be running, a draw, and what it gives."""

from collections.abc import Iterator

from scanner.campaigns import PlanPool
from scanner.codes import KeyTable
from scanner.ledger.model.changes import Changes
from scanner.ledger.model.facts import Against, Drawn, Prizes, Result, Said
from scanner.ledger.model.pools import ModelError, doubts, due, take
from scanner.ledger.model.state import CampaignState, Wallet

Numbers = tuple[int, int]


class Drawing(Changes):
    """A brand's state with the keys by which it is drawn.

    Without ``table`` no draw can be computed: then every claim needs a `Said`. With ``remember`` results are
    kept, so that a claim that is repeated is answered the same; they take memory for every claim.
    """

    def __init__(self, table: KeyTable | None = None, *, remember: bool = False) -> None:
        super().__init__()
        self._table = table
        self._results: dict[object, Result] | None = {} if remember else None

    def _remember(self, claim: object, result: Result) -> None:
        if self._results is not None:
            self._results[claim] = result

    def _remembered(self, claim: object) -> Result:
        if self._results is None or claim not in self._results:
            raise ModelError("what was answered the first time was not remembered")
        return self._results[claim]

    def _request_pair(self, kid: int, digest: bytes) -> Numbers | None:
        return self._table.draw_pair_of(kid, digest) if self._table is not None else None

    @staticmethod
    def _turn(
        result: Result, campaign: CampaignState, pool: PlanPool, numbers: Numbers | None, said: Said | None
    ) -> Drawn:
        """What one draw comes to. What is said is believed, so that one wrong entry makes one difference."""
        drawn = None if said is None else said.drawn.get(pool.id, Drawn())
        if numbers is None:
            assert drawn is not None, "without keys there is nothing to say about a draw"
            result.wrong += doubts(campaign, pool, drawn)
            return drawn
        try:
            computed = due(campaign, pool, *numbers)
        except ModelError as error:
            if drawn is None:
                raise
            result.wrong.append(str(error))
            return drawn
        if drawn is not None and drawn != computed:
            result.wrong.append(f"pool {pool.id}: the draw gives {computed}, the entry says {drawn}")
        return computed if drawn is None else drawn

    def _award(
        self,
        campaign: CampaignState,
        pool: PlanPool,
        drawn: Drawn,
        at_ms: int,
        *,
        prizes: Prizes,
        member: bytes,
        giver: bool = False,
        unlocked: bool = False,
    ) -> None:
        """Gives what was drawn or unlocked; what is unlocked was taken out of its pool before."""
        prizes.add(pool, drawn, giver=giver)
        if not unlocked:
            take(campaign, pool, drawn)
        prize = drawn.prize
        if prize is None or drawn.withheld:
            return
        campaign.note_given(pool.id, prize.id, drawn.amount, at_ms)
        if prize.chance is not None:
            into, draws = prize.chance
            wallet = campaign.wallets.setdefault(member, Wallet())
            wallet.chances[into] = wallet.chances.get(into, 0) + draws
            campaign.tally.chances_given += draws


def not_running(campaign: CampaignState, at_ms: int) -> Iterator[Against]:
    """Why nothing can be won in the campaign at this moment."""
    plan = campaign.plan
    if campaign.paused:
        yield Against("not_active", "it was accepted although the campaign is paused")
    if at_ms < plan.starts_ms:
        yield Against("not_active", "it lies outside the campaign's time", plan.starts_ms)
    if at_ms > plan.ends_ms:
        yield Against("campaign_over", "it lies outside the campaign's time")


def is_refused(result: Result, against: Iterator[Against], said: Said | None) -> bool:
    """Sets the verdict. Without an entry the first reason refuses; with one, each is noted, and it stands."""
    for verdict, text, until_ms in against:
        if said is None:
            result.verdict, result.until_ms = verdict, until_ms
            return True
        result.wrong.append(text)
    return False
