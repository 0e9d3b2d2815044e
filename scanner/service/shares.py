"""A friend opens a shared packet, by the token that the scan's answer had."""

from functools import partial

from scanner.campaigns import standing
from scanner.codes import Share, ShareKeys
from scanner.identity import Member
from scanner.ledger.claims import Verdict
from scanner.ledger.frames import Kind, Request
from scanner.ledger.records import details_digest, digest, member_digest, public_id
from scanner.service.answers import accepted
from scanner.service.desk import Desk, trace_of
from scanner.service.problems import Answer, problem
from scanner.service.refusals import REFUSED, RefusedError, answer_to, refusal
from scanner.service.requests import ShareClaimRequest, parse

_OUTCOMES = {Verdict.NOTHING_LEFT: "share_used_up", Verdict.OVER: "share_over"}


class Shares:
    """Answers friends' claims."""

    def __init__(self, desk: Desk, share_keys: ShareKeys) -> None:
        self._desk = desk
        self._share_keys = share_keys

    async def answer(self, authorization: str, body: bytes, traceparent: str, token: str) -> Answer:
        """The answer to ``POST /v1/shares/{token}/claims`` with this ``Authorization`` header and body."""
        try:
            friend = self._desk.member(authorization)
            request = parse(ShareClaimRequest, body or b"{}")
            share = self._share_keys.open(token)
            if share is None:
                raise RefusedError(problem("unknown_share"))
            return await self._claim(share, friend, request.channel or "", trace_of(traceparent))
        except REFUSED as error:
            return answer_to(error)

    async def _claim(self, share: Share, friend: Member, channel: str, trace: str) -> Answer:
        desk = self._desk
        scan_id = desk.table.scan_id(*share.code)
        key = digest("share", scan_id, friend.id)
        judge = partial(self._judge, share, scan_id, friend, channel, trace, public_id(key))
        answer = await desk.settle(judge, unknown="unknown_share")
        record = answer.record
        if record is None:
            plan = desk.directory.by_number[share.campaign_no].plan
            return refusal(answer, now_s=desk.clock(), starts_ms=plan.starts_ms, outcomes=_OUTCOMES)
        campaign = await desk.directory.campaign_of(record)
        return accepted(
            "accepted",
            "claim_id",
            public_id(key),
            campaign,
            record,
            replayed=answer.verdict is Verdict.REPLAYED,
            at_name="opened_at",
            first=f'"pool":"{campaign.plan.by_no[share.pool_no].id}",',
        )

    def _judge(
        self, share: Share, scan_id: str, friend: Member, channel: str, trace: str, id: str, at_ms: int
    ) -> Request | None:
        desk, (kid, lot, serial) = self._desk, share.code
        campaign = desk.directory.by_number.get(share.campaign_no)
        pool = campaign and campaign.plan.shared
        if not campaign or not pool or pool.no != share.pool_no:
            return None
        entered = [desk.entered(campaign, pool, kid, "share", scan_id, friend.id)]
        if pool.giver:
            entered.append(desk.entered(campaign, pool, kid, "giver", scan_id))
        return Request(
            kind=Kind.FRIEND,
            key=desk.names.share(scan_id),
            slot=member_digest(friend.id),
            plan=campaign.plan,
            standing=standing(campaign.plan, at_ms),
            pools=tuple(entered),
            id=id,
            member=friend.id,
            details=details_digest(friend.role, friend.tier, channel, "", "", "", trace),
            scan_id=scan_id,
            said={
                "pool": pool.id,
                "share": scan_id,
                "lot": str(lot),
                "serial": str(serial),
                "kid": str(kid),
                "role": friend.role,
                "tier": friend.tier,
                "channel": channel,
                "trace": trace,
            },
        )
