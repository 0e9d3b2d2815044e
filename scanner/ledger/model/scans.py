"""The model of a brand, and of its scans."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scanner.campaigns import Facts, PlanPool, pools_entered
from scanner.codes import to_pin
from scanner.ledger.model.draws import is_refused, not_running
from scanner.ledger.model.facts import NOTHING, Against, Drawn, Result, Said, ScanFacts
from scanner.ledger.model.limits import SCANS, Limits
from scanner.ledger.model.pools import ModelError, unlock
from scanner.ledger.model.requests import Requests, forget_packet
from scanner.ledger.model.state import CampaignState, LotState, Share
from scanner.ledger.records import Record, details_digest, member_digest

__all__ = ["Model", "ModelError"]


@dataclass(slots=True)
class _Scan:
    """A scan that is being judged."""

    facts: ScanFacts
    said: Said | None
    lot: LotState
    campaign: CampaignState
    member: bytes
    result: Result


class Model(Requests):
    """A brand. Its state is its attributes (`BrandState`); moments are ms since 1970."""

    def door(self, kid: int, lot: int, serial: int, *, gtin: str = "", pin: str | None = None) -> str:
        """The outcome that refuses a genuine code before the store is asked, or "".

        `gtin` is a Digital Link's. The limits of wrong PINs are not here: a wrong one is "pin_wrong".
        """
        known = self.lots.get(lot)
        if known is None or known.kid != kid or not 0 <= serial < known.size:
            return "unknown_code"
        if gtin not in ("", known.product):
            return "unknown_code"
        if known.pin:
            if pin is None:
                return "pin_required"
            if self._table is not None and pin != to_pin(self._table.pin(kid, lot, serial)):
                return "pin_wrong"
        return ""

    def scan(self, facts: ScanFacts, at_ms: int, said: Said | None = None) -> Result:
        """A scan at a moment. ModelError: there is no such code."""
        lot = self.known_lot(facts.lot)
        if not 0 <= facts.serial < lot.size:
            raise ModelError(f"lot {facts.lot}, serial {facts.serial}: the lot has {lot.size} codes")
        campaign = self.known_campaign(facts.campaign or lot.campaign)
        id = self._table.scan_id(lot.kid, facts.lot, facts.serial) if self._table else facts.id
        result = Result(at_ms=at_ms, id=id, campaign=campaign.plan.id)
        scan = _Scan(facts, said, lot, campaign, member_digest(facts.member), result)
        if said is None and lot.is_claimed(facts.serial):
            return self._claimed(scan)
        limits = Limits(campaign, scan.member, at_ms)
        if is_refused(result, _against(scan, limits), said):
            return result
        counted = self._enter_all(scan, limits)
        limits.count(counted)
        lot.claim(facts.serial)
        campaign.scans += 1
        result.record = _record(scan)
        self._remember((facts.lot, facts.serial), result)
        return result

    def _claimed(self, scan: _Scan) -> Result:
        first = self._remembered((scan.facts.lot, scan.facts.serial))
        assert first.record is not None, "it was accepted"
        if first.record.member == scan.member:
            return replace(first, verdict="replayed")
        return Result("claimed", first.at_ms, id=first.id)

    def _enter_all(self, scan: _Scan, limits: Limits) -> list[int]:
        """Pool after pool in the file's order; the numbers of what is to be counted."""
        facts, plan, at_ms = scan.facts, scan.campaign.plan, scan.result.at_ms
        rules = Facts(facts.role, facts.tier, scan.lot.product, facts.channel, _seller(scan), facts.inviter)
        entered = [
            pool
            for pool in pools_entered(plan, rules, at_ms)
            # Opening a packet for friends is no draw, so the limit of draws does not keep anybody from it.
            if pool.draw == "shared" or limits.reached(pool.no) is None
        ]
        counted = [SCANS, *(pool.no for pool in entered if self._enter(scan, pool))]
        if scan.said is not None:
            ids = {pool.id for pool in entered}
            for id in sorted(scan.said.drawn.keys() - ids):
                scan.result.wrong.append(f"pool {id}: the scan did not enter it")
                pool = plan.by_id[id]
                if pool.draw not in ("locked", "shared"):
                    self._draw_of_code(scan, pool)
        return counted

    def _enter(self, scan: _Scan, pool: PlanPool) -> bool:
        """A scan's turn in a pool. Whether it was a draw from it, which its limits count."""
        if pool.draw == "locked":
            return self._unlock(scan, pool)
        if pool.draw == "shared":
            self._open(scan, pool)
            return False
        self._draw_of_code(scan, pool)
        return True

    def _draw_of_code(self, scan: _Scan, pool: PlanPool) -> None:
        facts, numbers = scan.facts, None
        if self._table is not None:
            numbers = self._table.draw_pair(scan.lot.kid, facts.lot, facts.serial, pool.id.encode())
        result, campaign = scan.result, scan.campaign
        drawn = self._turn(result, campaign, pool, numbers, scan.said)
        self._award(campaign, pool, drawn, result.at_ms, prizes=result.prizes, member=scan.member)

    def _unlock(self, scan: _Scan, pool: PlanPool) -> bool:
        """Unlocks the member's oldest packet of the pool. Nothing is drawn, so nothing is believed."""
        campaign, result, said = scan.campaign, scan.result, scan.said
        wallet = campaign.wallets.get(scan.member)
        packets = wallet.packets.get(pool.no, {}) if wallet else {}
        now_ms = result.at_ms
        live = [(packet.at_ms, grant) for grant, packet in packets.items() if now_ms < packet.expires_ms]
        drawn = NOTHING
        if live:
            grant = min(live)[1]
            prize, amount = campaign.plan.prizes[pool.no, packets[grant].prize], packets[grant].amount
            drawn = Drawn(prize, amount)
            unlock(campaign, pool, prize, amount)
            forget_packet(campaign, scan.member, pool.no, grant)
            result.unlocked.append(grant)
            campaign.tally.packets_unlocked += 1
            self._award(
                campaign,
                pool,
                drawn,
                result.at_ms,
                prizes=result.prizes,
                member=scan.member,
                unlocked=True,
            )
        told = said.drawn.get(pool.id, NOTHING) if said else drawn
        if told != drawn:
            result.wrong.append(f"pool {pool.id}: {drawn} was to be unlocked, the entry says {told}")
        return bool(live)

    def _open(self, scan: _Scan, pool: PlanPool) -> None:
        """Opens a packet for friends: it is known by the scan."""
        facts, result = scan.facts, scan.result
        result.shared = pool.id
        self.shares[result.id] = Share(
            result.campaign, pool.id, facts.lot, facts.serial, facts.member, result.at_ms
        )
        scan.campaign.tally.shares_opened += 1


