"""The model's changes: what people do to campaigns and lots. Each is told as a fact, after it was done.

What cannot have been done raises ModelError. A file that takes away from participants is put in force all the
same, because that is what its entry says, and told of then.
"""

from scanner.campaigns import CampaignFile, Plan, PlanPool, compare, compile_plan
from scanner.ledger.lots import SIZE_MAX
from scanner.ledger.model.pools import ModelError
from scanner.ledger.model.state import WHOLE, BrandState, Budget, CampaignState, LotState, PoolState


class Changes(BrandState):
    """A brand's state, as it is changed by hand."""

    def apply(self, file: CampaignFile, *, no: int, at_ms: int, version: str = "") -> None:
        """A campaign file was put in force; `version` is the one its plan must have, where that is known."""
        id = file.campaign.id
        campaign = self.campaigns.get(id)
        before = campaign.plan if campaign else None
        if before is not None and before.no != no:
            raise ModelError(f"campaign {id} has the number {before.no}, not {no}")
        started = before is not None and before.starts_ms <= at_ms
        plan = compile_plan(file, no=no, previous=before, started=started)
        if version and plan.version != version:
            raise ModelError(f"the file does not have the version {version} that the entry names")
        if any(other.plan.no == no for name, other in self.campaigns.items() if name != id):
            raise ModelError(f"the campaign number {no} is another campaign's")
        if campaign is None:
            campaign = self.campaigns[id] = CampaignState(file, plan)
            _fill(campaign, None)
            return
        refusals = compare(campaign.file, file, started=started).refusals
        campaign.use(file, plan)
        _fill(campaign, before if started else None)
        if refusals:
            raise ModelError(f"this change takes away from participants: {refusals[0]}")

    def pause(self, campaign: str) -> None:
        self.known_campaign(campaign).paused = True

    def resume(self, campaign: str) -> None:
        self.known_campaign(campaign).paused = False

    def top_up(self, campaign: str, pool: str, prize: str, n: int) -> None:
        """Pieces of a prize were added."""
        state = self.known_campaign(campaign)
        known = state.plan.by_id.get(pool)
        wanted = next((one for one in known.prizes if one.id == prize), None) if known else None
        if known is None or wanted is None:
            raise ModelError(f"there is no prize {pool}/{prize}")
        if wanted.stock is None:
            raise ModelError(f"prize {pool}/{prize} has no limit that could be raised")
        if wanted.max:
            raise ModelError(f"prize {pool}/{prize} has as many pieces as its money is for")
        if n < 1:
            raise ModelError(f"prize {pool}/{prize} cannot be topped up by {n} pieces")
        state.pools[pool].add(prize, n)
        if not wanted.award and known.draw not in ("every", "odds"):
            raise ModelError(f"prize {pool}/{prize}: more blanks take away from participants")

    def top_up_budget(self, campaign: str, pool: str, amount: int) -> None:
        """Minor units were added to the budget of a pool, or with "" of the campaign."""
        state = self.known_campaign(campaign)
        budget = state.budgets.get(pool or WHOLE)
        if budget is None:
            raise ModelError(f"{'pool ' + pool if pool else 'the campaign'} has no budget")
        if amount < 1:
            raise ModelError(f"a budget cannot be topped up by {amount}")
        budget.add(amount)

    def register(self, no: int, *, kid: int, size: int, product: str, campaign: str, pin: bool) -> None:
        if no in self.lots:
            raise ModelError(f"lot {no} is registered twice")
        if not 1 <= size <= SIZE_MAX:
            raise ModelError(f"lot {no} cannot have {size} codes")
        self.known_campaign(campaign)
        self.lots[no] = LotState(kid, size, product, campaign, pin)

    def activate(self, no: int, first: int, last: int) -> None:
        lot = self.known_lot(no)
        if lot.blocked or not 0 <= first <= last < lot.size:
            raise ModelError(f"lot {no} could not be activated from {first} to {last}")
        lot.activate(first, last)

    def block(self, no: int) -> None:
        self.known_lot(no).blocked = True

    def move(self, no: int, campaign: str, *, before: str = "") -> None:
        """A lot was moved to a campaign, from `before`, where that is known."""
        self.known_campaign(campaign)
        lot = self.known_lot(no)
        if before and lot.campaign != before:
            raise ModelError(f"lot {no} belonged to campaign {lot.campaign}")
        lot.campaign = campaign

    def assign(self, no: int, seller: str) -> None:
        """A lot's codes are sold by `seller` from now on, or with "" by nobody that is known."""
        self.known_lot(no).seller = seller

    def known_lot(self, no: int) -> LotState:
        lot = self.lots.get(no)
        if lot is None:
            raise ModelError(f"lot {no} was never registered")
        return lot

    def known_campaign(self, id: str) -> CampaignState:
        if id not in self.campaigns:
            raise ModelError(f"campaign {id} was never applied")
        return self.campaigns[id]


def _fill(campaign: CampaignState, before: Plan | None) -> None:
    """Fills pools and budgets: with None anew, which undoes top-ups; else with what is new since."""
    plan = campaign.plan
    if before is None:
        campaign.pools = {pool.id: PoolState.filled(pool) for pool in plan.pools}
        campaign.budgets = {name: Budget(money, money) for name, money in _budgets(plan).items()}
        return
    pools: dict[str, PlanPool] = {pool.id: pool for pool in before.pools}
    for pool in plan.pools:
        if pool.id in pools:
            campaign.pools[pool.id].refill(pools[pool.id], pool)
        else:
            campaign.pools[pool.id] = PoolState.filled(pool)
    old, new = _budgets(before), _budgets(plan)
    for name in old.keys() - new.keys():  # lifted
        campaign.budgets.pop(name, None)
    for name, money in new.items():
        if name in old:
            campaign.budgets[name].add(money - old[name])
        else:
            campaign.budgets[name] = Budget(money, money)


def _budgets(plan: Plan) -> dict[str, int]:
    pools = {pool.id: pool.budget for pool in plan.pools}
    return {name: money for name, money in ({WHOLE: plan.budget} | pools).items() if money is not None}
