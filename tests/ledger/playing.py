"""A brand to play with in memory: the model alone, draws that are loaded dice, and a clock set by hand."""

import json

from scanner.campaigns import parse
from scanner.ledger.model import Model
from scanner.ledger.model.facts import DrawFacts, FriendFacts, GrantFacts, ScanFacts
from scanner.ledger.records import member_digest

HEAD = """
[campaign]
id = "spring"
title = "A test"
organiser = "Example Paints Co., Ltd."
claim_rules = "None."
currency = "CNY"
timezone = "Asia/Shanghai"
starts = 2027-03-01T00:00:00+08:00
ends = 2027-05-31T23:59:59+08:00
"""
PRODUCT = "06901234567892"
SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
START = 1_803_830_400_000  # 2027-03-01T00:00:00+08:00
END = 1_811_779_199_000  # 2027-05-31T23:59:59+08:00


class Dice:
    """A KeyTable whose draws are what was `loaded`, pairs (u, v), one after another; then always (0, 0)."""

    def __init__(self):
        self.loaded = []

    def draw_pair(self, kid, lot, serial, pool):
        return self.loaded.pop(0) if self.loaded else (0, 0)

    def draw_pair_of(self, kid, digest):
        return self.loaded.pop(0) if self.loaded else (0, 0)

    def scan_id(self, kid, lot, serial):
        return f"{lot:08}{serial:08}"

    def pin(self, kid, lot, serial):
        return 41_337


class Play:
    """Claims told to the model. `now` stands still unless it is set."""

    def __init__(self, *pools, campaign="", top="", lot_size=1000, table=None):
        self.dice = Dice()
        self.model = Model(table or self.dice, remember=True)
        self.now = START
        self.no = self.requests = 0
        self.apply(*pools, campaign=campaign, top=top, at=START - DAY)
        self.model.register(1, kid=1, size=lot_size, product=PRODUCT, campaign="spring", pin=False)
        self.model.activate(1, 0, lot_size - 1)
        self.serial = -1

    def apply(self, *pools, campaign="", top="", at=None):
        """`campaign` are more keys of the table [campaign], `top` are tables before the pools."""
        file = parse(HEAD + campaign + top + "".join(pools))
        self.model.apply(file, no=1, at_ms=self.now if at is None else at)

    def roll(self, *pairs):
        """Loads the next draws: u, or (u, v)."""
        self.dice.loaded = [pair if isinstance(pair, tuple) else (pair, 0) for pair in pairs]

    def scan(self, member="ann", *, serial=None, **facts):
        self.serial += serial is None
        serial = self.serial if serial is None else serial
        return self.model.scan(ScanFacts(1, serial, member, **facts), self.now)

    def draw(self, pool="wheel", member="ann", *, request=None, by="ann", **facts):
        return self.model.draw(
            DrawFacts("spring", pool, member, by, self._request(request), 1, **facts), self.now
        )

    def grant(self, pool="gift", member="ann", *, request=None, by="shop"):
        return self.model.grant(GrantFacts("spring", pool, member, by, self._request(request), 1), self.now)

    def friend(self, share, member, **facts):
        return self.model.friend(FriendFacts(share, member, **facts), self.now)

    def expire(self, grant, member="ann", pool="gift"):
        return self.model.expire("spring", pool, grant, member, self.now)

    def _request(self, request):
        self.requests += request is None
        return request or f"r{self.requests}"

    @property
    def campaign(self):
        return self.model.campaigns["spring"]

    def pool(self, id):
        return self.campaign.pools[id]

    def wallet(self, member="ann"):
        wallet = self.campaign.wallets.get(member_digest(member))
        return wallet.fields() if wallet else {}


def pool(id, draw, *prizes, more=""):
    """A pool's TOML; prizes are what `prize` makes."""
    return f'[[pool]]\nid = "{id}"\ndraw = "{draw}"\n{more}\n' + "".join(prizes)


def prize(id, kind="points", **keys):
    """A prize's TOML; of points and chances it is one, of cash 1.00, unless `amount` says otherwise."""
    if kind in ("points", "cash", "chance"):
        keys = {"amount": '"1.00"' if kind == "cash" else 1} | keys
    rest = "".join(f"{name} = {value}\n" for name, value in keys.items())
    return f'[[pool.prize]]\nid = "{id}"\nkind = "{kind}"\n{rest}'


def prizes_of(result):
    """The ids of what a result awards."""
    return [json.loads(award)["prize"] for award in result.prizes.awards]


def amounts_of(result):
    return [json.loads(award)["amount"] for award in result.prizes.awards]
