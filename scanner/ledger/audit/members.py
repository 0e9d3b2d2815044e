"""The audit's look at what belongs to members and changes: wallets with their expiries, and counts.

There may be millions, so they are compared batch by batch, each of one moment to which the stream is folded.
"""

from collections.abc import Sequence
from typing import Any

from scanner.campaigns import Plan
from scanner.ledger.audit.ledger import Command, Ledger, batched, text_of
from scanner.ledger.model.limits import SCANS
from scanner.ledger.model.state import Counts, Wallet

Owner = tuple[str, bytes]
"""A campaign's id and a member's digest."""

_BATCH = 500


async def compare_members(ledger: Ledger) -> None:
    """Holds every wallet and every count that the stream knows of against the store."""
    campaigns = ledger.model.campaigns
    # Copies: the stream is folded on between two batches.
    for batch in batched([(id, member) for id, one in campaigns.items() for member in one.wallets], _BATCH):
        await compare_wallets(ledger, batch)
    for batch in batched([(id, member) for id, one in campaigns.items() for member in one.counts], _BATCH):
        await compare_counts(ledger, batch)


async def compare_wallets(ledger: Ledger, owners: Sequence[Owner]) -> None:
    """Wallets, whether the stream knows of them or not, and the expiries of their packets."""
    keys = ledger.keys
    expiries = {name: None for id, member in owners for name in _expiries(ledger, id, member)}
    commands: list[Command] = [("HGETALL", keys.wallet(id, member)) for id, member in owners]
    commands += [("ZSCORE", keys.expiries, name) for name in expiries]
    replies = await ledger.read_at_one_moment(commands)
    for (id, member), got in zip(owners, replies, strict=False):
        _compare_wallet(ledger, id, member, got)
    due = {name: ms for id, member in owners for name, ms in _expiries(ledger, id, member).items()}
    for name, score in zip(expiries, replies[len(owners) :], strict=True):
        compare_expiry(ledger, name, score, due.get(name))


def compare_expiry(ledger: Ledger, name: str, score: Any, due_ms: int | None) -> None:
    if isinstance(score, Exception) or (None if score is None else int(score)) != due_ms:
        ledger.differ(
            ledger.keys.expiries,
            name.partition("/")[0],
            f"{name} is to expire at {_shown(score)}, the stream says {_shown(due_ms)}",
        )


def expires_at(ledger: Ledger, name: str) -> int | None:
    """When the packet of that name among the expiries expires; None where there is none."""
    id, _, rest = name.partition("/")
    try:
        member = bytes.fromhex(rest.rpartition("/")[2])
    except ValueError:
        return None
    return _expiries(ledger, id, member).get(name)


async def compare_counts(ledger: Ledger, owners: Sequence[Owner]) -> None:
    """Counts, whether the stream knows of them or not. Those whose time is over may be gone."""
    commands: list[Command] = [("TIME",)]
    for id, member in owners:
        key = ledger.keys.counts(id, member)
        commands += [("GET", key), ("PEXPIRETIME", key)]
    (seconds, micros), *replies = await ledger.read_at_one_moment(commands)
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    for (id, member), data, expires_ms in zip(owners, replies[::2], replies[1::2], strict=True):
        _compare_count(ledger, id, member, data, expires_ms, now_ms)


def _compare_wallet(ledger: Ledger, id: str, member: bytes, got: Any) -> None:
    key = ledger.keys.wallet(id, member)
    if not isinstance(got, dict):
        return ledger.differ(key, id, "this wallet cannot be read")
    campaign = ledger.model.campaigns.get(id)
    want = campaign.wallets.get(member, Wallet()).fields() if campaign else {}
    for name in sorted(want.keys() | got.keys()):
        if want.get(name) != got.get(name):
            has, wanted = (_value(name, fields.get(name)) for fields in (got, want))
            ledger.differ(key, id, f"{text_of(name)}: {has} in the wallet, the stream says {wanted}")
    return None


def _value(name: bytes, data: bytes | None) -> str:
    if data is None:
        return "nothing"
    return text_of(data) if name.startswith(b"c") else data.hex()


def _compare_count(ledger: Ledger, id: str, member: bytes, data: Any, expires_ms: Any, now_ms: int) -> None:
    key = ledger.keys.counts(id, member)
    campaign = ledger.model.campaigns.get(id)
    want = campaign.counts.get(member) if campaign else None
    if campaign is None or want is None:
        if data is not None:
            ledger.differ(key, id, "counted, but no entry says so")
    elif data is None:
        if now_ms < want.expires_ms:
            ledger.differ(key, id, "the counts are missing in the store")
    elif _meaning(data, campaign.plan) != _meaning(want.pack(), campaign.plan):
        has = data.hex() if isinstance(data, bytes) else "something else"
        ledger.differ(key, id, f"the counts are {has}, the stream says {want.pack().hex()}")
    elif expires_ms != want.expires_ms:
        ledger.differ(key, id, f"the counts expire at {expires_ms}, the stream says {want.expires_ms}")


def _meaning(data: Any, plan: Plan) -> object:
    """What counts say, without totals that nothing is limited by: those end with the key, and whether it was
    gone at a claim in the very moment of its end, the entry does not tell."""
    try:
        counts = Counts.unpack(data)
    except (TypeError, ValueError):
        return None
    rows = {}
    for no, (today, total) in counts.of.items():
        limited = plan if no == SCANS else plan.by_no.get(no)
        if limited is not None and limited.total is not None:
            rows[no] = (today, total)
        elif today:
            rows[no] = (today, 0)
    return counts.day, rows


def _expiries(ledger: Ledger, id: str, member: bytes) -> dict[str, int]:
    """The expiries of a member's packets, by the names they have in the store."""
    campaign = ledger.model.campaigns.get(id)
    wallet = campaign.wallets.get(member) if campaign else None
    if campaign is None or wallet is None:
        return {}
    return {
        f"{id}/{campaign.plan.by_no[no].id}/{grant}/{member.hex()}": packet.expires_ms
        for no, packets in wallet.packets.items()
        for grant, packet in packets.items()
    }


def _shown(ms: Any) -> str:
    return "no time" if ms is None else f"{ms:.0f}" if isinstance(ms, float) else str(ms)
