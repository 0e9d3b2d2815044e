"""A campaign as it is drawn: what the store function, the service and the audit read.

Pools and prizes have numbers beside their ids, 1 to 255, because claims refer to them for ever and one
byte is shorter than a name. `compiled.py` makes plans and keeps their numbers; here is what they hold, and
the JSON in which the store keeps them, absent and default values left out, every integer below 2^53:

    {"id", "no", "version", "currency", "starts", "ends",            times in ms since 1970
     "timezone", "budget", "per_day", "total", "counted_until", "products",
     "timed", "limited", "kept", "budgeted",                         1 where it is so: see Plan
     "pools": [{"id", "no", "draw",                                  in the file's order
                "beneficiary", "entry", "by_draw", "price", "slots", "open_for", "giver", "expires_after",
                "per_day", "total", "budget",
                "prizes": [{"id", "no", "stock", "below", "award",
                            "tail", "worth", "min", "max", "sum", "chance"}]}]}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

from scanner.campaigns.model import Beneficiary, Draw
from scanner.errors import CampaignError

NUMBER_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class PlanPrize:
    """A prize as it is drawn.

    `stock` is what the file puts in, in pieces; None never runs out. `below` is set in odds pools only: a
    draw u wins the first prize with u < below. `award` is the JSON object that stands in an answer, byte
    for byte, and "" for a blank.

    A prize of lucky amounts has `min`, `max` and `sum`, in minor units: `stock` amounts that add up to
    `sum`. Its `award` ends before the amount, and `tail` is what follows it. `worth` is what one piece takes
    out of a budget, in minor units (of lucky amounts, the amount does). `chance` is (pool number, draws).
    """

    id: str
    no: int
    stock: int | None
    below: int | None
    award: str
    tail: str = ""
    worth: int = 0
    min: int = 0
    max: int = 0
    sum: int = 0
    chance: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """Who enters a pool; None is everybody. Windows are [from, until) in ms since 1970; daily ones are
    (second of the day, length in ms) in the campaign's time zone."""

    roles: frozenset[str] | None = None
    tiers: frozenset[str] | None = None
    products: frozenset[str] | None = None
    channels: frozenset[str] | None = None
    windows: tuple[tuple[int, int], ...] = ()
    daily: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PlanPool:
    """A pool and its prizes, in the file's order. Durations are in ms, `price` in points, `budget` in minor
    units; `per_day` and `total` bound how often one member may draw from it."""

    id: str
    no: int
    draw: Draw
    prizes: tuple[PlanPrize, ...]
    beneficiary: Beneficiary = "member"
    entry: PlanEntry | None = None
    by_draw: bool = False
    price: int | None = None
    slots: int = 0
    open_for: int = 0
    giver: str = ""
    expires_after: int = 0
    per_day: int | None = None
    total: int | None = None
    budget: int | None = None


