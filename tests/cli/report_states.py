"""A campaign with every kind of pool and prize, and reports of what happens in it."""

import random
from datetime import UTC, datetime

from scanner.campaigns import parse
from scanner.codes import Keyring
from scanner.codes.keyring import Key
from scanner.ledger.audit import AuditReport
from scanner.ledger.model import Model
from scanner.ledger.model.facts import DrawFacts, FriendFacts, GrantFacts, ScanFacts
from tests.brand import POINTS, PRODUCT, campaign_toml
from tests.pools import pool, prize

KEYS = Keyring((Key(1, "live", datetime(2027, 1, 1, tzinfo=UTC), bytes(range(32))),))

POOLS = "".join(
    (
        POINTS,
        pool(
            "lucky",
            "deck",
            prize("phone", "physical", value="7999", stock=3),
            prize("coin", "cash", amount="2", stock=30),
            prize("drops", "cash", amount={"min": "1", "max": "5", "total": "60"}, stock=20),
            prize("turns", "chance", pool="wheel", amount=2, stock=10),
            prize("thanks", "none", stock=20),
            budget="60",
        ),
        pool(
            "wheel",
            "odds",
            prize("ten", "coupon", coupon="SPRING10", value="10", amount=3, odds="0.5", stock=300),
            prize("again", "chance", pool="wheel", odds="0.25"),
            entered_by="draw",
            price={"points": 100},
        ),
        pool(
            "back",
            "locked",
            prize("gift", "cash", amount={"min": "1", "max": "9", "total": "300"}, stock=60),
            prize("bag", "physical", value="8", stock=60),
            expires_after="2d",
        ),
        pool(
            "friends",
            "shared",
            prize("friend", "cash", amount="1", stock=1000),
            prize("tip", "coupon", coupon="FRIEND20", stock=1000),
            slots=2,
            open_for="24h",
            giver="last",
        ),
    )
)


def rich_toml(id="rich", title="A test", currency="CNY"):
    text = campaign_toml(id, POOLS).replace('"A test"', f'"{title}"')
    return text.replace('currency = "CNY"', f'currency = "{currency}"\nbudget = "90000"')


def played(seed, actions, *, days=3, currency="CNY", title="A test"):
    """A report of so many random claims, spread over some days."""
    dice, model = random.Random(seed), Model(KEYS.table(), remember=True)
    start = round(datetime(2027, 3, 1, tzinfo=UTC).timestamp() * 1000)
    file = parse(rich_toml(currency=currency, title=title))
    model.apply(file, no=1, at_ms=start - 1)
    model.register(1, kid=1, size=1000, product=PRODUCT, campaign="rich", pin=False)
    model.activate(1, 0, 999)
    due, shares = [], []
    for n in range(actions):
        at_ms, member = start + n * days * 86_400_000 // actions, dice.choice("abc")
        due = [one for one in due if not _expired(model, *one, at_ms)]
        what = dice.random()
        if what < 0.5:
            shares.append(model.scan(ScanFacts(1, n, member), at_ms).id)
        elif what < 0.7:
            granted = model.grant(GrantFacts("rich", "back", member, "crm", f"g{n}", 1), at_ms)
            due += [(granted.expires_ms, granted.id, member)] if granted.verdict == "accepted" else []
        elif what < 0.9 and shares:
            model.friend(FriendFacts(dice.choice(shares), dice.choice("defg")), at_ms)
        else:
            paid = dice.choice(("", '{"points":100}'))
            model.draw(DrawFacts("rich", "wheel", member, "crm", f"d{n}", 1, paid=paid), at_ms)
    if dice.random() < 0.5:
        model.top_up("rich", "lucky", "coin", dice.randrange(1, 99_999))
        model.top_up_budget("rich", "lucky", dice.randrange(1, 99_999))
        model.pause("rich")
    return AuditReport(actions + 3, actions, True, model.campaigns)


def _expired(model, expires_ms, grant, member, at_ms):
    return at_ms >= expires_ms and bool(model.expire("rich", "back", grant, member, at_ms))
