"""A draw by request: from a pool that is entered by draws, for a chance of the member's or for its price."""

from functools import partial

from scanner.campaigns import Facts, PlanPool, may_draw, standing
from scanner.campaigns.plan import compact
from scanner.identity import Member
from scanner.ledger.claims import Verdict
from scanner.ledger.frames import Kind, Request, request_field
from scanner.ledger.records import details_digest, digest, public_id
from scanner.service.answers import accepted
from scanner.service.desk import SERVICE, Desk, trace_of
from scanner.service.problems import Answer, problem
from scanner.service.refusals import REFUSED, RefusedError, answer_to, refusal
from scanner.service.requests import DrawRequest, MalformedError, parse

_OUTCOMES = {Verdict.NOTHING_LEFT: "no_chance"}


class Draws:
    """Answers draws. ``minting_kid`` is the key that their numbers come from."""

    def __init__(self, desk: Desk, minting_kid: int) -> None:
        self._desk = desk
        self._kid = minting_kid

    async def answer(self, authorization: str, body: bytes, traceparent: str = "", _: str = "") -> Answer:
        """The answer to ``POST /v1/draws`` with this ``Authorization`` header and body."""
        try:
            sender = self._desk.sender(authorization)
            request = parse(DrawRequest, body)
            member = _drawn_for(sender, request)
            return await self._draw(sender, member, request, trace_of(traceparent))
        except REFUSED as error:
            return answer_to(error)

    async def _draw(self, sender: Member, member: Member, request: DrawRequest, trace: str) -> Answer:
        desk = self._desk
        key = digest("draw", sender.id, request.request_id)
        judge = partial(self._judge, sender, member, request, trace, key)
        answer = await desk.settle(judge, unknown="unknown_pool")
        record = answer.record
        if record is None:
            plan = desk.directory.campaigns[request.campaign].plan
            if answer.verdict is Verdict.NO_ENTRY:
                _check_price(plan.by_id[request.pool], request)
            return refusal(answer, now_s=desk.clock(), starts_ms=plan.starts_ms, outcomes=_OUTCOMES)
        return accepted(
            "accepted",
            "draw_id",
            public_id(key),
            await desk.directory.campaign_of(record),
            record,
            replayed=answer.verdict is Verdict.REPLAYED,
            at_name="drawn_at",
            first=f'"pool":"{request.pool}",',
        )

    def _judge(
        self, sender: Member, member: Member, request: DrawRequest, trace: str, key: bytes, at_ms: int
    ) -> Request | None:
        desk = self._desk
        campaign = desk.directory.campaigns.get(request.campaign)
        pool = campaign and campaign.plan.by_id.get(request.pool)
        if not campaign or not pool or not pool.by_draw:
            return None
        plan, channel = campaign.plan, request.channel or ""
        facts = Facts(member.role, member.tier, channel=channel)
        paid = compact(request.paid.model_dump()) if request.paid else ""
        return Request(
            kind=Kind.DRAW,
            key=desk.names.requests(key),
            slot=request_field(key),
            plan=plan,
            standing=standing(plan, at_ms),
            pools=(desk.entered(campaign, pool, self._kid, "draw", sender.id, request.request_id),),
            id=public_id(key),
            member=member.id,
            details=details_digest("draw", plan.id, pool.id, member.id, paid),
            said={
                "pool": pool.id,
                "role": member.role,
                "tier": member.tier,
                "channel": channel,
                "request": request.request_id,
                "by": sender.id,
                "kid": str(self._kid),
                "paid": paid,
                "trace": trace,
            },
            paid=bool(paid),
            refused=not _is_price(pool, request) or not may_draw(pool, plan.timezone, facts, at_ms),
        )


def _drawn_for(sender: Member, request: DrawRequest) -> Member:
    """Who draws: the member whose token it is, or the one that a service names."""
    if sender.role != SERVICE:
        if any((request.member, request.role, request.tier, request.paid)):
            raise RefusedError(problem("forbidden"))
        return sender
    if request.member is None:
        raise MalformedError("Field required", "member")
    return Member(request.member, request.role or "", request.tier or "")


def _is_price(pool: PlanPool, request: DrawRequest) -> bool:
    return request.paid is None or request.paid.points == pool.price


def _check_price(pool: PlanPool, request: DrawRequest) -> None:
    if not _is_price(pool, request):
        price = "it has none" if pool.price is None else f"it is {pool.price}"
        raise MalformedError(f"Input should be the price of pool {pool.id}: {price}", "paid", "points")
