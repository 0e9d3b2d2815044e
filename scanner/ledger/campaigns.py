"""Campaigns in the store: a file takes force, and what is in force is read back."""

from dataclasses import dataclass

import orjson

from scanner.campaigns import (
    CampaignFile,
    Changes,
    Plan,
    canonical,
    compare,
    compile_plan,
    dump,
    from_canonical,
    load,
)
from scanner.campaigns.prizes import Spread
from scanner.errors import CampaignError, StoreRefusedError
from scanner.ledger.connection import Store

NUMBER_MAX = 65535


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign in force."""

    file: CampaignFile
    plan: Plan


async def apply(
    store: Store, file: CampaignFile, *, by: str, dry_run: bool = False, seen: str | None = None
) -> Changes | None:
    """Makes the file the one in force, fills its pools, and returns what changed; None for a new campaign.

    Applying the same file again changes nothing. ``dry_run`` judges the change and leaves it. ``seen`` is the
    version that the change was shown against, "" for no campaign yet: no other one is changed.

    Raises:
        CampaignError: the file takes away from participants, or needs more numbers than there are.
        StoreRefusedError: the campaign changed while this was judged, or since it was shown.
    """
    id = file.campaign.id
    current = await read(store, id)
    if seen is not None and seen != (current.plan.version if current else ""):
        raise StoreRefusedError(f"campaign {id} changed meanwhile: apply again to see the difference")
    seconds, micros = await store.client.time()
    if current is None:
        changes, started, previous, no = None, False, None, 0
    else:
        previous, no = current.plan, current.plan.no
        started = previous.starts_ms <= seconds * 1000 + micros // 1000
        changes = compare(current.file, file, started=started)
        if changes.refusals:
            raise CampaignError("\n".join(changes.refusals))
        if not changes.changed:
            return changes
    if dry_run:
        # What it would refuse is refused now.
        compile_plan(file, no=no or 1, previous=previous, started=started)
        return changes
    if current is None:
        no = int(await store.client.hincrby(store.keys.numbers, "campaign", 1))
        if no > NUMBER_MAX:
            raise StoreRefusedError(f"all {NUMBER_MAX} campaign numbers of this brand are given out")
    plan = compile_plan(file, no=no, previous=previous, started=started)
    fill = _fill(file, changes if started else None, previous)
    await store.call(
        "campaign_apply",
        [
            store.keys.events,
            store.keys.directory,
            store.keys.campaign(id),
            store.keys.budget(id),
            *(store.keys.pool(id, pool) for pool in fill.pools),
        ],
        [
            by,
            id,
            no,
            previous.version if previous else "",
            int(started),
            plan.version,
            plan.starts_ms,
            plan.ends_ms,
            canonical(file),
            dump(plan),
            orjson.dumps(fill.stock),
            orjson.dumps(fill.money),
        ],
    )
    return changes


@dataclass(frozen=True, slots=True)
class _Fill:
    """The pools that a change touches, and the steps that fill them and the budgets
    (``functions/campaign_apply.lua``)."""

    pools: list[str]
    stock: list[dict[str, object]]
    money: list[dict[str, object]]


def _fill(file: CampaignFile, changes: Changes | None, previous: Plan | None) -> _Fill:
    """``changes`` is None where everything is filled anew."""
    pools = [pool.id for pool in file.pool]
    if previous:  # pools that are gone are emptied too
        pools += [pool.id for pool in previous.pools if pool.id not in pools]
    place = {pool: i + 1 for i, pool in enumerate(pools)}
    before = {pool.id for pool in previous.pools} if previous else set()
    prizes = {(pool.id, prize.id): prize for pool in file.pool for prize in pool.prize}
    new = {key: prize.stock for key, prize in prizes.items()} if changes is None else changes.new_stock
    stock: list[dict[str, object]] = []
    for (pool, prize), pieces in new.items():
        stock.append({"pool": place[pool], "prize": prize, "set": "*" if pieces is None else pieces})
        if isinstance(spread := getattr(prizes[pool, prize], "amount", None), Spread):
            stock.append({"pool": place[pool], "prize": f"{prize}:money", "set": spread.total})
    budgets = {pool.id: pool.budget for pool in file.pool if changes is None or pool.id not in before}
    if changes is None:
        budgets["*"] = file.campaign.budget
    money: list[dict[str, object]] = [
        {"name": name, "set": left} for name, left in budgets.items() if left is not None
    ]
    if changes is not None:
        stock += [
            {"pool": place[pool], "prize": prize, "add": n} for (pool, prize), n in changes.additions.items()
        ]
        money += [
            {"name": name or "*"} | ({"lift": True} if more is None else {"add": more})
            for name, more in changes.money.items()
        ]
    return _Fill(pools, stock, money)


async def read(store: Store, id: str) -> Campaign | None:
    file, plan = await store.client.hmget(store.keys.campaign(id), "file", "plan")
    return Campaign(from_canonical(file), load(plan)) if file and plan else None


async def ids(store: Store) -> list[str]:
    """The ids of all campaigns."""
    names = await store.client.zrange(store.keys.directory, 0, -1)
    return sorted(name[9:].decode() for name in names if name.startswith(b"campaign:"))


async def remaining(store: Store, plan: Plan) -> dict[str, dict[str, int | None]]:
    """Pool id → prize id → how many remain; None is no limit. A pool whose key is missing is left out."""
    left = {}
    for pool in plan.pools:
        fields = await store.client.hgetall(store.keys.pool(plan.id, pool.id))
        if fields:
            pieces = {name.decode(): n for name, n in fields.items() if not name.endswith(b":money")}
            left[pool.id] = {prize: None if n == b"*" else int(n) for prize, n in pieces.items()}
    return left
