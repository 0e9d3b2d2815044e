"""A brand with campaigns and lots in every state, and what one case may play with there."""

from dataclasses import dataclass, field

from scanner.codes import KeyTable, to_gs1, to_pin, to_text
from scanner.identity import Member, TokenKeys
from scanner.ledger import lots, operations
from tests.brand import PRODUCT, Brand, campaign_toml
from tests.pools import points, pool, prize

LOT_SIZE = 1 << 24
CODES_A_CASE = 4
LOT_KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "pin": {"pin": True},
    "seller": {},
    "blocked": {},
    "inactive": {"active": False},
    **{campaign: {"campaign": campaign} for campaign in ("limited", "paused", "friends", "later", "over")},
    "small": {"size": 1},
}
STRANGERS = TokenKeys.new()
OPEN, CLOSED = "2090-06-01T12:00:00+08:00", "2090-06-01T14:00:00+08:00"
LIMITS = "\n[limits]\nper_day = 1\ntotal = 5\n"
OF_MANY_KINDS = "".join(
    (
        pool("points", "every", points(50), game="wheel"),
        pool(
            "lot",
            "odds",
            prize("cash", "cash", amount="1.88", odds="0.4"),
            prize("coupon", "coupon", coupon="油漆-1", amount=1, odds="0.3"),
        ),
        pool("dealers", "every", prize("d", "points", amount=1), entry={"roles": ["dealer"]}),
        pool("gold", "every", prize("g", "points", amount=2), entry={"tiers": ["gold"]}),
        pool("shop", "every", prize("s", "points", amount=3), entry={"channels": ["shop", "wx-mini"]}),
        pool("rebate", "every", prize("r", "cash", amount="2.00"), beneficiary="seller"),
        pool(
            "thanks",
            "every",
            prize("t", "points", amount=4),
            beneficiary="inviter",
            entry={"windows": [{"daily": "12:00:00", "lasts": "3h"}]},
        ),
    )
)
FRIENDS = pool("friends", "shared", points(7, stock=100_000_000), slots=3, open_for="1h")


async def furnished(brand: Brand) -> dict[str, int]:
    """Campaigns and lots of every state; the same calls give the same numbers in every brand."""
    await brand.apply(campaign_toml("spring", OF_MANY_KINDS))
    limited = campaign_toml("limited", OF_MANY_KINDS)
    await brand.apply(limited.replace("\n[[pool]]", LIMITS + "\n[[pool]]", 1))
    for id in ("paused", "friends"):
        await brand.apply(campaign_toml(id, FRIENDS))
    await brand.apply(campaign_toml("later", starts="2095-01-01T00:00:00+08:00"))
    await brand.apply(campaign_toml("over", ends="2090-06-01T13:00:00+08:00"))
    found = {kind: await brand.lot(**{"size": LOT_SIZE, **values}) for kind, values in LOT_KINDS.items()}
    await lots.assign(brand.store, found["seller"], by="test", seller="店 17")
    await lots.block(brand.store, found["blocked"], by="test")
    await operations.pause(brand.store, "paused", by="test")
    return found


@dataclass(frozen=True)
class Hand:
    """The codes and members of one case, which no other case has."""

    brand: Brand
    table: KeyTable
    lots: dict[str, int]
    number: int
    _tokens: dict[object, str] = field(default_factory=dict, compare=False)

    def place(self, lot: str, k: int) -> tuple[int, int, int]:
        return self.brand.keyring.minting_kid, self.lots[lot], self.number * CODES_A_CASE + k

    def code(self, lot: str = "plain", k: int = 0) -> str:
        """The k-th code of the case in a lot."""
        return to_text(self.table.seal(*self.place(lot, k)))

    def pin(self, k: int = 0) -> str:
        return to_pin(self.table.pin(*self.place("pin", k)))

    def link(self, gtin: str = PRODUCT) -> str:
        raw = self.table.seal(*self.place("plain", 0))
        return f"https://id.example.com/01/{gtin}/21/{to_gs1(raw)}"

    def token(self, who: int = 0, *, keys: TokenKeys | None = None, ago_s: int = 0, **claims: str) -> str:
        """A token of one of the case's members, issued so long ago, for an hour."""
        asked = who, keys is None, ago_s, *claims.items()
        if asked not in self._tokens:
            member, now_s = Member(f"m{self.number}-{who}", **claims), int(self.brand.clock()) - ago_s
            issuer = keys or self.brand.token_keys
            self._tokens[asked] = issuer.issue(member, now_s=now_s, ttl_s=3600)
        return self._tokens[asked]
