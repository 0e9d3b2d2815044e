"""A campaign file compiled to what a draw needs: the form that the store function, the service and the
audit read.

Pools and prizes have numbers beside their ids, 1 to 255, because claims refer to them for ever and one
byte is shorter than a name. A number is kept for as long as its id is in the file; a new id gets the
number after the highest one of the plan before. Prizes are only ever removed before a campaign starts,
when no claim refers to them, so a number never changes its meaning for a claim.

JSON layout of a stored plan, absent values left out, every integer below 2^53:

    {"id", "no", "version", "currency", "starts", "ends",            times in ms since 1970
     "pools": [{"id", "no", "draw",                                  in the file's order
                "prizes": [{"id", "no", "stock", "below", "award"}]}]}
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from blake3 import blake3

from scanner.campaigns.fields import ODDS_STEPS, to_ms
from scanner.campaigns.file import canonical
from scanner.campaigns.model import AnyPrize, Blank, CampaignFile, Cash, Coupon, Draw, Pool, Spread
from scanner.campaigns.pending import not_drawn_yet
from scanner.errors import CampaignError

NUMBER_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class PlanPrize:
    """A prize as it is drawn.

    `stock` is what the file puts in, in pieces; None never runs out. `below` is set in odds pools only: a
    draw u wins the first prize with u < below. `award` is the JSON object that stands in an answer, byte
    for byte, and "" for a blank.
    """

    id: str
    no: int
    stock: int | None
    below: int | None
    award: str


@dataclass(frozen=True, slots=True)
class PlanPool:
    """A pool and its prizes, in the file's order."""

    id: str
    no: int
    draw: Draw
    prizes: tuple[PlanPrize, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign. `no` is its number within the brand; `version` is a digest of file and plan, numbers
    included, so that one version never has two meanings.
    """

    id: str
    no: int
    version: str
    currency: str
    starts_ms: int
    ends_ms: int
    pools: tuple[PlanPool, ...]


def compile_plan(file: CampaignFile, *, no: int, previous: Plan | None) -> Plan:
    """The plan of a file; `previous` is the campaign's plan until now, whose numbers are kept.

    Raises CampaignError if the file has what this version does not draw yet, one message a line, or if
    the numbers of pools or prizes are used up.
    """
    assert previous is None or (previous.id, previous.no) == (file.campaign.id, no), "another campaign's plan"
    if pending := not_drawn_yet(file):
        raise CampaignError("\n".join(pending))
    pools_before = {pool.id: pool for pool in previous.pools} if previous else {}
    numbers = _numbers("pool", (pool.id for pool in file.pool), pools_before)
    campaign = file.campaign
    plan = Plan(
        id=campaign.id,
        no=no,
        version="",
        currency=campaign.currency,
        starts_ms=to_ms(campaign.starts),
        ends_ms=to_ms(campaign.ends),
        pools=tuple(
            PlanPool(
                id=pool.id,
                no=numbers[pool.id],
                draw=pool.draw,
                prizes=_prizes(f"pool[{at}].prize", pool, campaign.currency, pools_before.get(pool.id)),
            )
            for at, pool in enumerate(file.pool)
        ),
    )
    return replace(plan, version=blake3(canonical(file) + dump(plan)).hexdigest(8))


def _prizes(path: str, pool: Pool, currency: str, before: PlanPool | None) -> tuple[PlanPrize, ...]:
    prizes_before = {prize.id: prize for prize in before.prizes} if before else {}
    numbers = _numbers(path, (prize.id for prize in pool.prize), prizes_before)
    return tuple(
        PlanPrize(prize.id, numbers[prize.id], prize.stock, below, _award(pool, prize, currency))
        for prize, below in zip(pool.prize, _thresholds(pool), strict=True)
    )


def _numbers(path: str, ids: Iterable[str], before: Mapping[str, PlanPool | PlanPrize]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    last = max((numbered.no for numbered in before.values()), default=0)
    for name in ids:
        if name in before:
            numbers[name] = before[name].no
        else:
            numbers[name] = last = last + 1
    if last > NUMBER_MAX:
        raise CampaignError(
            f"{path}: expected at most {NUMBER_MAX} different ids in a campaign's life, got {last};"
            " keep ids that were applied before, or apply the file under a new campaign id"
        )
    return numbers


def _thresholds(pool: Pool) -> list[int | None]:
    """Where each prize's share of the draws ends, in steps of 2^-48.

    The sum of the odds so far is exact and is rounded down once, so rounding never adds up: a prize has
    its odds to within one step, and odds that add up to 1 cover every draw.
    """
    if pool.draw != "odds":
        return [None] * len(pool.prize)
    thresholds: list[int | None] = []
    total = Fraction()
    for prize in pool.prize:
        assert prize.odds is not None, "checked with the file"
        total += Fraction(prize.odds)
        thresholds.append(total.numerator * ODDS_STEPS // total.denominator)
    return thresholds


def _award(pool: Pool, prize: AnyPrize, currency: str) -> str:
    if isinstance(prize, Blank):
        return ""
    assert not isinstance(prize.amount, Spread), "not drawn yet"
    award: dict[str, str | int] = {
        "pool": pool.id,
        "prize": prize.id,
        "kind": prize.kind,
        "amount": prize.amount,
    }
    if isinstance(prize, Cash):
        award["currency"] = currency
    if isinstance(prize, Coupon):
        award["coupon"] = prize.coupon
    if pool.game is not None:
        award["game"] = pool.game
    award["beneficiary"] = pool.beneficiary
    return _compact(award)


def dump(plan: Plan) -> bytes:
    """The plan as stored, UTF-8; the layout stands in this module's docstring."""
    return _compact(
        {
            "id": plan.id,
            "no": plan.no,
            "version": plan.version,
            "currency": plan.currency,
            "starts": plan.starts_ms,
            "ends": plan.ends_ms,
            "pools": [
                {
                    "id": pool.id,
                    "no": pool.no,
                    "draw": pool.draw,
                    "prizes": [_stored_prize(prize) for prize in pool.prizes],
                }
                for pool in plan.pools
            ],
        }
    ).encode()


def _stored_prize(prize: PlanPrize) -> dict[str, Any]:
    stored = {
        "id": prize.id,
        "no": prize.no,
        "stock": prize.stock,
        "below": prize.below,
        "award": prize.award,
    }
    return {name: value for name, value in stored.items() if value is not None}


def load(data: bytes) -> Plan:
    """The plan that `dump` wrote. Raises CampaignError if it did not."""
    try:
        stored = json.loads(data)
        return Plan(
            id=stored["id"],
            no=stored["no"],
            version=stored["version"],
            currency=stored["currency"],
            starts_ms=stored["starts"],
            ends_ms=stored["ends"],
            pools=tuple(_load_pool(pool) for pool in stored["pools"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CampaignError(f"this is not a stored campaign plan: {error!r}; apply its file again") from error


def _load_pool(stored: dict[str, Any]) -> PlanPool:
    prizes = tuple(
        PlanPrize(prize["id"], prize["no"], prize.get("stock"), prize.get("below"), prize["award"])
        for prize in stored["prizes"]
    )
    return PlanPool(stored["id"], stored["no"], stored["draw"], prizes)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
