# One scan on its way: its claim's frame (the twin of scanner.ledger.frames.Claim), and its answer's body.


cdef class Known:
    """A token that verified: whose it is, and until when."""

    cdef readonly str id, role, tier, seller, inviter
    cdef readonly bytes digest
    cdef readonly double expires_s
    cdef readonly object member, key

    def __init__(self, member, bytes digest, double expires_s, key):
        self.member, self.key = member, key
        self.id, self.role, self.tier, self.seller, self.inviter = member
        self.digest, self.expires_s = digest, expires_s


cdef class Context:
    """What scans of one lot by members of one kind share, for the moments in [from_ms, until_ms)."""

    cdef readonly object plan
    cdef readonly tuple pool_ids
    cdef tuple entered, made_of
    cdef str seller
    cdef uint32_t flags
    cdef bytes lucky, product
    cdef bint timed, limited, kept, shared
    cdef int64_t from_ms, until_ms, day_until_ms
    cdef uint32_t day

    def __init__(self, lot, plan, entered, lucky, standing, judged_for_lots):
        self.plan, self.product = plan, lot.product.encode()
        self.entered, self.lucky = tuple(entered), bytes(lucky)
        self.pool_ids = tuple(pool.pool.encode() for pool in self.entered)
        self.flags = (SELLER_IS_LOTS if judged_for_lots else 0) | (PINNED if lot.pin else 0)
        self.seller = lot.seller if judged_for_lots else ""
        self.made_of = common_key(plan, self.entered, lot.no, self.flags, self.seller)
        self.timed, self.limited, self.kept, self.shared = plan.timed, plan.limited, plan.kept, plan.shared
        self.from_ms, self.until_ms = standing.from_ms, standing.until_ms
        self.day, self.day_until_ms = standing.day.number, standing.day.until_ms


cdef class Fragments:
    """What stands in the answers of a campaign, made once: its id, and each prize's award, with what follows
    an amount that was drawn."""

    cdef bytes campaign
    cdef dict awards

    def __init__(self, known):
        self.campaign = known.plan.id.encode()
        self.awards = {
            pool << 8 | prize: (award.encode(), tail.encode())
            for (pool, prize), (award, tail) in known.awards.items()
        }


cdef inline int put_said(Writer *into, bytes name, str value) except -1:
    """A field of the entry in MessagePack, where it has a value; its name is written so already."""
    cdef Py_ssize_t length
    cdef const char *data = PyUnicode_AsUTF8AndSize(value, &length)
    if length == 0:
        return 0
    put_bytes(into, name)
    put(into, b"\xda", 1)
    put_number(into, length, 2)
    return put(into, data, length)


cdef inline uint64_t placed(object places, str key) except? 0:
    """The key's index among the KEYS of the call (scanner.ledger.frames.Places)."""
    cdef dict keys = <dict> places
    index = keys.get(key)
    if index is None:
        index = len(keys) + 1
        keys[key] = index
    return index


