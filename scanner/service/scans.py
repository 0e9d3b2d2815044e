"""One scan, from its bytes to its answer. Knows nothing of HTTP but the status."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from scanner.campaigns import pools_entered
from scanner.codes import FORGED, MALFORMED, Carrier, CodeId, KeyTable, NoCodeError, check, pin_matches, read
from scanner.errors import StoreUnavailableError
from scanner.identity import Member, TokenKeys, UnauthorizedError
from scanner.ledger.claims import Claim, Entered, Record, Verdict
from scanner.ledger.directory import Directory, KnownCampaign
from scanner.ledger.lots import Lot
from scanner.service.batcher import Batcher, OverloadedError
from scanner.service.problems import JSON, Answer, problem
from scanner.service.requests import MalformedError, ScanRequest, parse_scan

# A campaign that changes while a scan is judged is judged anew; one that keeps changing is given up on.
JUDGED_AGAIN_MAX = 3
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VERDICTS = {
    Verdict.BLOCKED: "blocked",
    Verdict.NOT_ACTIVE: "not_active",
    Verdict.OVER: "campaign_over",
    Verdict.NOT_READY: "unavailable",
}


class Scans:
    """Answers scans of one brand."""

    def __init__(
        self,
        table: KeyTable,
        token_keys: TokenKeys,
        directory: Directory,
        batcher: Batcher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._token_keys = token_keys
        self._directory = directory
        self._batcher = batcher
        self._clock = clock

    async def answer(self, authorization: str, body: bytes, traceparent: str = "") -> Answer:
        """The answer to ``POST /v1/scans`` with this ``Authorization`` header and body."""
        scheme, _, token = authorization.partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise UnauthorizedError("no bearer token")
            # Before the code is looked at: who has no token must not learn which codes are genuine.
            member = self._token_keys.verify(token.strip(), now_s=self._clock())
            request = parse_scan(body)
            carrier = read(request.code)
        except UnauthorizedError:
            return problem("unauthorized")
        except (MalformedError, NoCodeError) as error:
            detail = str(error)
            return problem(
                "malformed", detail=detail if isinstance(error, MalformedError) else f"code: {detail}"
            )
        number = check(self._table, carrier)
        if number == MALFORMED:
            return problem("malformed", detail="code: there is no code in this text")
        if number == FORGED:
            return problem("unknown_code")
        trace = traceparent if _TRACEPARENT.fullmatch(traceparent) else ""
        try:
            return await self._genuine(CodeId.unpack(number), carrier, member, request, trace)
        except OverloadedError:
            return problem("overloaded")
        except StoreUnavailableError:
            return problem("unavailable")

    async def _genuine(
        self, code: CodeId, carrier: Carrier, member: Member, request: ScanRequest, trace: str
    ) -> Answer:
        lot = self._directory.lots.get(code.lot)
        if lot is None:
            await self._directory.refresh()  # it may have been registered a moment ago
            lot = self._directory.lots.get(code.lot)
        if not self._directory.loaded:
            return problem("unavailable")
        if lot is None or code.kid != lot.kid or code.serial >= lot.size:
            return problem("unknown_code")
        if carrier.gtin is not None and carrier.gtin != lot.product:
            return problem("unknown_code")
        if lot.pin:
            if request.pin is None:
                return problem("pin_required")
            if not pin_matches(self._table, code, request.pin):
                return problem("pin_wrong")
        return await self._claim(code, lot, member, request, trace)

    async def _claim(
        self, code: CodeId, lot: Lot, member: Member, request: ScanRequest, trace: str
    ) -> Answer:
        scan_id = self._table.scan_id(*code)
        loc = orjson.dumps(request.location.model_dump()).decode() if request.location else ""
        for _ in range(JUDGED_AGAIN_MAX):
            campaign = self._directory.campaigns.get(lot.campaign)
            if campaign is None:
                return problem("unavailable")
            plan = campaign.plan
            answer = await self._batcher.submit(
                Claim(
                    scan_id=scan_id,
                    lot=code.lot,
                    serial=code.serial,
                    campaign=plan.id,
                    rules=plan.version,
                    pools=tuple(
                        Entered(pool.id, pool.no, self._table.draw(*code, campaign.pool_ids[pool.id]))
                        for pool in pools_entered(plan)
                    ),
                    member=member.id,
                    role=member.role,
                    tier=member.tier,
                    channel=request.channel or "",
                    seller=member.seller,
                    inviter=member.inviter,
                    loc=loc,
                    trace=trace,
                )
            )
            verdict = answer.verdict
            if answer.record is not None:
                return await self._accepted(scan_id, lot, answer.record, replayed=verdict is Verdict.REPLAYED)
            if verdict is Verdict.CLAIMED:
                return problem("claimed", first_scanned_at=timestamp(answer.at_ms))
            if verdict is Verdict.NOT_STARTED:
                return problem("not_active", starts_at=timestamp(plan.starts_ms))
            if verdict is not Verdict.STALE:
                return problem(_VERDICTS[verdict])
            await self._directory.refresh()
            lot = self._directory.lots[code.lot]
        return problem("unavailable")

    async def _accepted(self, scan_id: str, lot: Lot, record: Record, *, replayed: bool) -> Answer:
        campaign = self._directory.by_number.get(record.campaign_no)
        if campaign is None or any(pair not in campaign.awards for pair in record.drawn):
            await self._directory.refresh()  # claimed by another worker under rules that are new to this one
            campaign = self._directory.by_number[record.campaign_no]
        return Answer(
            "replayed" if replayed else "accepted",
            200,
            accepted_body(scan_id, campaign, lot.product, record, replayed=replayed),
            JSON,
        )


def accepted_body(
    scan_id: str, campaign: KnownCampaign, product: str, record: Record, *, replayed: bool
) -> bytes:
    """The answer to an accepted scan: a function of the claim record, so that a repeat is equal to the byte.

    No string in it needs escaping: ids, a GTIN and a time; and the awards are JSON already.
    """
    awards = ",".join(filter(None, (campaign.awards[pair] for pair in record.drawn)))
    return (
        f'{{"outcome":"accepted","scan_id":"{scan_id}","replayed":{"true" if replayed else "false"},'
        f'"campaign":"{campaign.plan.id}","product":"{product}",'
        f'"scanned_at":"{timestamp(record.at_ms)}","awards":[{awards}]}}'
    ).encode()


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=1024)  # most of what is answered happened within the same few seconds
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
