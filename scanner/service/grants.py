"""A grant: a service gives a member a prize that is locked until a scan of theirs unlocks it."""

from functools import partial

import orjson

from scanner.campaigns import standing
from scanner.identity import Member
from scanner.ledger.claims import Verdict
from scanner.ledger.frames import Kind, Request, request_field
from scanner.ledger.records import details_digest, digest, public_id
from scanner.service.answers import accepted, timestamp
from scanner.service.desk import Desk, trace_of
from scanner.service.problems import Answer
from scanner.service.refusals import REFUSED, answer_to, refusal
from scanner.service.requests import GrantRequest, parse

_OUTCOMES = {Verdict.NOTHING_LEFT: "sold_out"}


class Grants:
    """Answers grants. ``minting_kid`` is the key that their numbers come from."""

    def __init__(self, desk: Desk, minting_kid: int) -> None:
        self._desk = desk
        self._kid = minting_kid

    async def answer(self, authorization: str, body: bytes, traceparent: str = "", _: str = "") -> Answer:
        """The answer to ``POST /v1/grants`` with this ``Authorization`` header and body."""
        try:
            service = self._desk.service(authorization)
            request = parse(GrantRequest, body)
            return await self._grant(service, request, trace_of(traceparent))
        except REFUSED as error:
            return answer_to(error)

    async def _grant(self, service: Member, request: GrantRequest, trace: str) -> Answer:
        desk = self._desk
        key = digest("grant", service.id, request.request_id)
        answer = await desk.settle(partial(self._judge, service, request, trace, key), unknown="unknown_pool")
        record = answer.record
        if record is None:
            plan = desk.directory.campaigns[request.campaign].plan
            return refusal(answer, now_s=desk.clock(), starts_ms=plan.starts_ms, outcomes=_OUTCOMES)
        campaign = await desk.directory.campaign_of(record)
        # A pool's `expires_after` never changes once its campaign has started.
        expires_ms = record.at_ms + campaign.plan.by_id[request.pool].expires_after
        return accepted(
            "granted",
            "grant_id",
            public_id(key),
            campaign,
            record,
            replayed=answer.verdict is Verdict.REPLAYED,
            at_name="granted_at",
            first=f'"pool":"{request.pool}","member":{orjson.dumps(request.member).decode()},',
            then=f'"expires_at":"{timestamp(expires_ms)}",',
        )

    def _judge(
        self, service: Member, request: GrantRequest, trace: str, key: bytes, at_ms: int
    ) -> Request | None:
        desk = self._desk
        campaign = desk.directory.campaigns.get(request.campaign)
        pool = campaign and campaign.plan.by_id.get(request.pool)
        if not campaign or not pool or pool.draw != "locked":
            return None
        plan = campaign.plan
        return Request(
            kind=Kind.GRANT,
            key=desk.names.requests(key),
            slot=request_field(key),
            plan=plan,
            standing=standing(plan, at_ms),
            pools=(desk.entered(campaign, pool, self._kid, "grant", service.id, request.request_id),),
            id=public_id(key),
            member=request.member,
            details=details_digest("grant", plan.id, pool.id, request.member),
            said={
                "pool": pool.id,
                "request": request.request_id,
                "by": service.id,
                "kid": str(self._kid),
                "trace": trace,
            },
        )