cdef class Scan:
    """A claim, and who waits for it (scanner.service.batcher.Asker)."""

    cdef readonly object connection, address, scans
    cdef readonly double began
    cdef readonly Known known
    cdef readonly str channel, loc, trace
    cdef readonly int64_t number
    cdef Native lane
    cdef Context context
    cdef str lot_seller
    cdef bytes marks
    cdef uint32_t kid, lot, serial
    cdef bint pinned

    @property
    def scan_id(self):
        return self.marks[:16].decode("ascii")

    def frame(self, names, places):
        cdef Writer into
        cdef Known known = self.known
        cdef Context context = self.context
        cdef str seller = known.seller or self.lot_seller
        cdef const char *draws = PyBytes_AS_STRING(self.marks) + 16
        cdef size_t said_at, length
        cdef Py_ssize_t i
        cdef bytes details = details_digest(
            known.role, known.tier, self.channel, seller, known.inviter, self.loc, self.trace
        )
        begin(&into, self.lane.scratch, SCRATCH_BYTES)
        put_number(&into, 1, 1)
        put_number(&into, self.common(names, places), 2)
        put_number(&into, 0, 2)
        put_number(&into, placed(places, f"{self.lane.claims}{self.lot}:{self.serial // SERIALS}"), 2)
        put_number(&into, self.serial, 4)
        put_bytes(&into, known.digest)
        put_bytes(&into, details)
        put_number(&into, 0, 2)
        said_at = written(&into)
        put_said(&into, b"\xa6member", known.id)
        put(&into, b"\xa2id\xda\x00\x10", 6)
        put(&into, PyBytes_AS_STRING(self.marks), 16)
        put_said(&into, b"\xa6serial", str(self.serial))
        put_said(&into, b"\xa6seller", seller)
        put_said(&into, b"\xa4role", known.role)
        put_said(&into, b"\xa4tier", known.tier)
        put_said(&into, b"\xa7channel", self.channel)
        put_said(&into, b"\xa7inviter", known.inviter)
        put_said(&into, b"\xa3loc", self.loc)
        put_said(&into, b"\xa5trace", self.trace)
        write_number(into.first + said_at - 2, written(&into) - said_at, 2)
        if self.pinned:
            put_number(&into, placed(places, names.code_tries(self.lot, self.serial)), 2)
            put_number(&into, placed(places, names.member_tries(known.digest)), 2)
        self.put_terms(&into, names, places)
        for i in range(len(context.lucky)):
            put(&into, draws + 12 * i, 12 if context.lucky[i] else 6)
        length = written(&into)
        if length - HEAD_BYTES > 0xFFFF:
            raise OverflowError
        write_number(into.first + HEAD_BYTES - 2, length - HEAD_BYTES, 2)
        return into.first[:length]

    cdef uint64_t common(self, names, places) except 0:
        """The index of what the batch's claims have in common with this one; the first of them writes it."""
        cdef Context context = self.context
        index = (<dict> places.common_places).get(context.made_of)
        if index is None:
            index = common_of(
                context.plan, context.entered, names, places, self.lot, context.flags, context.seller
            )
        return index

    cdef int put_terms(self, Writer *into, names, places) except -1:
        cdef Context context = self.context
        if context.timed:
            put_number(into, context.from_ms, 6)
            put_number(into, context.until_ms, 6)
        if context.limited:
            put_number(into, placed(places, names.counts(context.plan.id, self.known.digest)), 2)
            put_number(into, context.day, 4)
            put_number(into, context.day_until_ms, 6)
        if context.kept:
            put_number(into, placed(places, names.wallet(context.plan.id, self.known.digest)), 2)
        if context.shared:
            put_number(into, placed(places, names.share(self.scan_id)), 2)
        return 0

    def reply(self, bytes data not None):
        cdef uint8_t verdict = data[0] if data else 0
        cdef bint is_answered = False
        try:
            if verdict == c'A' or verdict == c'R':
                is_answered = self.accepted(data, verdict == c'R')
        except OverflowError:  # a longer answer than is made here
            pass
        except Exception as error:
            self.fail(error)
            return
        if not is_answered:
            self.lane.later(self, data)
            return
        try:
            self.lane.answered(self.connection)
        except Exception as error:  # what the connection does next must not harm the batch
            self.lane.give_up(self.connection, error)

    def fail(self, error):
        self.lane.refuse(self.connection, error, self.began)

    cdef bint accepted(self, bytes data, bint replayed) except -1:
        """Whether the record could be answered here (ledger/records.py, service/answers.py)."""
        cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(data) + 1
        cdef const uint8_t *end = at + PyBytes_GET_SIZE(data) - 1
        cdef Native lane = self.lane
        cdef Writer into
        cdef Fragments fragments
        cdef bint is_first = True
        cdef uint64_t at_ms = 0
        cdef int i
        if end - at < 24:
            return False
        for i in range(6):
            at_ms = at_ms << 8 | at[i]
        fragments = lane.fragments_of(at[6] << 8 | at[7])
        if fragments is None:
            return False
        begin(&into, lane.scratch, SCRATCH_BYTES)
        put(&into, b'{"outcome":"accepted","scan_id":"', 33)
        put(&into, PyBytes_AS_STRING(self.marks), 16)
        if replayed:
            put(&into, b'","replayed":true,"campaign":"', 30)
        else:
            put(&into, b'","replayed":false,"campaign":"', 31)
        put_bytes(&into, fragments.campaign)
        put(&into, b'","product":"', 13)
        put_bytes(&into, self.context.product)
        put(&into, b'","scanned_at":"', 16)
        lane.put_time(&into, at_ms)
        put(&into, b'","awards":[', 12)
        at += 24
        while at < end:
            if end - at < 2 or at[0] == 0:
                return False
            award = fragments.awards.get(at[0] << 8 | at[1])
            if award is None:
                return False
            at += 2
            head_, tail = <tuple> award
            if (<bytes> tail) != b"" and not (end - at >= 8 and at[0] == 0 and at[1] == 1):
                return False
            if (<bytes> head_) == b"":
                continue
            if not is_first:
                put(&into, b",", 1)
            is_first = False
            put_bytes(&into, <bytes> head_)
            if <bytes> tail != b"":
                at_ms = 0
                for i in range(2, 8):
                    at_ms = at_ms << 8 | at[i]
                put_decimal(&into, at_ms)
                put_bytes(&into, <bytes> tail)
                at += 8
        put(&into, b"]}", 2)
        lane.write(self.connection, lane.accepted_head, <const char *> lane.scratch, written(&into))
        lane.count(lane.replayed_cell if replayed else lane.accepted_cell, self.began)
        if lane.kept[0] and not replayed:
            lane.guard.count(self.known.key, self.address, "accepted")
        return True
