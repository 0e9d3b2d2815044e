"""The audit's look at the small state: lots, campaigns, pools and budgets, all of one moment."""

from collections.abc import Mapping

from scanner.campaigns import canonical, dump
from scanner.ledger.audit.ledger import Ledger, text_of
from scanner.ledger.lots import parse_lot

Hash = Mapping[bytes, bytes]


async def compare_state(ledger: Ledger) -> None:
    """Holds the hashes of lots, campaigns, pools and budgets, and the directory, against the model."""
    model, keys = ledger.model, ledger.keys
    while True:
        campaigns, lots = list(model.campaigns), list(model.lots)
        pools = [(id, pool) for id in campaigns for pool in model.campaigns[id].pools]
        names = (
            [keys.campaign(id) for id in campaigns]
            + [keys.budget(id) for id in campaigns]
            + [keys.lot(no) for no in lots]
            + [keys.pool(id, pool) for id, pool in pools]
        )
        directory, *state = await ledger.read_at_one_moment(
            [("ZRANGE", keys.directory, 0, -1), *(("HGETALL", name) for name in names)]
        )
        known = [(id, pool) for id, state in model.campaigns.items() for pool in state.pools]
        if (list(model.campaigns), list(model.lots), known) == (campaigns, lots, pools):
            break  # else something was registered or applied just now: read again
    hashes = iter([fields if isinstance(fields, dict) else {} for fields in state])
    for id in campaigns:
        _compare_campaign(ledger, id, next(hashes))
    for id in campaigns:
        _compare_budgets(ledger, id, next(hashes))
    for no in lots:
        _compare_lot(ledger, no, next(hashes))
    for id, pool in pools:
        _compare_pool(ledger, id, pool, next(hashes))
    listed = {text_of(name) for name in directory} if isinstance(directory, list) else set()
    for name in sorted(listed ^ ({f"campaign:{id}" for id in campaigns} | {f"lot:{no}" for no in lots})):
        ledger.differ(keys.directory, "", f"{name} is in only one of stream and directory")


def _compare_campaign(ledger: Ledger, id: str, fields: Hash) -> None:
    want = ledger.model.campaigns[id]
    wanted = {
        "no": str(want.plan.no).encode(),
        "version": want.plan.version.encode(),
        "starts": str(want.plan.starts_ms).encode(),
        "ends": str(want.plan.ends_ms).encode(),
        "file": canonical(want.file),
        "plan": dump(want.plan),
        "paused": b"1" if want.paused else None,
    }
    for name, value in wanted.items():
        if fields.get(name.encode()) != value:
            ledger.differ(ledger.keys.campaign(id), id, f"{name} is not in force as the stream says")


def _compare_budgets(ledger: Ledger, id: str, fields: Hash) -> None:
    want = {name: str(budget.left) for name, budget in ledger.model.campaigns[id].budgets.items()}
    _compare_left(ledger, ledger.keys.budget(id), id, fields, want, "of the budget")


def _compare_pool(ledger: Ledger, id: str, pool: str, fields: Hash) -> None:
    state = ledger.model.campaigns[id].pools[pool]
    want = {prize: "*" if left is None else str(left) for prize, left in state.left.items()}
    want |= {f"{prize}:money": str(left) for prize, left in state.money_left.items()}
    _compare_left(ledger, ledger.keys.pool(id, pool), id, fields, want, "in the pool")


def _compare_left(
    ledger: Ledger, key: str, campaign: str, fields: Hash, want: dict[str, str], where: str
) -> None:
    got = {text_of(name): text_of(left) for name, left in fields.items()}
    for name in sorted(want.keys() | got.keys()):
        has, wanted = got.get(name, "nothing"), want.get(name, "nothing")
        if has != wanted:
            ledger.differ(key, campaign, f"{name}: {has} left {where}, the stream says {wanted}")


def _compare_lot(ledger: Ledger, no: int, fields: Hash) -> None:
    want, key = ledger.model.lots[no], ledger.keys.lot(no)
    try:
        lot = parse_lot(no, fields)
    except (KeyError, ValueError):
        return ledger.differ(key, want.campaign, f"lot {no} is missing or cannot be read")
    pairs = {
        "kid": (lot.kid, want.kid),
        "size": (lot.size, want.size),
        "product": (lot.product, want.product),
        "campaign": (lot.campaign, want.campaign),
        "pin": (lot.pin, want.pin),
        "state": (lot.state, "blocked" if want.blocked else "open"),
        "active": (list(lot.active), want.active),
        "seller": (lot.seller, want.seller),
    }
    for name, (got, wanted) in pairs.items():
        if got != wanted:
            ledger.differ(key, want.campaign, f"{name} is {got}, the stream says {wanted}")
    return None
