"""What is told to the model, and what it answers.

A claim's facts are what is known before the store is asked. What an entry of the stream says was drawn is a
`Said`: the replay gives it with the facts, and the model notes what it would not have said.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from scanner.campaigns import PlanPool, PlanPrize
from scanner.ledger.records import Record, Won


class ScanFacts(NamedTuple):
    """A scan of a code that passed at the door. `seller` is the token's; the model knows the lot's.

    `must_wait`: wrong PINs were tried before; the model does not count those. An entry also says `campaign`
    and `id` (scan_id); "" is the lot's, and the one that the keys give.
    """

    lot: int
    serial: int
    member: str
    role: str = ""
    tier: str = ""
    channel: str = ""
    seller: str = ""
    inviter: str = ""
    loc: str = ""
    trace: str = ""
    must_wait: bool = False
    campaign: str = ""
    id: str = ""


class DrawFacts(NamedTuple):
    """A draw by request. `by` is the `sub` of the token, `kid` the key that mints, `paid` the JSON of what
    was paid, or "" where a chance is to be used."""

    campaign: str
    pool: str
    member: str
    by: str
    request: str
    kid: int
    role: str = ""
    tier: str = ""
    channel: str = ""
    paid: str = ""


class GrantFacts(NamedTuple):
    """A packet that is to be granted, as in `DrawFacts`."""

    campaign: str
    pool: str
    member: str
    by: str
    request: str
    kid: int


class FriendFacts(NamedTuple):
    """A friend who opens the packet of a scan."""

    share: str
    member: str
    role: str = ""
    tier: str = ""
    channel: str = ""
    trace: str = ""


class Drawn(NamedTuple):
    """What one draw came to: a prize (None: nothing), its amount where that is drawn, else 0, and whether a
    budget was short of it, so that it was not given."""

    prize: PlanPrize | None = None
    amount: int = 0
    withheld: bool = False

    def __str__(self) -> str:
        if self.prize is None:
            return "nothing"
        # Without the amount: what was withheld is known by its name only.
        if self.withheld:
            return f"{self.prize.id}, withheld"
        return f"{self.prize.id} of {self.amount}" if self.prize.max else self.prize.id


NOTHING = Drawn()


@dataclass(slots=True)
class Said:
    """What an entry says was drawn, by pool id; `giver` is the giver's share of it."""

    drawn: dict[str, Drawn] = field(default_factory=dict)
    giver: "Said | None" = None


@dataclass(slots=True)
class Prizes:
    """What one person won: `awards` are JSON as in an answer, `blanks` and `withheld` are "pool/prize"."""

    awards: list[str] = field(default_factory=list)
    blanks: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)
    won: list[Won] = field(default_factory=list)

    def add(self, pool: PlanPool, drawn: Drawn, *, giver: bool = False) -> None:
        prize, amount, withheld = drawn
        if prize is None:
            return
        if withheld:
            self.withheld.append(f"{pool.id}/{prize.id}")
            return
        self.won.append(Won(pool.no, prize.no, amount))
        if not prize.award:
            self.blanks.append(f"{pool.id}/{prize.id}")
            return
        award = f"{prize.award}{amount}{prize.tail}" if prize.tail else prize.award
        if giver:
            award = award.replace('"beneficiary":"member"}', '"beneficiary":"giver"}')
        self.awards.append(award)


@dataclass(slots=True)
class Result:
    """What must happen. `verdict` is "accepted", "replayed" or the outcome of a refusal (docs/contract.md);
    an expiry's is "expired", "not_due" or "unknown".

    `at_ms` is when it was accepted: of a replay the first time, of "claimed" the other's. `until_ms` is when
    a limit ends or a campaign starts, where that is known. `shared` is the pool whose packet was opened; the
    giver has prizes where the giver's turn came. `wrong` is what an entry says that cannot be, in words.
    """

    verdict: str = "accepted"
    at_ms: int = 0
    until_ms: int = 0
    id: str = ""
    campaign: str = ""
    prizes: Prizes = field(default_factory=Prizes)
    unlocked: list[str] = field(default_factory=list)
    shared: str = ""
    slot: int = 0
    expires_ms: int = 0
    giver: Prizes | None = None
    record: Record | None = None
    wrong: list[str] = field(default_factory=list)


class Against(NamedTuple):
    """Why a claim must be refused: the outcome, and for an entry that was accepted all the same, in words."""

    verdict: str
    text: str
    until_ms: int = 0
