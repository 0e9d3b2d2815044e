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
    not_drawn_yet,
)
from scanner.errors import CampaignError, StoreRefusedError
from scanner.ledger.connection import Store

NUMBER_MAX = 65535


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign in force."""

    file: CampaignFile
    plan: Plan


async def apply(store: Store, file: CampaignFile, *, by: str, dry_run: bool = False) -> Changes | None:
    """Makes the file the one in force, fills its pools, and returns what changed; None for a new campaign.

    Applying the same file again changes nothing. ``dry_run`` judges the change and leaves it.

    Raises:
        CampaignError: the file asks for what this version does not draw, or takes away from participants.
        StoreRefusedError: the campaign changed while this was judged.
    """
    if pending := not_drawn_yet(file):
        raise CampaignError("\n".join(pending))
    id = file.campaign.id
    current = await read(store, id)
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
        compile_plan(file, no=no or 1, previous=previous)  # what it would refuse is refused now
        return changes
    if current is None:
        no = int(await store.client.hincrby(store.keys.numbers, "campaign", 1))
        if no > NUMBER_MAX:
            raise StoreRefusedError(f"all {NUMBER_MAX} campaign numbers of this brand are given out")
    plan = compile_plan(file, no=no, previous=previous)
    pools, stock = _stock(file, changes if started else None, previous)
    await store.call(
        "campaign_apply",
        [
            store.keys.events,
            store.keys.directory,
            store.keys.campaign(id),
            *(store.keys.pool(id, pool) for pool in pools),
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
            orjson.dumps(stock),
        ],
    )
    return changes


def _stock(
    file: CampaignFile, changes: Changes | None, previous: Plan | None
) -> tuple[list[str], list[dict[str, object]]]:
    """The pools that the change touches, and the steps that fill them (``functions/campaign_apply.lua``)."""
    pools = [pool.id for pool in file.pool]
    if previous:  # pools that are gone are emptied too
        pools += [pool.id for pool in previous.pools if pool.id not in pools]
    place = {pool: i + 1 for i, pool in enumerate(pools)}
    if changes is None:
        new = {(pool.id, prize.id): prize.stock for pool in file.pool for prize in pool.prize}
        added: dict[tuple[str, str], int] = {}
    else:
        new, added = changes.new_stock, changes.additions
    steps: list[dict[str, object]] = [
        {"pool": place[pool], "prize": prize, "set": "*" if stock is None else stock}
        for (pool, prize), stock in new.items()
    ]
    steps += [{"pool": place[pool], "prize": prize, "add": n} for (pool, prize), n in added.items()]
    return pools, steps


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
            left[pool.id] = {prize.decode(): None if n == b"*" else int(n) for prize, n in fields.items()}
    return left
