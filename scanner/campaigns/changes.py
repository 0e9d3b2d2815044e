"""What a new version of a campaign file changes, and whether it may.

Before the start everything may change but the campaign's id and currency. Once a campaign has started,
participants rely on what was published, and the law forbids changes to their disadvantage: only what adds
is accepted, and a prize stays under its id what it was, because claims refer to it for ever.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scanner.campaigns.entry import Limits
from scanner.campaigns.expected import Table
from scanner.campaigns.file import plain
from scanner.campaigns.model import CampaignFile, Pool
from scanner.campaigns.prizes import AnyPrize, Blank, Cash, Spread

PrizeKey = tuple[str, str]
"""Pool id and prize id."""


@dataclass(slots=True)
class Changes:
    """The outcome of a comparison. With `refusals`, nothing else in it may be acted on."""

    changed: bool
    """Whether the files differ in anything at all; layout and order of keys are nothing."""
    refusals: list[str] = field(default_factory=list)
    """One line for each change that is not accepted: `path: expected …, got …`."""
    additions: dict[PrizeKey, int] = field(default_factory=dict)
    """Pieces to add to what the store has of a prize; negative only before the start."""
    new_stock: dict[PrizeKey, int | None] = field(default_factory=dict)
    """Pieces to set, None for endless: new prizes; before the start also what becomes limited or endless."""
    removed: list[PrizeKey] = field(default_factory=list)
    """Prizes the store has to forget; only before the start."""
    money: dict[str, int | None] = field(default_factory=dict)
    """Minor units to add to a budget, by pool id, "" for the campaign's; None lifts it. New pools are not in
    it: their budgets are to be set as the file says."""
    difference: list[str] = field(default_factory=list)
    """What changes, for people to read, one line each: `path: from … to …`."""


DECKS = ("deck", "locked", "shared")
"""The draws that take a piece out of a deck."""

Rule = Callable[[Any, Any], str | None]
"""(old, new) of a value that has changed → None if it may once the campaign has started, otherwise what was
expected, with {old} where the message quotes the old value."""


def _free(old: Any, new: Any) -> str | None:
    return None


def _fixed(old: Any, new: Any) -> str | None:
    return "no change from {old}"


def _fixed_once_given(old: Any, new: Any) -> str | None:
    return None if old is None else "no change from {old}"


def _not_earlier(old: datetime, new: datetime) -> str | None:
    return None if new >= old else "no earlier time than {old}"


def _not_less(old: Any, new: Any) -> str | None:
    # None is the most: no budget and no limit.
    if new is None or (old is not None and new >= old):
        return None
    return "none, as before" if old is None else "at least {old}"


def _same_or_more_stock(old: int | None, new: int | None) -> str | None:
    if old is None:
        return "endless stock, as before"
    # Not endless either: the audit adds up what was put in, and endless adds up to nothing.
    return None if new is not None and new >= old else "a stock of at least {old}"


CAMPAIGN_RULES: Mapping[str, Rule] = {
    "title": _free,
    "organiser": _fixed,
    "contact": _free,
    "claim_rules": _fixed,
    "timezone": _fixed,
    "starts": _fixed,
    "ends": _not_earlier,
    "budget": _not_less,
}
LIMITS_RULES: Mapping[str, Rule] = {"per_day": _not_less, "total": _not_less}
POOL_RULES: Mapping[str, Rule] = {
    "draw": _fixed,
    "entered_by": _fixed,
    "price": _fixed,
    "slots": _fixed,
    "open_for": _fixed,
    "giver": _fixed,
    "expires_after": _fixed,
    "game": _fixed,
    "beneficiary": _fixed,
    "entry": _fixed,
    "budget": _not_less,
}
PRIZE_RULES: Mapping[str, Rule] = {
    "kind": _fixed,
    "title": _fixed_once_given,
    "amount": _fixed,
    "value": _fixed,
    "coupon": _fixed,
    "pool": _fixed,
    "stock": _same_or_more_stock,
    "odds": _not_less,
}


def compare(old: CampaignFile, new: CampaignFile, *, started: bool) -> Changes:
    """Compares a campaign's file until now with its new version; `started` at the moment of applying."""
    comparison = _Comparison(started, Changes(changed=old != new), plain(old), plain(new))
    comparison.run(old, new)
    return comparison.changes


