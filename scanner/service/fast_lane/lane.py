"""What the fast lane asks in Python: what is new to it, and what is not answered in one go."""

import asyncio
import logging
from functools import partial

from pydantic import ValidationError

from scanner.campaigns import Facts, pools_entered, standing
from scanner.codes import CodeId, NoCodeError, check, pin_matches, read
from scanner.identity import UnauthorizedError
from scanner.ledger.claims import parse_answer
from scanner.ledger.frames import NO_TIME, Entered
from scanner.ledger.records import member_digest
from scanner.service.batcher import Batcher
from scanner.service.desk import SERVICE, Desk, trace_of
from scanner.service.fast_lane._native import Context, Known, Native, Scan
from scanner.service.fast_lane.connection import FastProtocol
from scanner.service.guard import Guard
from scanner.service.heads import head_of
from scanner.service.metrics import Cells
from scanner.service.problems import Answer, problem
from scanner.service.refusals import REFUSED, answer_to
from scanner.service.requests import Location
from scanner.service.scans import Scans, Seen, located
from scanner.settings import Settings

log = logging.getLogger("scanner")


class FastLane(Native):
    """The lane of one worker. The methods here are called by the native ones."""

    def __init__(
        self, desk: Desk, scans: Scans, guard: Guard, batcher: Batcher, cells: Cells, settings: Settings
    ) -> None:
        super().__init__(desk, guard, batcher.offer, batcher.admission, cells, settings)
        self.use(desk, scans, guard)
        self._later: set[asyncio.Task[None]] = set()

    def use(self, desk: Desk, scans: Scans, guard: Guard) -> None:
        """Judges what comes from now on with these keys; what is under way keeps those it began with."""
        self._desk, self._guard = desk, guard
        super().use(desk, scans, guard)

    @property
    def connection(self) -> partial[FastProtocol]:
        return partial(FastProtocol, self)

    def recognise(self, authorization: str, now_s: float) -> Known | None:
        """Who sends this header; None for a service. Raises UnauthorizedError."""
        member, expires_s = self._desk.token_keys.until(authorization, now_s=now_s)
        if member.role == SERVICE:
            return None
        return Known(member, member_digest(member.id), expires_s, self._guard.key_of(member))

    def traced(self, traceparent: str) -> str:
        return trace_of(traceparent)

    def carried(self, text: str) -> tuple[int, str | None]:
        """The number of the code in a text that is not a bare one, or its fault; a Digital Link's GTIN."""
        try:
            carrier = read(text)
        except NoCodeError:
            return -1, None
        return check(self._desk.table, carrier), carrier.gtin

    def located(self, location: object) -> str | None:
        """A place as the ledger has it; None where it is none."""
        try:
            return located(Location.model_validate(location))
        except ValidationError:
            return None

    def is_pin_of(self, number: int, pin: str) -> bool:
        return pin_matches(self._desk.table, CodeId.unpack(number), pin)

    def context_of(self, lot_no: int, known: Known, channel: str, at_ms: int) -> Context | None:
        """What scans of a lot share for now; None where its campaign is not known yet."""
        directory, member = self._desk.directory, known.member
        lot = directory.lots[lot_no]
        campaign = directory.campaigns.get(lot.campaign)
        if campaign is None:
            return None
        plan = campaign.plan
        facts = Facts(
            member.role, member.tier, lot.product, channel, member.seller or lot.seller, member.inviter
        )
        pools = pools_entered(plan, facts, at_ms)
        return Context(
            lot,
            plan,
            [Entered(pool.id, pool.no, 0) for pool in pools],
            [campaign.pools[pool.no][1] for pool in pools],
            standing(plan, at_ms) if plan.timed else NO_TIME,
            not member.seller,
        )

    def later(self, scan: Scan, reply: bytes) -> None:
        """Answers what is not simply accepted."""
        task = asyncio.get_running_loop().create_task(self._settle(scan, reply))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _settle(self, scan: Scan, reply: bytes) -> None:
        try:
            code = CodeId.unpack(scan.number)
            seen = Seen(code, scan.scan_id, scan.known.member, scan.channel, scan.loc, scan.trace)
            lot = self._desk.directory.lots[code.lot]
            answer = await scan.scans.settled(seen, lot, parse_answer(reply))
        except Exception as error:
            self.refuse(scan.connection, error, scan.began)
        else:
            self._guard.count(scan.known.key, scan.address, answer.outcome)
            self._send(scan.connection, answer, scan.began)

    def refuse_token(
        self, connection: FastProtocol, error: UnauthorizedError, address: int, began: float
    ) -> None:
        self._send(connection, self._guard.refuses_token(error, address), began)

    def refuse(self, connection: FastProtocol, error: Exception, began: float) -> None:
        """Answers an error; one that is no refusal is a fault of ours."""
        if isinstance(error, REFUSED):
            self._send(connection, answer_to(error), began)
        else:
            log.error("a request failed", exc_info=error)
            self._send(connection, problem("internal_error"), began)

    def give_up(self, connection: FastProtocol, error: Exception) -> None:
        """Ends a connection that failed between two requests."""
        log.error("a connection failed", exc_info=error)
        connection.force_close()

    def _send(self, connection: FastProtocol, answer: Answer, began: float) -> None:
        head = head_of(answer.status, answer.content_type, tuple(answer.headers.items()))
        try:
            self.send(connection, head, answer.body)
            self.answered(connection)
        except Exception as error:  # never into the batch, where others wait for their answers
            self.give_up(connection, error)
        self.observe(answer.outcome, began)
