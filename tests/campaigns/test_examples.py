"""The campaign files that come with the project are what the documents say of them."""

from pathlib import Path

import pytest
from blake3 import blake3

from scanner.campaigns import canonical, compile_plan, dump, from_canonical, load, parse
from scanner.campaigns.prizes import Spread

EXAMPLES = Path(__file__).parents[2] / "examples"


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


def test_what_a_plain_campaign_is_compiled_to_never_changes(demo):
    # Stores hold claims under this version, and compile the file anew when it is applied again.
    plan = compile_plan(parse(demo), no=1, previous=None)
    assert plan.version == "47305e23404c9c8c"
    assert blake3(canonical(parse(demo))).hexdigest(8) == "513cb7ccc3edf91e"
    assert blake3(dump(plan)).hexdigest(8) == "21f4e82965a9aba7"


def test_the_contracts_example_is_accepted_whole(paint):
    file = parse(paint)
    assert (file.limits.per_day, file.limits.total) == (20, 500)
    points, lucky, wheel, dealer, foreman = file.pool
    assert (points.draw, points.prize[0].amount, points.prize[0].stock) == ("every", 50, None)
    assert (lucky.draw, lucky.game, lucky.budget) == ("deck", "scratch-card", 52_000_00)
    assert (file.campaign.budget, lucky.limits.per_day) == (90_000_00, 5)
    assert (lucky.entry.roles, lucky.entry.tiers) == (("worker",), ("gold",))
    assert (lucky.entry.products, lucky.entry.channels) == (("06901234567892",), ("weixin-mini-program",))
    phone, small, spread, turns, thanks = lucky.prize
    assert (phone.value, phone.amount, phone.stock) == (7999_00, 1, 3)
    assert (small.amount, small.stock) == (88, 20_000)
    assert spread.amount == Spread.model_construct(min=1_00, max=20_00, total=10_000_00)
    assert (turns.kind, turns.pool, turns.amount) == ("chance", "wheel", 2)
    assert (thanks.kind, thanks.stock) == ("none", 76_997)
    assert (wheel.entered_by, wheel.price.points) == ("draw", 100)
    assert (wheel.prize[0].coupon, str(wheel.prize[0].odds)) == ("SPRING10", "0.05")
    assert (dealer.beneficiary, dealer.prize[0].amount) == ("seller", 20)
    assert foreman.beneficiary == "inviter"
    assert (file.product[0].gtin, file.product[0].title) == ("06901234567892", "Wall paint, 18 l")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_compiles(path):
    file = parse(path.read_text("utf-8"))
    assert from_canonical(canonical(file)) == file
    plan = compile_plan(file, no=1, previous=None)
    assert load(dump(plan)) == plan
