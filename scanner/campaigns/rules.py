"""Which pools a scan enters: a pure function of the campaign. What is won there is the store's to say."""

from scanner.campaigns.plan import Plan, PlanPool


def pools_entered(plan: Plan) -> tuple[PlanPool, ...]:
    """The pools that a scan enters, in the file's order.

    Every scan enters every pool: a plan is only compiled from a file without entry conditions and with
    the member as the only beneficiary (see pending.py).
    """
    return plan.pools
