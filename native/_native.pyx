# cython: binding=False
"""The native twin of scanner.codes._pure; scanner/codes/_native.pyi describes it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc

cimport cython

import os

cdef extern from "codes.h":
    enum:
        CODES_KIDS
        CODES_KEY_BYTES
        CODES_RAW_BYTES
        CODES_TEXT_CHARS
        CODES_POOL_BYTES_MAX
        CODES_DIGEST_BYTES
        CODES_SCAN_ID_CHARS

    ctypedef struct codes_subkeys:
        uint32_t tag[8]
        uint32_t mask[8]
        uint32_t pin[8]
        uint32_t draw[8]
        uint32_t id[8]

    ctypedef struct codes_table:
        codes_subkeys slots[CODES_KIDS]
        uint64_t usable

    ctypedef struct codes_text:
        const uint8_t *bytes
        size_t length

    ctypedef struct codes_pair:
        uint64_t u
        uint64_t v

    void codes_load_key(uint32_t *words, const uint8_t *key)
    void codes_wipe(void *memory, size_t length)
    int64_t codes_verify(const codes_table *table, const uint8_t *text, size_t length)
    int64_t codes_verify_gs1(const codes_table *table, const uint8_t *serial, size_t length)
    void codes_verify_many(
        const codes_table *table, const codes_text *texts, size_t count, int64_t *results
    ) nogil
    void codes_seal(const codes_table *table, uint64_t packed, uint8_t *raw)
    void codes_mint(const codes_table *table, uint64_t packed, size_t count, uint8_t *lines) nogil
    uint32_t codes_pin(const codes_table *table, uint64_t packed)
    void codes_scan_id(const codes_table *table, uint64_t packed, uint8_t *text)
    codes_pair codes_draw_pair(
        const codes_table *table, uint64_t packed, const uint8_t *pool, size_t length
    )
    codes_pair codes_draw_pair_of(const codes_table *table, uint32_t kid, const uint8_t *digest)

cdef enum:
    KID_MAX = (1 << 6) - 1
    LOT_MAX = (1 << 24) - 1
    SERIAL_MAX = (1 << 26) - 1
    BATCH_MAX = 1 << 20


cdef inline codes_text view(value, str name) except *:
    """The bytes of a Python object, for as long as the caller holds it."""
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    return codes_text(<const uint8_t *> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef inline uint64_t number(value, long long maximum, str name) except? 0xFFFFFFFFFFFFFFFF:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")
    cdef int overflow = 0
    cdef long long result = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or not 0 <= result <= maximum:
        raise ValueError(f"{name} must be 0 to {maximum}, not {value}")
    return result


cdef int load(uint32_t *words, key) except -1:
    if not isinstance(key, bytes) or PyBytes_GET_SIZE(key) != CODES_KEY_BYTES:
        raise ValueError(f"a sub-key must be {CODES_KEY_BYTES} bytes")
    codes_load_key(words, <const uint8_t *> PyBytes_AS_STRING(key))
    return 0


@cython.final
cdef class KeyTable:
    cdef codes_table table
    cdef uint64_t known

    def __cinit__(self, keys, revoked=()):
        cdef bytes noise = os.urandom(sizeof(self.table.slots))
        cdef codes_subkeys *slot
        cdef uint64_t kid
        memcpy(self.table.slots, PyBytes_AS_STRING(noise), sizeof(self.table.slots))
        for key, (tag, mask, pin, draw, id_) in keys.items():
            kid = number(key, KID_MAX, "kid")
            slot = &self.table.slots[kid]
            load(slot.tag, tag)
            load(slot.mask, mask)
            load(slot.pin, pin)
            load(slot.draw, draw)
            load(slot.id, id_)
            self.known |= <uint64_t> 1 << kid
        self.table.usable = self.known
        for key in revoked:
            self.table.usable &= ~(<uint64_t> 1 << number(key, KID_MAX, "kid"))

    def __dealloc__(self):
        codes_wipe(&self.table, sizeof(self.table))

    def __repr__(self):
        live = [kid for kid in range(CODES_KIDS) if self.table.usable >> kid & 1]
        revoked = [kid for kid in range(CODES_KIDS) if (self.known & ~self.table.usable) >> kid & 1]
        return f"KeyTable(live={live}, revoked={revoked})"

    def __reduce__(self):
        raise TypeError("a KeyTable cannot be pickled or copied: it holds keys")

    def verify(self, text, /):
        cdef codes_text given = view(text, "text")
        return codes_verify(&self.table, given.bytes, given.length)

    def verify_gs1(self, serial, /):
        cdef codes_text given = view(serial, "serial")
        return codes_verify_gs1(&self.table, given.bytes, given.length)

    def verify_many(self, texts, /):
        # Own references to every text: without the GIL, another thread may empty the caller's list.
        cdef tuple held = tuple(texts)
        cdef size_t i, count = len(held)
        cdef codes_text *views
        cdef int64_t *results
        if count > BATCH_MAX:
            raise ValueError(f"a batch must be at most {BATCH_MAX} texts, not {count}")
        views = <codes_text *> PyMem_Malloc(count * sizeof(codes_text))
        results = <int64_t *> PyMem_Malloc(count * sizeof(int64_t))
        try:
            if views is NULL or results is NULL:
                raise MemoryError
            for i in range(count):
                views[i] = view(held[i], "each text")
            with nogil:
                codes_verify_many(&self.table, views, count, results)
            return [results[i] for i in range(count)]
        finally:
            PyMem_Free(views)
            PyMem_Free(results)

    def seal(self, kid, lot, serial, /):
        cdef uint8_t raw[CODES_RAW_BYTES]
        codes_seal(&self.table, self.pack(kid, lot, serial), raw)
        return raw[:CODES_RAW_BYTES]

    def mint(self, kid, lot, first, count, /):
        cdef uint64_t packed = self.pack(kid, lot, first)
        cdef size_t lines = number(count, BATCH_MAX, "count")
        cdef bytes text
        cdef uint8_t *into
        if not self.table.usable >> (packed >> 50) & 1:
            raise ValueError(f"kid {kid} is revoked: its codes would be refused")
        if first + count > SERIAL_MAX + 1:
            raise ValueError(f"serial must be 0 to {SERIAL_MAX}, not {first + count - 1}")
        text = PyBytes_FromStringAndSize(NULL, lines * (CODES_TEXT_CHARS + 1))
        into = <uint8_t *> PyBytes_AS_STRING(text)
        with nogil:
            codes_mint(&self.table, packed, lines, into)
        return text

    def pin(self, kid, lot, serial, /):
        return codes_pin(&self.table, self.pack(kid, lot, serial))

    def scan_id(self, kid, lot, serial, /):
        cdef uint8_t text[CODES_SCAN_ID_CHARS]
        codes_scan_id(&self.table, self.pack(kid, lot, serial), text)
        return text[:CODES_SCAN_ID_CHARS].decode("ascii")

    def draw(self, kid, lot, serial, pool, /):
        return self.pair(kid, lot, serial, pool).u

    def draw_pair(self, kid, lot, serial, pool, /):
        cdef codes_pair drawn = self.pair(kid, lot, serial, pool)
        return drawn.u, drawn.v

    def draw_pair_of(self, kid, digest, /):
        cdef uint64_t key = self.kid(kid)
        cdef codes_text given = view(digest, "digest")
        cdef codes_pair drawn
        if given.length != CODES_DIGEST_BYTES:
            raise ValueError(f"digest must be {CODES_DIGEST_BYTES} bytes, not {given.length}")
        drawn = codes_draw_pair_of(&self.table, key, given.bytes)
        return drawn.u, drawn.v

    cdef codes_pair pair(self, kid, lot, serial, pool) except *:
        cdef uint64_t packed = self.pack(kid, lot, serial)
        cdef codes_text given = view(pool, "pool")
        if not 1 <= given.length <= CODES_POOL_BYTES_MAX:
            raise ValueError(f"pool must be 1 to {CODES_POOL_BYTES_MAX} bytes, not {given.length}")
        return codes_draw_pair(&self.table, packed, given.bytes, given.length)

    cdef uint64_t pack(self, kid, lot, serial) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t key = self.kid(kid)
        return key << 50 | number(lot, LOT_MAX, "lot") << 26 | number(serial, SERIAL_MAX, "serial")

    cdef uint64_t kid(self, kid) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t key = number(kid, KID_MAX, "kid")
        if not self.known >> key & 1:
            raise ValueError(f"kid {kid} is unknown")
        return key