def _against(scan: _Scan, limits: Limits) -> Iterator[Against]:
    """What is wrong with a scan, in the order of docs/prizes.md."""
    facts, lot, result = scan.facts, scan.lot, scan.result

    def because(verdict: str, text: str) -> Against:
        return Against(verdict, f"lot {facts.lot}, serial {facts.serial} {text}")

    if lot.is_claimed(facts.serial):
        yield because("claimed", "was accepted before")
    if facts.must_wait:
        yield because("throttled", "was accepted although wrong PINs were tried")
    if lot.blocked:
        yield because("blocked", "was accepted although the lot is blocked")
    if not lot.is_active(facts.serial):
        yield because("not_active", "was accepted before it was active")
    if result.campaign != lot.campaign:
        yield because("unavailable", f"belonged to campaign {lot.campaign}")
    if facts.id and facts.id != result.id:
        yield because("unknown_code", f"has the scan_id {result.id}")
    yield from not_running(scan.campaign, result.at_ms)
    until_ms = limits.reached(SCANS)
    if until_ms is not None:
        yield Against("limit_reached", f"{facts.member} was at the campaign's limit", until_ms)


def _seller(scan: _Scan) -> str:
    return scan.facts.seller or scan.lot.seller


def _record(scan: _Scan) -> Record:
    """The claim record that the scan leaves."""
    facts, plan, result = scan.facts, scan.campaign.plan, scan.result
    details = details_digest(
        facts.role, facts.tier, facts.channel, _seller(scan), facts.inviter, facts.loc, facts.trace
    )
    shared = plan.by_id[result.shared].no if result.shared else 0
    return Record(result.at_ms, plan.no, scan.member, details, tuple(result.prizes.won), shared)
