"""What an entry of the stream says was drawn, read by the campaign's rules."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from scanner.campaigns import PlanPrize
from scanner.ledger.model.facts import Drawn, Prizes, Said
from scanner.ledger.model.state import CampaignState

Fields = Mapping[str, str]
GIVERS = "giver_"
"""What the names of a giver's fields begin with."""


def read_said(
    campaign: CampaignState, fields: Fields, *, pool: str = "", prefix: str = ""
) -> tuple[Said, list[str]]:
    """What was drawn, and what is wrong with how it is said; with `pool`, all of it must be from there."""
    said, wrong = Said(), list[str]()

    def take(pool_id: str, prize_id: str, award: Any = None, *, withheld: bool = False) -> None:
        prize = campaign.prizes.get((pool_id, prize_id))
        if prize is None or pool not in ("", pool_id) or (award is None and prize.award and not withheld):
            what = "prize" if award is not None or withheld else "blank"
            wrong.append(f"there is no {what} {pool_id}/{prize_id}")
            return
        amount = award["amount"] if award is not None and prize.max else 0
        if award is not None and _award(prize, amount, prefix == GIVERS) != award:
            wrong.append(f"the award {pool_id}/{prize_id} is not the one of the campaign file")
        if pool_id in said.drawn:
            wrong.append(f"pool {pool_id}: two prizes were drawn from it")
        said.drawn[pool_id] = Drawn(prize, amount, withheld)

    for award in orjson.loads(fields.get(f"{prefix}awards", "[]")):
        take(award["pool"], award["prize"], award)
    for name in names(fields, prefix + "blanks"):
        take(*name.split("/"))
    for name in names(fields, prefix + "withheld"):
        take(*name.split("/"), withheld=True)
    return said, wrong


def unlike(prizes: Prizes, fields: Fields, prefix: str = "") -> list[str]:
    """What an entry says of the prizes in another way, or another order, than it should."""
    wrong = []
    awards = f"[{','.join(prizes.awards)}]"
    told = fields.get(f"{prefix}awards", "[]")
    if awards != told and orjson.loads(awards) != orjson.loads(told):
        wrong.append(f"the awards were to be {awards}")
    for name in ("blanks", "withheld"):
        due = getattr(prizes, name)
        if (due or prefix + name in fields) and names(fields, prefix + name) != due:
            wrong.append(f"{name} were to be {orjson.dumps(due).decode()}")
    return wrong


def names(fields: Fields, name: str) -> Sequence[str]:
    """A field that is a JSON array of texts; an absent one is empty."""
    text = fields.get(name)
    return orjson.loads(text) if text else []


def _award(prize: PlanPrize, amount: int, is_givers: bool) -> Any:
    if not prize.award or not isinstance(amount, int):
        return None
    award = _parsed(f"{prize.award}{amount}{prize.tail}" if prize.max else prize.award)
    return award | {"beneficiary": "giver"} if is_givers else award


@lru_cache(maxsize=4096)
def _parsed(award: str) -> dict[str, Any]:
    return orjson.loads(award)  # type: ignore[no-any-return]
