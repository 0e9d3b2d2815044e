"""The fast lane's own steps of a scan, native (native/_fast_lane.pyx, native/head.c)."""

from collections.abc import Callable, Sequence

from scanner.campaigns import Plan, Standing
from scanner.identity import Member
from scanner.ledger.frames import Asked, Entered, Places
from scanner.ledger.keys import Keys
from scanner.ledger.lots import Lot
from scanner.service.admission import Admission
from scanner.service.batcher import Asker
from scanner.service.desk import Desk
from scanner.service.fast_lane.connection import FastProtocol
from scanner.service.guard import Guard
from scanner.service.metrics import Cells
from scanner.service.scans import Scans
from scanner.settings import Settings

def read_head(data: bytes, /) -> tuple[bool, bytes, bytes, int, int, bytes] | None:
    """What the lane reads of a request's head: whether it is a scan, `Authorization`, `traceparent`, where
    the body begins and how long it is to be, `X-Forwarded-For`. None where the head is not whole and
    canonical, or more than the request was read (native/head.h)."""

class Known:
    """A token that verified: whose it is, and until when. `key` is the member's for the throttle."""

    member: Member
    expires_s: float
    key: int
    def __init__(self, member: Member, digest: bytes, expires_s: float, key: int) -> None: ...

class Context:
    """What scans of one lot by members of one kind share, while the standing lasts.

    `entered` are the pools, whatever their draws; `lucky` says of each whether amounts are drawn in it.
    `judged_for_lots`: a member without a seller of their own, so that the lot's counts.
    """

    plan: Plan
    pool_ids: tuple[bytes, ...]
    def __init__(
        self,
        lot: Lot,
        plan: Plan,
        entered: Sequence[Entered],
        lucky: Sequence[bool],
        standing: Standing,
        judged_for_lots: bool,
        /,
    ) -> None: ...

class Scan:
    """A scan under way: the claim that is asked, and who waits for its answer.

    `began` is a time of ``time.monotonic``; `number` is the code's, as verifying answers it.
    `scans` have the keys that it was taken with.
    """

    connection: FastProtocol
    address: int
    scans: Scans
    known: Known
    number: int
    scan_id: str
    channel: str
    loc: str
    trace: str
    began: float
    def frame(self, names: Keys, places: Places, /) -> bytes:
        """The twin of :meth:`scanner.ledger.frames.Claim.frame`."""

    def reply(self, data: bytes, /) -> None: ...
    def fail(self, error: Exception, /) -> None: ...

class Native:
    """What happens for every scan. What happens for few is called back: see ``FastLane``."""

    def __init__(
        self,
        desk: Desk,
        guard: Guard,
        offer: Callable[[Asked, Asker], None],
        admission: Admission,
        cells: Cells,
        settings: Settings,
        /,
    ) -> None: ...
    def received(self, connection: FastProtocol, data: bytes, /) -> bool:
        """Whether the bytes were taken; else they are aiohttp's, and ``owed`` says what is known of them."""

    def send(self, connection: FastProtocol, head: bytes, body: bytes, /) -> None:
        """Writes an answer; `head` ends before its length."""

    def answered(self, connection: FastProtocol, /) -> None:
        """After an answer was written: what aiohttp does between two requests."""

    def observe(self, outcome: str, began: float, /) -> None:
        """Counts an answered request, as ``Cells.observe`` does."""

    def use(self, desk: Desk, scans: Scans, guard: Guard, /) -> None:
        """Goes on with the desk's keys; to be called before anything else. The tokens that verified by others
        are forgotten."""
