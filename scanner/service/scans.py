"""One scan, from its bytes to its answer. Knows nothing of HTTP but the status."""

from functools import partial
from typing import NamedTuple

import orjson

from scanner.campaigns import Facts, pools_entered, standing
from scanner.codes import CodeId, Share, ShareKeys, pin_matches
from scanner.identity import Member
from scanner.ledger.claims import Answer as StoreAnswer
from scanner.ledger.claims import Verdict
from scanner.ledger.directory import KnownCampaign
from scanner.ledger.frames import NO_TIME, Claim, Entered, WrongPin
from scanner.ledger.lots import Lot
from scanner.ledger.records import Record
from scanner.service.answers import accepted
from scanner.service.desk import Desk, trace_of
from scanner.service.problems import Answer, problem
from scanner.service.refusals import REFUSED, RefusedError, answer_to, refusal
from scanner.service.requests import Location, ScanRequest, parse


class Seen(NamedTuple):
    """A scan as it was checked: a genuine code, a member, and what else was said; what is absent is empty."""

    code: CodeId
    scan_id: str
    member: Member
    channel: str = ""
    loc: str = ""
    trace: str = ""


class Scans:
    """Answers scans of one brand."""

    def __init__(self, desk: Desk, share_keys: ShareKeys) -> None:
        self._desk = desk
        self._share_keys = share_keys

    async def answer(self, authorization: str, body: bytes, traceparent: str = "", _: str = "") -> Answer:
        """The answer to ``POST /v1/scans`` with this ``Authorization`` header and body."""
        try:
            # Before the code is looked at: who has no token must not learn which codes are genuine.
            member = self._desk.member(authorization)
            request = parse(ScanRequest, body)
        except REFUSED as error:
            return answer_to(error)
        return await self.scan(member, request, trace_of(traceparent))

    async def scan(self, member: Member, request: ScanRequest, trace: str = "") -> Answer:
        """The answer to one scan of a member who is who they say."""
        found = self._desk.identify(request.code)
        if isinstance(found, Answer):
            return found
        code, gtin = found
        try:
            lot = await self._desk.lot_of(code, gtin)
            if lot.pin:
                await self._check_pin(code, member, request.pin)
            return await self._claim(code, lot, member, request, trace)
        except REFUSED as error:
            return answer_to(error)

    async def _check_pin(self, code: CodeId, member: Member, pin: str | None) -> None:
        """Raises RefusedError for a PIN that is missing or wrong; wrong ones are counted."""
        if pin is None:
            raise RefusedError(problem("pin_required"))
        if not pin_matches(self._desk.table, code, pin):
            tried = await self._desk.lane.submit(WrongPin(code.lot, code.serial, member.id))
            raise RefusedError(refusal(tried, now_s=self._desk.clock()))

    async def _claim(
        self, code: CodeId, lot: Lot, member: Member, request: ScanRequest, trace: str
    ) -> Answer:
        desk = self._desk
        loc = located(request.location) if request.location else ""
        seen = Seen(code, desk.table.scan_id(*code), member, request.channel or "", loc, trace)
        # The first time goes straight to the batch: next to no scan is judged again.
        claim = self._judge(seen, int(desk.clock() * 1000))
        answer = await desk.lane.submit(claim) if claim else None
        return await self.settled(seen, lot, answer)

    async def settled(self, seen: Seen, lot: Lot, answer: StoreAnswer | None) -> Answer:
        """The answer to a scan for which the store had this one, if it was asked. Raises as ``settle``."""
        desk = self._desk
        if answer is None or answer.record is None:
            answer = await desk.settle(partial(self._judge, seen), answer)
        if answer.record is not None:
            return await self._accepted(seen, lot, answer.record, replayed=answer.verdict is Verdict.REPLAYED)
        campaign = desk.directory.campaigns[desk.directory.lots[seen.code.lot].campaign]
        return refusal(answer, now_s=desk.clock(), starts_ms=campaign.plan.starts_ms)

    def _judge(self, seen: Seen, at_ms: int) -> Claim | None:
        code, scan_id, member, channel, loc, trace = seen
        directory = self._desk.directory
        lot = directory.lots[code.lot]
        campaign = directory.campaigns.get(lot.campaign)
        if campaign is None:
            return None
        plan = campaign.plan
        seller = member.seller or lot.seller
        facts = Facts(member.role, member.tier, lot.product, channel, seller, member.inviter)
        return Claim(
            scan_id=scan_id,
            lot=code.lot,
            serial=code.serial,
            plan=plan,
            pools=self._entered(code, campaign, facts, at_ms),
            member=member.id,
            role=member.role,
            tier=member.tier,
            channel=channel,
            seller=seller,
            inviter=member.inviter,
            loc=loc,
            trace=trace,
            standing=standing(plan, at_ms) if plan.timed else NO_TIME,
            seller_is_lots=not member.seller and bool(seller),
            pinned=lot.pin,
        )

    def _entered(
        self, code: CodeId, campaign: KnownCampaign, facts: Facts, at_ms: int
    ) -> tuple[Entered, ...]:
        table, entered = self._desk.table, []
        for pool in pools_entered(campaign.plan, facts, at_ms):
            id, is_lucky = campaign.pools[pool.no]
            if is_lucky:
                entered.append(Entered(pool.id, pool.no, *table.draw_pair(*code, id)))
            else:
                entered.append(Entered(pool.id, pool.no, table.draw(*code, id)))
        return tuple(entered)

    async def _accepted(self, seen: Seen, lot: Lot, record: Record, *, replayed: bool) -> Answer:
        campaign = await self._desk.directory.campaign_of(record)
        share = ""
        if record.shared:
            token = self._share_keys.seal(Share(seen.code, record.campaign_no, record.shared, record.at_ms))
            share = f',"share":"{token}"'
        return accepted(
            "accepted",
            "scan_id",
            seen.scan_id,
            campaign,
            record,
            replayed=replayed,
            at_name="scanned_at",
            first=f'"product":"{lot.product}",',
            last=share,
        )


def located(location: Location) -> str:
    """A place as it stands in the ledger."""
    return orjson.dumps(location.model_dump()).decode()
