# cython: binding=False
"""The fast lane's own steps of a scan; scanner/service/fast_lane/_native.pyi describes it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from email.utils import formatdate
from time import monotonic

from orjson import JSONDecodeError, loads

from scanner.identity import UnauthorizedError
from scanner.ledger.frames import PINNED, SELLER_IS_LOTS, common_key, common_of
from scanner.ledger.keys import BUCKET_SERIALS
from scanner.ledger.records import details_digest
from scanner.service.admission import TURN_S
from scanner.service.answers import timestamp
from scanner.service.guard import BY_PROXY
from scanner.service.heads import head_of
from scanner.service.metrics import CELL, LATENCY_US
from scanner.service.problems import JSON, PLAIN, problem
from scanner.service.refusals import RefusedError

cdef enum:
    CODE_CHARS = 24
    PIN_DIGITS = 6
    CODE_CHARS_MAX = 512
    CHANNEL_CHARS_MAX = 32
    SCRATCH_BYTES = 16384
    DATE_BYTES_MAX = 128
    HEAD_BYTES = 5
    CONTEXTS_MAX = 4096
    KNOWN_MAX = 16384

cdef uint32_t SERIALS = BUCKET_SERIALS

include "reading.pxi"
include "writing.pxi"
include "scan.pxi"

cdef class Native:
    """What the scans of a worker share. ``scanner.service.fast_lane`` has what is asked in Python."""

    cdef readonly object directory
    cdef object verify, marks, scans, offer, clock, admission, guard
    cdef long long[::1] kept
    cdef bytes accepted_head, forged_head, forged_body
    cdef double keepalive_s, turn_s
    cdef tuple refused_heads
    cdef bytes refused_body
    cdef size_t refusals
    cdef dict lots, contexts, known, known_before, fragments
    cdef object revision
    cdef str claims
    cdef long long[::1] cells
    cdef Py_ssize_t latency_cell, sum_cell, accepted_cell, replayed_cell, forged_cell, refused_cell
    cdef Py_ssize_t waiting_cell, limit_cell
    cdef tuple bounds_us
    cdef dict cell
    cdef bytes date
    cdef int64_t date_s, second_s
    cdef bytes second
    cdef size_t body_max
    cdef uint8_t scratch[SCRATCH_BYTES]

    def __init__(self, desk, guard, offer, admission, cells, settings):
        forged, refused = problem("unknown_code"), PLAIN["overloaded"]
        self.directory, self.lots = desk.directory, desk.directory.lots
        self.offer, self.clock, self.kept = offer, desk.clock, guard.kept
        self.claims = desk.names.prefix + "claims:"
        self.cells, self.cell = cells.values, CELL
        self.accepted_cell, self.replayed_cell = CELL["outcome.accepted"], CELL["outcome.replayed"]
        self.forged_cell, self.refused_cell = CELL["outcome.unknown_code"], CELL["outcome.overloaded"]
        self.waiting_cell, self.limit_cell = CELL["waiting"], CELL["limit"]
        self.latency_cell, self.sum_cell = CELL[f"latency.{LATENCY_US[0]}"], CELL["latency_sum_us"]
        self.bounds_us = LATENCY_US
        self.accepted_head, self.forged_body = head_of(200, JSON, ()), forged.body
        self.forged_head = head_of(forged.status, forged.content_type, tuple(forged.headers.items()))
        self.admission, self.turn_s, self.refusals = admission, TURN_S, 0
        self.refused_body = refused[0].body
        self.refused_heads = tuple(
            head_of(answer.status, answer.content_type, tuple(answer.headers.items())) for answer in refused
        )
        self.body_max, self.keepalive_s = settings.body_max_bytes, settings.keepalive_timeout_s
        self.contexts, self.fragments = {}, {}
        self.revision = -1
        self.date_s = self.second_s = -1

    def use(self, desk, scans, guard):
        self.verify, self.marks = desk.table.verify, desk.table.marks
        self.scans, self.guard = scans, guard
        self.known, self.known_before = {}, {}

    def received(self, connection, bytes data not None):
        cdef head found
        cdef int kind
        cdef double began
        if connection.scan is not None:
            connection.hold(data)
            return True
        if connection.owed != 0:
            connection.pay(PyBytes_GET_SIZE(data))
            return False
        kind = head_read(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &found)
        if (
            kind == HEAD_WHOLE and found.route == HEAD_SCAN and found.body.length <= self.body_max
            and found.authorization.length and is_idle(connection)
        ):
            began = monotonic()
            if self.refused(connection, began) or self.take(connection, data, &found, began):
                return True
        if kind != HEAD_WHOLE:
            connection.owed = (
                -1 if kind == HEAD_ODD else found.body.at + found.body.length - PyBytes_GET_SIZE(data)
            )
        return False

    cdef bint refused(self, connection, double began) except -1:
        """Whether the request was refused unread: there is no room for it, or no time in this turn."""
        cdef double turn_began = self.admission.turn_began_s
        if self.cells[self.waiting_cell] >= self.cells[self.limit_cell]:
            self.admission.refused("queue", began)
        elif (turn_began and began - turn_began < self.turn_s) or not self.admission.is_late(began):
            return False
        self.refusals += 1
        head_ = self.refused_heads[self.refusals % <size_t> len(self.refused_heads)]
        self.send(connection, head_, self.refused_body)
        self.count(self.refused_cell, began)
        self.answered(connection)
        return True

    cdef bint take(self, connection, bytes data, head *found, double began) except -1:
        """Whether the request was taken: then it is answered, or will be. Else nothing was done."""
        cdef Scan scan
        cdef object address = connection.address
        try:
            if address == BY_PROXY:
                address = connection.origin(part(data, found.forwarded).decode("ascii"))
            scan = self.scan_in(data, found, address)
            if scan is None:
                return False
            scan.began, scan.connection, scan.address = began, connection, address
            if scan.number >= 0:
                self.offer(scan, scan)
                connection.scan, connection._request_in_progress = scan, True
                return True
        except JSONDecodeError:
            return False
        except UnauthorizedError as error:
            self.refuse_token(connection, error, address, began)
            return True
        except Exception as error:
            self.refuse(connection, error, began)
            return True
        self.guard.count(scan.known.key, address, "unknown_code")
        self.send(connection, self.forged_head, self.forged_body)
        self.count(self.forged_cell, began)
        self.answered(connection)
        return True

    cdef Scan scan_in(self, bytes data, head *found, address):
        """The scan of a request; its number is negative for a forgery. None: not for this lane."""
        cdef object now_s = self.clock()
        cdef Known known = self.know(part(data, found.authorization), now_s)
        cdef Scan scan
        if known is None:
            return None
        if self.kept[0]:
            refused = self.guard.holds(known.key, address)
            if refused is not None:
                raise RefusedError(refused)
        request = loads(part(data, found.body))
        if type(request) is not dict:
            return None
        scan = self.scan_of(<dict> request, known, now_s)
        if scan is not None and found.traceparent.length:
            scan.trace = self.traced(part(data, found.traceparent).decode("ascii"))
        return scan

    def observe(self, str outcome, double began):
        self.count(self.cell[f"outcome.{outcome}"], began)

    cpdef int answered(self, connection) except -1:
        """After an answer was written: what aiohttp does between two requests."""
        connection.scan, connection._request_in_progress = None, False
        if (
            connection.held or connection._close or connection._force_close
            or connection._keepalive_handle is None or connection._handler_waiter is not None
        ):
            connection.go_on()
        else:
            connection._next_keepalive_close_time = <double> monotonic() + self.keepalive_s
        return 0

    cdef Known know(self, bytes authorization, now_s):
        cdef Known known = self.known.get(authorization)
        if known is None:
            known = self.known_before.get(authorization)
        if known is not None and now_s < known.expires_s:
            return known
        known = self.recognise(authorization.decode("ascii"), now_s)
        if known is not None:
            if len(self.known) >= KNOWN_MAX:
                self.known_before, self.known = self.known, {}
            self.known[authorization] = known
        return known

    cdef Scan scan_of(self, dict request, Known known, now_s):
        cdef object code = request.get("code"), channel = request.get("channel"), pin = request.get("pin")
        cdef object location = request.get("location"), gtin = None
        cdef str loc = ""
        cdef int64_t number
        cdef Scan scan
        if type(code) is not str or not 1 <= PyUnicode_GET_LENGTH(code) <= CODE_CHARS_MAX:
            return None
        if channel is None:
            channel = ""
        elif type(channel) is not str or not is_channel(<str> channel):
            return None
        if pin is not None and not is_pin(pin):
            return None
        if location is not None:
            loc = self.located(location)
            if loc is None:
                return None
        if PyUnicode_GET_LENGTH(code) == CODE_CHARS and (<str> code).isascii():
            number = self.verify((<str> code).encode())
        else:
            number, gtin = self.carried(code)
        if number == -1 or not self.directory.loaded:
            return None
        scan = Scan.__new__(Scan)
        scan.number, scan.lane, scan.known, scan.trace, scan.scans = number, self, known, "", self.scans
        if number < 0:
            return scan
        scan.kid, scan.lot, scan.serial = number >> 50, number >> 26 & 0xFFFFFF, number & 0x3FFFFFF
        lot = self.lots.get(scan.lot)
        if lot is None:
            return None
        if lot.kid != scan.kid or scan.serial >= lot.size or (gtin is not None and gtin != lot.product):
            scan.number = -2
            return scan
        if lot.pin:
            if pin is None or not self.is_pin_of(number, pin):
                return None
            scan.pinned = True
        scan.context = self.context(scan.lot, known, <str> channel, now_s)
        if scan.context is None:
            return None
        scan.channel, scan.loc, scan.lot_seller = channel, loc, lot.seller
        scan.marks = self.marks(number, scan.context.pool_ids)
        return scan

    cdef Context context(self, uint32_t lot, Known known, str channel, now_s):
        """What the scans of a lot by such members share; None where something is not known yet."""
        cdef Context context
        cdef int64_t at_ms = <int64_t> (<double> now_s * 1000)
        if self.revision != self.directory.revision:
            self.contexts.clear()
            self.fragments.clear()
            self.revision = self.directory.revision
        key = (lot, known.role, known.tier, channel, known.seller == "", known.inviter == "")
        context = self.contexts.get(key)
        if context is None or not context.from_ms <= at_ms < context.until_ms:
            context = self.context_of(lot, known, channel, at_ms)
            if context is None:
                return None
            if len(self.contexts) >= CONTEXTS_MAX:
                self.contexts.clear()
            self.contexts[key] = context
        return context

    cdef int write(self, connection, bytes head_, const char *body, size_t length) except -1:
        """Writes an answer; its head ends before its length (heads.py)."""
        cdef bytes answer
        cdef Writer into
        cdef int64_t now = <int64_t> self.clock()
        transport = connection.transport
        if transport is None:
            return 0
        if now != self.date_s:
            self.date_s, self.date = now, formatdate(now, usegmt=True).encode()
        answer = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(head_) + DATE_BYTES_MAX + length)
        begin(&into, <uint8_t *> PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))
        put_bytes(&into, head_)
        put_decimal(&into, length)
        put(&into, b"\r\nDate: ", 8)
        put_bytes(&into, self.date)
        put(&into, b"\r\n\r\n", 4)
        put(&into, body, length)
        transport.write(answer[:written(&into)])
        return 0

    cdef Fragments fragments_of(self, uint16_t campaign_no):
        """What stands in the answers of a campaign; None where it is not known yet."""
        cdef Fragments fragments = self.fragments.get(campaign_no)
        if fragments is None:
            campaign = self.directory.by_number.get(campaign_no)
            if campaign is not None:
                fragments = self.fragments[campaign_no] = Fragments(campaign)
        return fragments

    cdef int put_time(self, Writer *into, uint64_t ms) except -1:
        """RFC 3339 in UTC with milliseconds; most of what is answered happened in the same second."""
        cdef uint8_t *fraction
        if self.second_s != <int64_t> (ms // 1000):
            self.second_s = ms // 1000
            self.second = timestamp(ms)[:-4].encode()
        put_bytes(into, self.second)
        fraction = into.at
        put(into, b"000Z", 4)
        ms %= 1000
        fraction[0] += <uint8_t> (ms // 100)
        fraction[1] += <uint8_t> (ms // 10 % 10)
        fraction[2] += <uint8_t> (ms % 10)
        return 0

    cdef int count(self, Py_ssize_t cell, double began) except -1:
        """One answered request, as Cells.observe counts it."""
        cdef long long micros = <long long> ((<double> monotonic() - began) * 1e6)
        cdef Py_ssize_t i = 0
        for bound in self.bounds_us:
            if micros <= <long long> bound:
                break
            i += 1
        self.cells[cell] += 1
        self.cells[self.latency_cell + i] += 1
        self.cells[self.sum_cell] += micros
        return 0

    def send(self, connection, bytes head_ not None, bytes body not None):
        self.write(connection, head_, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
