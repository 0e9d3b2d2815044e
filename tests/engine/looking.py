"""What is held against the model: answers at once, and at the end the store and its ledger."""

import json
from typing import TYPE_CHECKING, Any

import orjson

from scanner.ledger.audit import audit
from scanner.ledger.model.facts import Prizes, Result
from scanner.service.answers import timestamp
from scanner.service.problems import Answer

if TYPE_CHECKING:
    from tests.engine.world import World

_CLAIMS = ("scan.accepted", "draw.made", "grant.made", "grant.expired", "share.claimed")
_LISTS = ("awards", "blanks", "withheld", "unlocked", "giver_awards", "giver_blanks", "giver_withheld")
_MOMENTS = {"claimed": "first_scanned_at", "limit_reached": "resets_at", "not_active": "starts_at"}
_OUTCOMES = {"wrong_price": "malformed"}


def same(got: object, wanted: object) -> None:
    assert got == wanted, f"got {got}, and the model says {wanted}"


def check_answer(result: Result, names: tuple[str, str, str], more: dict[str, Any], answer: Answer) -> None:
    """`names` are the outcome of what was accepted, and what its id and its time are called; `more` is what
    else it says."""
    body, verdict = orjson.loads(answer.body), result.verdict
    if verdict in ("accepted", "replayed"):
        outcome, id_name, at_name = names
        wanted = {
            "outcome": outcome,
            id_name: result.id,
            "replayed": verdict == "replayed",
            "campaign": result.campaign,
            at_name: timestamp(result.at_ms),
            "awards": [json.loads(award) for award in result.prizes.awards],
        }
        return same(body, wanted | more)
    wanted = {"outcome": _OUTCOMES.get(verdict, verdict)}
    at_ms = result.at_ms if verdict == "claimed" else result.until_ms
    if verdict in _MOMENTS and at_ms:
        wanted[_MOMENTS[verdict]] = timestamp(at_ms)
    return same({name: body[name] for name in ("outcome", *_MOMENTS.values()) if name in body}, wanted)


def check_wait(wait_ms: int, answer: Answer) -> None:
    wanted = str(-(-wait_ms // 1000)) if wait_ms else None
    same(answer.headers.get("Retry-After"), wanted)


def check_all(world: "World") -> None:
    """The audit finds nothing, its model is as ours, everything adds up, and the entries are as foretold."""
    report = world.run(audit(world.brand.store, world.engine.table))
    assert not report.differences, "the audit says: " + "; ".join(map(str, report.differences[:3]))
    for id, campaign in world.model.campaigns.items():
        for name in ("pools", "budgets", "wallets", "counts", "tally", "given", "paused", "scans"):
            same(getattr(report.campaigns[id], name), getattr(campaign, name))
        for row in campaign.sheet():
            if row.left is not None:
                same(row.put_in, row.given + row.locked + row.left)
                assert row.left >= 0, row
            if row.money_left is not None:
                same(row.money_put_in, row.money_given + row.money_locked + row.money_left)
        assert all(budget.left >= 0 for budget in campaign.budgets.values()), campaign.budgets
    store = world.brand.store
    told = world.run(store.client.xrange(store.keys.events, "-", "+", count=100_000))
    entries = [_read(entry) for _, entry in told if entry[b"type"].decode() in _CLAIMS]
    for got, wanted in zip(entries, world.entries, strict=False):
        same(got, wanted)
    same(len(entries), len(world.entries))


def foretold(type: str, at_ms: int, id: str, campaign: str, **said: Any) -> dict[str, Any]:
    """An entry as it will be read; what is empty is absent, but for awards."""
    said = {"type": type, "at": at_ms, "id": id, "campaign": campaign, **said}
    return {
        name: value if isinstance(value, list) else str(value)
        for name, value in said.items()
        if value or name in ("serial", "awards", "giver_awards")
    }


def lists(prizes: Prizes) -> dict[str, list[Any]]:
    """What an entry says of prizes."""
    awards = [json.loads(award) for award in prizes.awards]
    return {"awards": awards, "blanks": prizes.blanks, "withheld": prizes.withheld}


def _read(entry: dict[bytes, bytes]) -> dict[str, Any]:
    fields = {name.decode(): value.decode() for name, value in entry.items()}
    return {name: json.loads(value) if name in _LISTS else value for name, value in fields.items()}
