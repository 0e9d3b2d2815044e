"""The campaign files that come with the project are what the documents say of them."""

from scanner.campaigns import compile_plan, parse
from scanner.campaigns.model import Spread


def test_the_demo_campaign_compiles(demo):
    file = parse(demo)
    plan = compile_plan(file, no=1, previous=None)
    assert (plan.id, plan.currency, file.campaign.timezone) == ("demo", "CNY", "Asia/Shanghai")
    assert {pool.id: {prize.id: prize.stock for prize in pool.prizes} for pool in plan.pools} == {
        "points": {"p50": None},
        "lucky": {"phone": 3, "cash-big": 200, "cash-small": 5000, "thanks": 14797},
        "wheel": {"coupon-10": 500},
    }
    assert sum(prize.stock for prize in plan.pools[1].prizes) == 20_000


def test_the_contracts_example_is_accepted_whole(paint):
    file = parse(paint)
    assert (file.limits.per_day, file.limits.total) == (20, 500)
    points, lucky, wheel, dealer = file.pool
    assert (points.draw, points.prize[0].amount, points.prize[0].stock) == ("every", 50, None)
    assert (lucky.draw, lucky.game, lucky.budget) == ("deck", "scratch-card", 38_000_00)
    assert (lucky.entry.roles, lucky.entry.tiers) == (("worker",), ("gold",))
    assert (lucky.entry.products, lucky.entry.channels) == (("06901234567892",), ("weixin-mini-program",))
    phone, small, spread, thanks = lucky.prize
    assert (phone.value, phone.amount, phone.stock) == (7999_00, 1, 3)
    assert (small.amount, small.stock) == (88, 20_000)
    assert spread.amount == Spread.model_construct(min=1_00, max=20_00, total=10_000_00)
    assert (thanks.kind, thanks.stock) == ("none", 77_997)
    assert (wheel.prize[0].coupon, str(wheel.prize[0].odds)) == ("SPRING10", "0.05")
    assert (dealer.beneficiary, dealer.prize[0].amount) == ("seller", 20)
