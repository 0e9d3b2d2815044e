"""The brand's state as a fold over its stream: a plain model that shares no code with the store's functions.

Each entry is judged by the rules in force at its place in the stream, and what does not add up is noted as a
difference. Given the code keys, every draw is recomputed; without them, it is checked that what was drawn
could be drawn.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from scanner.campaigns import (
    Plan,
    PlanPool,
    PlanPrize,
    compare,
    compile_plan,
    from_canonical,
    pools_entered,
)
from scanner.campaigns.draw import draw
from scanner.codes import KeyTable
from scanner.errors import ScannerError
from scanner.ledger.claims import Record, details_digest, member_digest
from scanner.ledger.lots import SIZE_MAX
from scanner.ledger.state import ReplayedCampaign, ReplayedLot, ReplayedPool

Fields = Mapping[str, str]


class Difference(NamedTuple):
    """Something that does not add up: where (an entry's id or a key), in which campaign, and what."""

    where: str
    campaign: str
    text: str


class ReplayError(ScannerError):
    """An entry cannot be what the functions wrote; the message says why."""


class ExpectedClaim(NamedTuple):
    """The claim record that an accepted scan must have left in the store."""

    entry: str
    campaign: str
    lot: int
    serial: int
    record: Record


class Replay:
    """Folds the stream's entries, in order. ``differences`` grows by what does not add up."""

    def __init__(self, table: KeyTable | None = None) -> None:
        self._table = table
        self.entries = 0
        self.campaigns: dict[str, ReplayedCampaign] = {}
        self.lots: dict[int, ReplayedLot] = {}
        self.differences: list[Difference] = []

    def fold(self, entry: str, fields: Fields) -> ExpectedClaim | None:
        """Takes one entry; returns the claim that it must have left, if it is an accepted scan."""
        self.entries += 1
        try:
            kind = fields["type"]
            if kind == "scan.accepted":
                return self._scan(entry, fields)
            if kind not in _CHANGES:
                raise ReplayError(f"no entry of type {kind!r} is known")
            _CHANGES[kind](self, fields)
        except Exception as error:  # an entry changed by hand may be wrong in any way, and must be named
            text = (
                str(error) if isinstance(error, ReplayError) else f"it does not read as an entry: {error!r}"
            )
            self.differences.append(Difference(entry, fields.get("campaign", ""), text))
        return None

    def _campaign_applied(self, fields: Fields) -> None:
        file = from_canonical(fields["file"].encode())
        id = file.campaign.id
        before = self.campaigns.get(id)
        plan = compile_plan(file, no=int(fields["no"]), previous=before.plan if before else None)
        if fields["campaign"] != id or plan.version != fields["rules"]:
            raise ReplayError(f"the file does not have the version {fields['rules']} that the entry names")
        if any(other.plan.no == plan.no for name, other in self.campaigns.items() if name != id):
            raise ReplayError(f"the campaign number {plan.no} is another campaign's")
        after = ReplayedCampaign(file, plan, before.scans if before else 0)
        started = before is not None and before.plan.starts_ms <= int(fields["at"])
        refusals = compare(before.file, file, started=started).refusals if before else []
        for pool in plan.pools:
            old = before.pools.get(pool.id) if before and started else None
            after.pools[pool.id] = old.refilled(pool) if old else ReplayedPool.filled(pool)
        self.campaigns[id] = after
        if refusals:
            raise ReplayError(f"this change takes away from participants: {refusals[0]}")

    def _lot_registered(self, fields: Fields) -> None:
        no, size = int(fields["lot"]), int(fields["size"])
        if no in self.lots:
            raise ReplayError(f"lot {no} is registered twice")
        if not 1 <= size <= SIZE_MAX:
            raise ReplayError(f"lot {no} cannot have {size} codes")
        self._known_campaign(fields["campaign"])
        self.lots[no] = ReplayedLot(
            kid=int(fields["kid"]),
            size=size,
            product=fields["product"],
            campaign=fields["campaign"],
            pin=fields["pin"] == "1",
            claimed=bytearray((size + 7) // 8),
        )

    def _lot_activated(self, fields: Fields) -> None:
        lot, first, last = self._lot(fields), int(fields["from"]), int(fields["to"])
        if lot.blocked or not 0 <= first <= last < lot.size:
            raise ReplayError(f"lot {fields['lot']} could not be activated from {first} to {last}")
        lot.activate(first, last)

    def _lot_blocked(self, fields: Fields) -> None:
        self._lot(fields).blocked = True

    def _lot_moved(self, fields: Fields) -> None:
        self._known_campaign(fields["campaign"])
        lot = self._lot(fields)
        if lot.campaign != fields["from_campaign"]:
            raise ReplayError(f"lot {fields['lot']} belonged to campaign {lot.campaign}")
        lot.campaign = fields["campaign"]

    def _lot(self, fields: Fields) -> ReplayedLot:
        lot = self.lots.get(int(fields["lot"]))
        if lot is None:
            raise ReplayError(f"lot {fields['lot']} was never registered")
        return lot

    def _known_campaign(self, id: str) -> ReplayedCampaign:
        if id not in self.campaigns:
            raise ReplayError(f"campaign {id} was never applied")
        return self.campaigns[id]

    def _scan(self, entry: str, fields: Fields) -> ExpectedClaim:
        """An accepted scan. Differences are noted, and the entry is folded all the same: it was answered."""
        lot, campaign = self._lot(fields), self._known_campaign(fields["campaign"])
        serial, at = int(fields["serial"]), int(fields["at"])
        wrong = [*self._wrong_about_code(lot, campaign, fields, serial, at)]
        drawn = _drawn(campaign.plan, fields)
        wrong += self._wrong_about_draws(campaign, lot, int(fields["lot"]), serial, drawn)
        self.differences += [Difference(entry, fields["campaign"], text) for text in wrong]
        lot.claim(serial)
        campaign.scans += 1
        return ExpectedClaim(
            entry,
            fields["campaign"],
            int(fields["lot"]),
            serial,
            Record(
                at,
                campaign.plan.no,
                member_digest(fields["member"]),
                details_digest(
                    *(
                        fields.get(name, "")
                        for name in ("role", "tier", "channel", "seller", "inviter", "loc", "trace")
                    )
                ),
                tuple((pool.no, prize.no) for pool, prize in drawn),
            ),
        )

    def _wrong_about_code(
        self, lot: ReplayedLot, campaign: ReplayedCampaign, fields: Fields, serial: int, at: int
    ) -> list[str]:
        name, plan = f"lot {fields['lot']}, serial {serial}", campaign.plan
        if not 0 <= serial < lot.size:
            raise ReplayError(f"{name}: the lot has {lot.size} codes")
        checks = [
            (lot.is_claimed(serial), f"{name} was accepted before"),
            (lot.blocked, f"{name} was accepted although the lot is blocked"),
            (not any(a <= serial <= b for a, b in lot.active), f"{name} was accepted before it was active"),
            (lot.campaign != fields["campaign"], f"{name} belonged to campaign {lot.campaign}"),
            (plan.version != fields["rules"], f"the rules in force were {plan.version}"),
            (lot.product != fields["product"], f"the lot's product is {lot.product}"),
            (not plan.starts_ms <= at <= plan.ends_ms, "it lies outside the campaign's time"),
        ]
        if self._table is not None:
            scan_id = self._table.scan_id(lot.kid, int(fields["lot"]), serial)
            checks.append((scan_id != fields["id"], f"{name} has the scan_id {scan_id}"))
        return [text for is_wrong, text in checks if is_wrong]

    def _wrong_about_draws(
        self,
        campaign: ReplayedCampaign,
        lot: ReplayedLot,
        lot_no: int,
        serial: int,
        drawn: list[tuple[PlanPool, PlanPrize]],
    ) -> list[str]:
        """Takes what was drawn out of the pools, and says what could not be drawn."""
        wrong = []
        won = {pool.id: prize for pool, prize in drawn}
        if len(won) != len(drawn):
            wrong.append("two prizes were drawn from one pool")
        for pool in pools_entered(campaign.plan):
            state = campaign.pools[pool.id]
            prize = won.get(pool.id)
            if self._table is not None:
                due = draw(pool, state.left, self._table.draw(lot.kid, lot_no, serial, pool.id.encode()))
                if due != prize:
                    wrong.append(
                        f"pool {pool.id}: the draw gives {_name(due)}, the entry says {_name(prize)}"
                    )
            elif pool.draw == "every" and draw(pool, state.left, 0) != prize:
                wrong.append(
                    f"pool {pool.id}: {_name(draw(pool, state.left, 0))} was due, not {_name(prize)}"
                )
            elif pool.draw == "deck" and prize is None and any(state.left.values()):
                wrong.append(f"pool {pool.id}: nothing was drawn although the deck was not empty")
            if prize is not None:
                left = state.left[prize.id]
                if left is not None:
                    state.left[prize.id] = left - 1
                    if left < 1:
                        wrong.append(f"pool {pool.id}: {prize.id} was given although none was left")
                state.given[prize.id] += 1
        return wrong


_CHANGES = {
    "campaign.applied": Replay._campaign_applied,
    "lot.registered": Replay._lot_registered,
    "lot.activated": Replay._lot_activated,
    "lot.blocked": Replay._lot_blocked,
    "lot.moved": Replay._lot_moved,
}


def _name(prize: PlanPrize | None) -> str:
    return prize.id if prize else "nothing"


def _drawn(plan: Plan, fields: Fields) -> list[tuple[PlanPool, PlanPrize]]:
    """What an entry says was drawn, blanks included, in the order of the plan's pools."""
    by_id = {(pool.id, prize.id): (pool, prize) for pool in plan.pools for prize in pool.prizes}
    awards = json.loads(fields["awards"])
    drawn = []
    for award in awards:
        pair = by_id.get((award["pool"], award["prize"]))
        if pair is None:
            raise ReplayError(f"there is no prize {award['pool']}/{award['prize']}")
        if json.loads(pair[1].award or "null") != award:
            raise ReplayError(
                f"the award {award['pool']}/{award['prize']} is not the one of the campaign file"
            )
        drawn.append(pair)
    for name in json.loads(fields.get("blanks", "[]")):
        pool, _, prize = name.partition("/")
        pair = by_id.get((pool, prize))
        if pair is None or pair[1].award:
            raise ReplayError(f"there is no blank {name}")
        drawn.append(pair)
    places = {pool.id: place for place, pool in enumerate(plan.pools)}
    return sorted(drawn, key=lambda pair: places[pair[0].id])
