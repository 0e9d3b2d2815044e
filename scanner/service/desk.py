"""What the endpoints share: who asks, which code is meant, and the way to the store and back."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from scanner.campaigns import PlanPool
from scanner.codes import FORGED, MALFORMED, CodeId, KeyTable, NoCodeError, check, read
from scanner.errors import StoreUnavailableError
from scanner.identity import Member, TokenKeys
from scanner.ledger.claims import Answer as StoreAnswer
from scanner.ledger.claims import Verdict
from scanner.ledger.directory import Directory, KnownCampaign
from scanner.ledger.frames import Asked, Entered
from scanner.ledger.keys import Keys
from scanner.ledger.lots import Lot
from scanner.ledger.records import digest
from scanner.service.batcher import Lane
from scanner.service.problems import Answer, problem
from scanner.service.refusals import RefusedError

SERVICE = "service"
"""The role of the brand's own services: they act for members, and are none."""
# What changes while a claim is judged is judged anew; what keeps changing is given up on.
JUDGED_AGAIN_MAX = 4
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Clock = Callable[[], float]
"""Gives Unix seconds."""
Judge = Callable[[int], Asked | None]
"""The claim as it is to be asked at a moment, ms since 1970; None where something is not known (yet)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A brand's keys, what is known of it, and a way to its store."""

    table: KeyTable
    token_keys: TokenKeys
    names: Keys
    directory: Directory
    lane: Lane
    clock: Clock = time.time

    def sender(self, authorization: str) -> Member:
        """Who sends this header, a member or a service. Raises UnauthorizedError."""
        return self.token_keys.bearer(authorization, now_s=self.clock())

    def member(self, authorization: str) -> Member:
        """The member who sends this header. Raises UnauthorizedError, and RefusedError for a service."""
        sender = self.token_keys.bearer(authorization, now_s=self.clock())
        if sender.role == SERVICE:
            raise RefusedError(problem("forbidden"))
        return sender

    def service(self, authorization: str) -> Member:
        """The service that sends this header. Raises UnauthorizedError, and RefusedError for a member."""
        sender = self.sender(authorization)
        if sender.role != SERVICE:
            raise RefusedError(problem("forbidden"))
        return sender

    def identify(self, text: str) -> tuple[CodeId, str | None] | Answer:
        """The genuine code in a text, and a Digital Link's GTIN; or the refusal of what is none."""
        try:
            carrier = read(text)
        except NoCodeError as error:
            return problem("malformed", detail=f"code: {error}")
        number = check(self.table, carrier)
        if number == MALFORMED:
            return problem("malformed", detail="code: there is no code in this text")
        if number == FORGED:
            return problem("unknown_code")
        return CodeId.unpack(number), carrier.gtin

    async def lot_of(self, code: CodeId, gtin: str | None) -> Lot:
        """The lot that a genuine code was issued in. Raises RefusedError where it was in none."""
        lot = await self.directory.lot_of(code, gtin)
        if not self.directory.loaded:
            raise RefusedError(problem("unavailable"))
        if lot is None:
            raise RefusedError(problem("unknown_code"))
        return lot

    def entered(self, campaign: KnownCampaign, pool: PlanPool, kid: int, *parts: str) -> Entered:
        """A pool that is entered by the numbers which these parts and the pool's id stand for."""
        u, v = self.table.draw_pair_of(kid, digest(*parts, pool.id))
        _, is_lucky = campaign.pools[pool.no]
        return Entered(pool.id, pool.no, u, v if is_lucky else None)

    async def settle(
        self, judge: Judge, answer: StoreAnswer | None = None, *, unknown: str = "unavailable"
    ) -> StoreAnswer:
        """The store's answer to a claim, which is judged anew where the store knows of another campaign than
        this process, or of another time. ``answer`` is the first one, where it was asked before.

        Raises:
            RefusedError: something is not known, also after a look at the store: the outcome ``unknown``.
            OverloadedError, StoreUnavailableError: it was not asked, or did not answer.
        """
        directory = self.directory
        if not directory.loaded:
            await directory.refresh()
        at_ms = int(self.clock() * 1000)
        looked = False
        for _ in range(JUDGED_AGAIN_MAX):
            if answer is None:
                claim = judge(at_ms)
                answer = await self.lane.submit(claim) if claim else None
            if answer is None and looked:
                raise RefusedError(problem(unknown))
            if answer is None or answer.verdict is Verdict.STALE:
                await directory.refresh()  # it may have been made, or changed, a moment ago
                looked = True
            elif answer.verdict is Verdict.OTHER_TIME:
                at_ms = answer.at_ms  # the store's clock is the one that counts
            else:
                return answer
            answer = None
        raise StoreUnavailableError("the campaign kept changing while a claim was judged")


def trace_of(traceparent: str) -> str:
    """The header where it is one (W3C Trace Context), else nothing: it goes into the ledger."""
    return traceparent if _TRACEPARENT.fullmatch(traceparent) else ""
