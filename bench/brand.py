"""The brand that is measured: keys that are the same in every run, campaigns, and the claims of its codes."""

import struct
from typing import Final

from scanner.campaigns import CampaignFile, Plan, compile_plan, parse
from scanner.codes import KeyTable, derive
from scanner.identity import TokenKeys
from scanner.ledger.frames import Claim, Entered

KID: Final = 5
TABLE: Final = KeyTable({KID: derive(bytes(range(32)))})
TOKEN_KEYS: Final = TokenKeys({"t1": bytes(range(32))})
PRODUCT: Final = "06901234567892"
MEMBERS: Final = 500
"""So many people scan: fewer than a worker's caches hold, as in a spike of minutes."""

_HEAD = struct.Struct(">HIH8s8s")
_CAMPAIGN = """
[campaign]
id = "{id}"
title = "What it costs"
organiser = "Example Paints Co., Ltd."
claim_rules = "None."
currency = "CNY"
timezone = "Asia/Shanghai"
starts = 2026-01-01T00:00:00+08:00
ends = 2099-12-31T00:00:00+08:00
"""
_DECK = """
[[pool]]
id = "deck{no}"
draw = "deck"
{entry}
[[pool.prize]]
id = "points"
kind = "points"
amount = 5
stock = 1000000000
[[pool.prize]]
id = "cash"
kind = "cash"
amount = "0.88"
stock = 1000000000
[[pool.prize]]
id = "thanks"
kind = "none"
stock = 1000000000
"""


def campaign_file(id: str = "bench", *, pools: int = 2, entry: str = "") -> CampaignFile:
    """A campaign of decks that never run dry; ``entry`` is a line of TOML that stands in each pool."""
    decks = "".join(_DECK.format(no=no, entry=entry) for no in range(pools))
    return parse(_CAMPAIGN.format(id=id) + decks)


def plan_of(file: CampaignFile) -> Plan:
    """The plan of a file that no store knows."""
    return compile_plan(file, no=1, previous=None)


def claim(plan: Plan, lot: int, serial: int) -> Claim:
    """The claim that the service would make of this code's scan, of one of the members."""
    entered = tuple(
        Entered(pool.id, pool.no, TABLE.draw(KID, lot, serial, pool.id.encode())) for pool in plan.pools
    )
    return Claim(
        scan_id=TABLE.scan_id(KID, lot, serial),
        lot=lot,
        serial=serial,
        plan=plan,
        pools=entered,
        member=f"member-{serial % MEMBERS}",
        channel="mini",
    )


def accepted_reply(at_ms: int) -> bytes:
    """The store's reply to a claim that was accepted, with two prizes (``scanner.ledger.records``)."""
    record = _HEAD.pack(at_ms >> 32, at_ms & 0xFFFFFFFF, 1, b"a member", b"details.")
    return b"A" + record + bytes((1, 1, 2, 2))