@dataclass(slots=True)
class _Comparison:
    started: bool
    changes: Changes
    shown_old: dict[str, Any]
    """The old file as it is written, which messages quote: money as decimals, times with their offset."""
    shown_new: dict[str, Any]

    def run(self, old: CampaignFile, new: CampaignFile) -> None:
        shown_old, shown_new = self.shown_old, self.shown_new
        self._identity(shown_old["campaign"], shown_new["campaign"])
        self._fields(
            "campaign",
            CAMPAIGN_RULES,
            (old.campaign, shown_old["campaign"]),
            (new.campaign, shown_new["campaign"]),
        )
        self._limits("limits", (old.limits, shown_old), (new.limits, shown_new))
        self._budget("", old.campaign.budget, new.campaign.budget)
        self._products(shown_old.get("product", []), shown_new.get("product", []))
        places = {pool.id: at for at, pool in enumerate(old.pool)}
        for at, pool in enumerate(new.pool):
            if pool.id in places:
                before = places.pop(pool.id)
                self._pool(at, (old.pool[before], shown_old["pool"][before]), (pool, shown_new["pool"][at]))
            else:
                self.changes.difference.append(f'pool[{at}]: new pool "{pool.id}"')
                self.changes.new_stock |= {(pool.id, prize.id): prize.stock for prize in pool.prize}
        for name, before in places.items():
            self._gone("pool", f'pool "{name}"')
            self.changes.removed += [(name, prize.id) for prize in old.pool[before].prize]
        self._order("pool", [pool.id for pool in old.pool], [pool.id for pool in new.pool])

    def _identity(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        for name in ("id", "currency"):
            if old[name] != new[name]:
                wanted = f'"{old[name]}", because a campaign keeps its {name}'
                self.changes.refusals.append(f'campaign.{name}: expected {wanted}, got "{new[name]}"')
                self.changes.difference.append(f'campaign.{name}: from "{old[name]}" to "{new[name]}"')

    def _fields(
        self,
        path: str,
        rules: Mapping[str, Rule],
        old: tuple[Table | None, dict[str, Any]],
        new: tuple[Table | None, dict[str, Any]],
    ) -> None:
        """Compares a table's values by what they mean, and tells of them as they are written."""
        for name, rule in rules.items():
            value_old, value_new = getattr(old[0], name, None), getattr(new[0], name, None)
            if value_old == value_new:
                continue
            shown_old, shown_new = _shown(old[1].get(name)), _shown(new[1].get(name))
            self.changes.difference.append(f"{path}.{name}: from {shown_old} to {shown_new}")
            if wanted := rule(value_old, value_new):
                self._refuse_once_started(f"{path}.{name}", wanted.replace("{old}", shown_old), shown_new)

    def _limits(
        self, path: str, old: tuple[Limits | None, dict[str, Any]], new: tuple[Limits | None, dict[str, Any]]
    ) -> None:
        """Compares limits, each with the table above them as it is written."""
        shown_old, shown_new = old[1].get("limits"), new[1].get("limits")
        self._fields(path, LIMITS_RULES, (old[0], shown_old or {}), (new[0], shown_new or {}))
        if old[0] != new[0] and not shown_old and not shown_new:
            # A table without a limit: the same to everybody, and yet another file.
            self.changes.difference.append(f"{path}: from {_shown(shown_old)} to {_shown(shown_new)}")

    def _pool(self, at: int, old: tuple[Pool, dict[str, Any]], new: tuple[Pool, dict[str, Any]]) -> None:
        path = f"pool[{at}]"
        self._fields(path, POOL_RULES, old, new)
        self._limits(f"{path}.limits", (old[0].limits, old[1]), (new[0].limits, new[1]))
        self._budget(new[0].id, old[0].budget, new[0].budget)
        places = {prize.id: before for before, prize in enumerate(old[0].prize)}
        for to, prize in enumerate(new[0].prize):
            path_there, key = f"{path}.prize[{to}]", (new[0].id, prize.id)
            if prize.id not in places:
                self.changes.difference.append(f'{path_there}: new prize "{prize.id}"')
                self.changes.new_stock[key] = prize.stock
                if isinstance(prize, Blank) and new[0].draw in DECKS:
                    self._refuse_once_started(path_there, "no new blanks in a deck", f'"{prize.id}"')
                continue
            before = places.pop(prize.id)
            prize_before = old[0].prize[before]
            self._fields(
                path_there,
                PRIZE_RULES,
                (prize_before, old[1]["prize"][before]),
                (prize, new[1]["prize"][to]),
            )
            self._stock(path_there, key, prize_before, prize)
        for name in places:
            self._gone(f"{path}.prize", f'prize "{name}"')
            self.changes.removed.append((new[0].id, name))
        if old[0].draw == new[0].draw in DECKS:
            self._blanks(path, old[0], new[0])
        ids_old, ids_new = ([prize.id for prize in pool.prize] for pool in (old[0], new[0]))
        self._order(f"{path}.prize", ids_old, ids_new)
        if new[0].draw == "every" and not places and ids_new[: len(ids_old)] != ids_old:
            # The first prize that is left is won, so a prize put in front takes the turn of those behind.
            self._refuse_once_started(f"{path}.prize", "new prizes behind those there were", _shown(ids_new))

    def _budget(self, pool: str, old: int | None, new: int | None) -> None:
        # A budget there was not before is refused once the campaign has started; until then all is set anew.
        if old is not None and old != new:
            self.changes.money[pool] = None if new is None else new - old

    def _products(self, old: list[dict[str, str]], new: list[dict[str, str]]) -> None:
        before = {product["gtin"]: product for product in old}
        after = {product["gtin"]: product for product in new}
        for gtin in dict.fromkeys((*before, *after)):
            if before.get(gtin) != after.get(gtin):
                self.changes.difference.append(
                    f"product {gtin}: from {_shown(before.get(gtin))} to {_shown(after.get(gtin))}"
                )
        self._order("product", list(before), list(after))

    def _stock(self, path: str, key: PrizeKey, old_prize: AnyPrize, new_prize: AnyPrize) -> None:
        old, new = old_prize.stock, new_prize.stock
        if old == new:
            return
        if isinstance(old_prize, Cash) and isinstance(old_prize.amount, Spread) and (new or 0) > (old or 0):
            wanted = f"a stock of {old}, because the amounts add up to a total; add another prize"
            self._refuse_once_started(f"{path}.stock", wanted, _shown(new))
        if old is None or new is None:
            self.changes.new_stock[key] = new
        else:
            self.changes.additions[key] = new - old

    def _blanks(self, path: str, old: Pool, new: Pool) -> None:
        """Blanks may grow with a deck, but not beyond their share of it: that would lower all chances."""
        blanks_old = {prize.id: prize.stock or 0 for prize in old.prize if isinstance(prize, Blank)}
        blanks_new = sum(prize.stock or 0 for prize in new.prize if prize.id in blanks_old)
        total_old, total_new = (sum(prize.stock or 0 for prize in pool.prize) for pool in (old, new))
        blanks = sum(blanks_old.values())
        if blanks_new * total_old > blanks * total_new:
            wanted = f"no larger share of blanks than {blanks} of {total_old}"
            self._refuse_once_started(f"{path}.prize", wanted, f"{blanks_new} of {total_new}")

    def _gone(self, path: str, what: str) -> None:
        self.changes.difference.append(f"{path}: {what} removed")
        self._refuse_once_started(path, f"{what} to stay", "none")

    def _order(self, path: str, old: list[str], new: list[str]) -> None:
        stayed = [name for name in old if name in new]
        if stayed != (order := [name for name in new if name in old]):
            self.changes.difference.append(f"{path}: order from {_shown(stayed)} to {_shown(order)}")

    def _refuse_once_started(self, path: str, wanted: str, got: str) -> None:
        if self.started:
            self.changes.refusals.append(
                f"{path}: expected {wanted}, since the campaign has started, got {got}"
            )


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
