"""What anybody with a token may know of a code without claiming it."""

import asyncio
from collections.abc import Iterator

import orjson

from scanner.errors import StoreUnavailableError
from scanner.ledger.claims import claim_of
from scanner.ledger.connection import Store
from scanner.ledger.lots import Lot
from scanner.ledger.records import Record, member_digest
from scanner.service.answers import timestamp
from scanner.service.batcher import OverloadedError
from scanner.service.desk import Desk
from scanner.service.problems import JSON, Answer, problem
from scanner.service.refusals import REFUSED, RefusedError, answer_to
from scanner.service.requests import CODE_CHARS_MAX, MalformedError

# Each look-up reads by itself, so how many do at once is bounded here and not by a batch.
READS_MAX = 16
WAITING_MAX = 1000


class Lookups:
    """Answers questions about codes. A read that takes longer than ``timeout_s`` is given up."""

    def __init__(self, desk: Desk, store: Store, timeout_s: float) -> None:
        self._desk = desk
        self._store = store
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(READS_MAX)
        self._waiting = 0

    async def answer(self, authorization: str, _body: bytes, _traceparent: str, text: str) -> Answer:
        """The answer to ``GET /v1/codes/{code}`` with this ``Authorization`` header."""
        try:
            member = self._desk.member(authorization)
            if len(text) > CODE_CHARS_MAX:
                raise MalformedError(f"String should have at most {CODE_CHARS_MAX} characters", "code")
            found = self._desk.identify(text)
            if isinstance(found, Answer):
                return found
            code, gtin = found
            lot = await self._desk.lot_of(code, gtin)
            if lot.state == "blocked":
                raise RefusedError(problem("blocked"))
            record = await self._read(code.lot, code.serial)
            return self._genuine(lot, code.serial, record, member.id)
        except REFUSED as error:
            return answer_to(error)

    async def _read(self, lot: int, serial: int) -> Record | None:
        if self._waiting >= WAITING_MAX or self._desk.lane.sheds_read():
            raise OverloadedError("too many look-ups wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                return await claim_of(self._store, lot, serial)
        except TimeoutError:
            raise StoreUnavailableError("the store did not answer in time") from None
        finally:
            self._waiting -= 1

    def _genuine(self, lot: Lot, serial: int, record: Record | None, member: str) -> Answer:
        body: dict[str, object] = {"outcome": "genuine", "product": lot.product}
        body |= dict(self._described(lot))
        body["active"] = any(first <= serial <= last for first, last in lot.active)
        body["scanned"] = record is not None
        if record is not None:
            body["first_scanned_at"] = timestamp(record.at_ms)
            body["by_you"] = record.member == member_digest(member)
        return Answer("genuine", 200, orjson.dumps(body), JSON)

    def _described(self, lot: Lot) -> Iterator[tuple[str, str]]:
        """What the campaign's file says of the product."""
        campaign = self._desk.directory.campaigns.get(lot.campaign)
        for gtin, title, url in campaign.plan.products if campaign else ():
            if gtin == lot.product:
                yield "title", title
                if url:
                    yield "url", url
