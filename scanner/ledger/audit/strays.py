"""The audit's look for what is in the store although no entry stands for it.

Keys are looked through while the service may write. What is not known is looked at again after the stream was
folded further, so that what was written meanwhile is no difference.
"""

from collections import Counter
from dataclasses import dataclass, field

from scanner.ledger.audit.ledger import Ledger, batched
from scanner.ledger.audit.members import Owner, compare_counts, compare_expiry, compare_wallets, expires_at
from scanner.ledger.keys import BUCKET_SERIALS
from scanner.ledger.model import Model

_HASHES = {"claims": "claims", "requests": "requests", "share": "claims of friends"}
"""Kinds of key whose hash only ever grows, and what their fields are."""


@dataclass
class _Found:
    """What the model does not know, or has less of, at the first look."""

    wallets: list[Owner] = field(default_factory=list)
    counts: list[Owner] = field(default_factory=list)
    fields: list[tuple[str, bytes]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


async def find_strays(ledger: Ledger) -> None:
    """Names claims, requests, shares, wallets, counts, pools, budgets and expiries without an entry."""
    found, model = _Found(), ledger.model
    requests = Counter(request.hex()[:3] for request in model.requests)
    async for names in ledger.names():
        for name in names:
            _sort(ledger, name, found)
        await _look_into(ledger, [name for name in names if _kind(name) in _HASHES], requests, found)
    await ledger.fold()
    for name, slot in found.fields:
        if text := _stray(model, name, slot):
            campaign = _campaign_of(model, name)
            ledger.differ(f"{ledger.keys.prefix}{name}", campaign, text)
    for name in found.keys:
        if not _is_known(model, name):
            ledger.differ(f"{ledger.keys.prefix}{name}", "", "no entry stands for it")
    for batch in batched(found.wallets):
        await compare_wallets(ledger, batch)
    for batch in batched(found.counts):
        await compare_counts(ledger, batch)
    await _find_expiries(ledger)


async def _find_expiries(ledger: Ledger) -> None:
    suspects = [
        name async for names in ledger.expiries() for name in names if expires_at(ledger, name) is None
    ]
    for batch in batched(suspects):
        scores = await ledger.read_at_one_moment(("ZSCORE", ledger.keys.expiries, name) for name in batch)
        for name, score in zip(batch, scores, strict=True):
            compare_expiry(ledger, name, score, expires_at(ledger, name))


def _sort(ledger: Ledger, name: str, found: _Found) -> None:
    """Looks at a key by its name alone."""
    kind, _, rest = name.partition(":")
    if kind in ("wallet", "counts"):
        id, _, digest = rest.rpartition(":")
        try:
            owner = (id, bytes.fromhex(digest))
        except ValueError:
            return ledger.differ(f"{ledger.keys.prefix}{name}", id, "this key belongs to no member")
        campaign = ledger.model.campaigns.get(id)
        known = (campaign.wallets if kind == "wallet" else campaign.counts) if campaign else ()
        if owner[1] not in known:
            (found.wallets if kind == "wallet" else found.counts).append(owner)
    elif not _is_known(ledger.model, name):
        found.keys.append(name)
    return None


async def _look_into(ledger: Ledger, names: list[str], requests: Counter[str], found: _Found) -> None:
    """Finds the hashes that hold more than the model knows of, and all that is in them."""
    prefix = ledger.keys.prefix
    lengths = await ledger.read(("HLEN", f"{prefix}{name}") for name in names)
    fuller = []
    for name, length in zip(names, lengths, strict=True):
        try:
            if length > _known_fields(ledger.model, name, requests):
                fuller.append(name)
        except (TypeError, ValueError):  # another name, or another type
            ledger.differ(f"{prefix}{name}", "", f"these {_HASHES[_kind(name)]} cannot be read")
    fields = await ledger.read(("HKEYS", f"{prefix}{name}") for name in fuller)
    for name, slots in zip(fuller, fields, strict=True):
        found.fields += [(name, slot) for slot in (slots if isinstance(slots, list) else [])]


def _known_fields(model: Model, name: str, requests: Counter[str]) -> int:
    """How many fields the stream has put into a hash. ValueError: it never wrote such a name."""
    kind, _, rest = name.partition(":")
    if kind == "claims":
        no, bucket = (int(part) for part in rest.split(":"))
        lot = model.lots.get(no)
        bits = lot.claimed[bucket * BUCKET_SERIALS // 8 : (bucket + 1) * BUCKET_SERIALS // 8] if lot else b""
        return int.from_bytes(bits).bit_count()
    if kind == "share":
        share = model.shares.get(rest)
        return 2 + len(share.friends) if share else 0
    return requests[rest]


def _stray(model: Model, name: str, slot: bytes) -> str:
    """What is wrong with a field of a hash, or ""."""
    kind, _, rest = name.partition(":")
    if kind == "claims":
        no, bucket = (int(part) for part in rest.split(":"))
        if not slot.isdigit():
            return "these claims cannot be read"
        lot, serial = model.lots.get(no), bucket * BUCKET_SERIALS + int(slot)
        if lot is not None and serial < lot.size and lot.is_claimed(serial):
            return ""
        return f"lot {no}, serial {serial}: claimed, but no entry says so"
    if kind == "share":
        share = model.shares.get(rest)
        if share is not None and (slot in (b"giver", b"at") or slot in share.friends):
            return ""
        return f"share {rest}, {slot.hex()}: claimed, but no entry says so"
    if slot in model.requests and slot.hex().startswith(rest):
        return ""
    return f"request {slot.hex()}: made, but no entry says so"


def _campaign_of(model: Model, name: str) -> str:
    kind, _, rest = name.partition(":")
    if kind == "claims":
        lot = model.lots.get(int(rest.partition(":")[0]))
        return lot.campaign if lot else ""
    share = model.shares.get(rest)
    return share.campaign if share else ""


def _is_known(model: Model, name: str) -> bool:
    """Whether the stream knows of the key of a lot, campaign, budget or pool; another kind need not be."""
    kind, _, rest = name.partition(":")
    if kind == "lot":
        return rest.isdecimal() and int(rest) in model.lots
    if kind in ("campaign", "budget"):
        return rest in model.campaigns
    if kind == "pool":
        id, _, pool = rest.partition("/")
        return id in model.campaigns and pool in model.campaigns[id].pools
    return True


def _kind(name: str) -> str:
    return name.partition(":")[0]