@dataclass(frozen=True)
class Plan:
    """A campaign. `no` is its number within the brand; `version` is a digest of file and plan, numbers
    included, so that one version never has two meanings.

    Counters of members are kept until `counted_until`, ms since 1970, where anything is limited in total.
    """

    id: str
    no: int
    version: str
    currency: str
    starts_ms: int
    ends_ms: int
    pools: tuple[PlanPool, ...]
    timezone: str = "UTC"
    budget: int | None = None
    per_day: int | None = None
    total: int | None = None
    counted_until: int = 0
    products: tuple[tuple[str, str, str], ...] = ()  # (GTIN-14, title, URL or "")

    @cached_property
    def timed(self) -> bool:
        """What a scan may enter or be counted as depends on the time of day."""
        return self.per_day is not None or any(
            pool.per_day is not None or (pool.entry is not None and (pool.entry.windows or pool.entry.daily))
            for pool in self.pools
        )

    @cached_property
    def limited(self) -> bool:
        """Members' scans or draws are counted."""
        return (self.per_day, self.total) != (None, None) or any(
            (pool.per_day, pool.total) != (None, None) for pool in self.pools
        )

    @cached_property
    def kept(self) -> bool:
        """Members may keep something for later: chances, or locked packets."""
        return any(
            pool.draw == "locked" or pool.by_draw or any(prize.chance for prize in pool.prizes)
            for pool in self.pools
        )

    @cached_property
    def budgeted(self) -> bool:
        """There is a budget, of the campaign or of a pool."""
        return self.budget is not None or any(pool.budget is not None for pool in self.pools)

    @cached_property
    def has_terms(self) -> bool:
        """A claim needs more than its pools."""
        return bool(self.timed or self.limited or self.kept or self.budgeted or self.shared)

    @cached_property
    def unconditional(self) -> bool:
        """Every scan enters every pool."""
        return all(
            pool.entry is None and pool.beneficiary == "member" and not pool.by_draw for pool in self.pools
        )

    @cached_property
    def shared(self) -> PlanPool | None:
        """The pool of shared packets."""
        return next((pool for pool in self.pools if pool.draw == "shared"), None)

    @cached_property
    def by_no(self) -> Mapping[int, PlanPool]:
        return {pool.no: pool for pool in self.pools}

    @cached_property
    def by_id(self) -> Mapping[str, PlanPool]:
        return {pool.id: pool for pool in self.pools}

    @cached_property
    def prizes(self) -> Mapping[tuple[int, int], PlanPrize]:
        """Every prize by (pool number, prize number)."""
        return {(pool.no, prize.no): prize for pool in self.pools for prize in pool.prizes}


_TRAITS = ("timed", "limited", "kept", "budgeted")
_PLAN_NAMES = {"starts_ms": "starts", "ends_ms": "ends"}


def dump(plan: Plan) -> bytes:
    """The plan as stored, UTF-8; the layout stands in this module's docstring."""
    head = {_PLAN_NAMES.get(name, name): value for name, value in _present(plan).items()}
    head |= {trait: 1 for trait in _TRAITS if getattr(plan, trait)}
    pools = head.pop("pools")
    return compact(head | {"pools": [_stored_pool(pool) for pool in pools]}).encode()


def _present(record: Any) -> dict[str, Any]:
    """A record's fields that are not at their default."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    defaults = {field.name: field.default for field in fields(record)}
    return {name: value for name, value in values.items() if value is not None and value != defaults[name]}


def _stored_pool(pool: PlanPool) -> dict[str, Any]:
    stored = _present(pool)
    if pool.entry is not None:
        stored["entry"] = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in _present(pool.entry).items()
        }
    return stored | {"prizes": [_present(prize) for prize in pool.prizes]}


def load(data: bytes) -> Plan:
    """The plan that `dump` wrote. Raises CampaignError if it did not."""
    try:
        stored = json.loads(data)
        for trait in _TRAITS:
            stored.pop(trait, None)
        for name, short in _PLAN_NAMES.items():
            stored[name] = stored.pop(short)
        stored["pools"] = tuple(_load_pool(pool) for pool in stored["pools"])
        stored["products"] = tuple((gtin, title, url) for gtin, title, url in stored.get("products", ()))
        return Plan(**stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CampaignError(f"this is not a stored campaign plan: {error!r}; apply its file again") from error


def _load_pool(stored: dict[str, Any]) -> PlanPool:
    if "entry" in stored:
        entry: dict[str, Any] = {
            name: tuple(map(tuple, value)) if name in ("windows", "daily") else frozenset(value)
            for name, value in stored["entry"].items()
        }
        stored["entry"] = PlanEntry(**entry)
    stored["prizes"] = tuple(_load_prize(prize) for prize in stored["prizes"])
    return PlanPool(**stored)


def _load_prize(stored: dict[str, Any]) -> PlanPrize:
    if "chance" in stored:
        stored["chance"] = tuple(stored["chance"])
    return PlanPrize(**{"stock": None, "below": None} | stored)


def compact(value: Any) -> str:
    """JSON without a space, UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
