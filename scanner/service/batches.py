"""Scans in bulk, as a service brings them: each is answered as if it had come alone."""

import asyncio
import logging
from dataclasses import replace

from scanner.codes import ShareKeys
from scanner.service.batcher import Lane
from scanner.service.desk import Desk, trace_of
from scanner.service.metrics import Cells
from scanner.service.problems import JSON, Answer, problem
from scanner.service.refusals import REFUSED, answer_to
from scanner.service.requests import SCANS_MAX, BatchRequest, BatchScan, MalformedError, parse
from scanner.service.scans import Scans

log = logging.getLogger("scanner")

BODY_MAX_BYTES = SCANS_MAX * 1024


class Batches:
    """Answers batches. ``bulk`` is the lane that their scans take."""

    def __init__(self, desk: Desk, share_keys: ShareKeys, bulk: Lane, cells: Cells) -> None:
        self._desk = desk
        self._scans = Scans(replace(desk, lane=bulk), share_keys)
        self._cells = cells

    def admit(self, authorization: str) -> Answer | None:
        """The refusal of who may not send batches, before a body as large as theirs is read."""
        try:
            self._desk.service(authorization)
        except REFUSED as error:
            return answer_to(error)
        return None

    async def answer(self, authorization: str, body: bytes, traceparent: str = "", _: str = "") -> Answer:
        """The answer to ``POST /v1/scans/batch`` with this ``Authorization`` header and body."""
        try:
            self._desk.service(authorization)
            request = parse(BatchRequest, body)
        except REFUSED as error:
            return answer_to(error)
        trace = trace_of(traceparent)
        # All in one turn of the loop, so that they travel together.
        answers = await asyncio.gather(
            *(self._one(place, scan, trace) for place, scan in enumerate(request.scans))
        )
        for answer in answers:
            self._cells.count_in_batch(answer.outcome)
        results = b",".join([_result(answer) for answer in answers])
        return Answer("batch", 200, b'{"results":[' + results + b"]}", JSON)

    async def _one(self, place: int, scan: BatchScan | MalformedError, trace: str) -> Answer:
        if isinstance(scan, MalformedError):
            return answer_to(MalformedError(scan.reason, "scans", place, *scan.field))
        try:
            return await self._scans.scan(scan.who(), scan, trace)
        except Exception:  # a fault of ours in one scan must not take the others' answers away
            log.exception("a scan of a batch failed")
            return problem("internal_error")


def _result(answer: Answer) -> bytes:
    """A refusal's body says its status already."""
    return answer.body if answer.status != 200 else answer.body[:-1] + b',"status":200}'
