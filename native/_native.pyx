# cython: binding=False
"""The native twin of scanner.codes._pure; scanner/codes/_native.pyi describes it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_New
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject

cimport cython

import os

# As CPython means them: the list takes the reference over, and Cython has nothing to count.
cdef extern from "Python.h":
    PyObject *PyLong_FromLongLong(long long value) except NULL
    void PyList_SET_ITEM(list into, Py_ssize_t place, PyObject *item)

cdef extern from "codes.h":
    enum:
        CODES_KIDS
        CODES_KEY_BYTES
        CODES_RAW_BYTES
        CODES_LINE_BYTES_MAX
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
    size_t codes_mint_bytes(uint64_t packed, size_t count, const uint8_t *line, size_t length)
    void codes_mint(
        const codes_table *table, uint64_t packed, size_t count,
        const uint8_t *line, size_t length, uint8_t *lines
    ) nogil
    uint32_t codes_pin(const codes_table *table, uint32_t kid, const uint8_t *raw)
    void codes_scan_id(const codes_table *table, uint32_t kid, const uint8_t *raw, uint8_t *text)
    codes_pair codes_draw_pair(
        const codes_table *table, uint32_t kid, const uint8_t *raw, const uint8_t *pool, size_t length
    )
    codes_pair codes_draw_pair_of(const codes_table *table, uint32_t kid, const uint8_t *digest)
    const char *codes_form_name(size_t rank)
    bint codes_use_form(const char *name)

cdef enum:
    KID_MAX = (1 << 6) - 1
    LOT_MAX = (1 << 24) - 1
    SERIAL_MAX = (1 << 26) - 1
    BATCH_MAX = 1 << 20
    HALF_PAIR_BYTES = 6

cdef long long PACKED_MAX = (<long long> 1 << 56) - 1  # an enum holds no more than an int


def forms():
    names = []
    while codes_form_name(len(names)) is not NULL:
        names.append(codes_form_name(len(names)).decode("ascii"))
    return tuple(names)


def use_form(str name, /):
    if not codes_use_form(name.encode("utf-8")):
        raise ValueError(f"form must be one of {', '.join(forms())}, not {name!r}")


codes_use_form(codes_form_name(0))


cdef inline int view(value, str name, codes_text *into) except -1:
    """The bytes of a Python object, for as long as the caller holds it."""
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    into.bytes = <const uint8_t *> PyBytes_AS_STRING(value)
    into.length = PyBytes_GET_SIZE(value)
    return 0


cdef inline uint64_t number(value, long long maximum, str name) except? 0xFFFFFFFFFFFFFFFF:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")
    cdef int overflow = 0
    cdef long long result = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or not 0 <= result <= maximum:
        raise ValueError(f"{name} must be 0 to {maximum}, not {value}")
    return result


cdef inline void write_half(uint64_t value, uint8_t *into) noexcept:
    cdef int place
    for place in range(HALF_PAIR_BYTES):
        into[place] = <uint8_t> (value >> (8 * (HALF_PAIR_BYTES - 1 - place)))


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
        cdef codes_text given
        view(text, "text", &given)
        return codes_verify(&self.table, given.bytes, given.length)

    def verify_gs1(self, serial, /):
        cdef codes_text given
        view(serial, "serial", &given)
        return codes_verify_gs1(&self.table, given.bytes, given.length)

    def verify_many(self, texts, /):
        # Own references to every text: without the GIL, another thread may empty the caller's list.
        cdef tuple held = tuple(texts)
        cdef size_t i = 0, count = len(held)
        cdef list answers
        cdef codes_text *views
        cdef int64_t *results
        if count > BATCH_MAX:
            raise ValueError(f"a batch must be at most {BATCH_MAX} texts, not {count}")
        views = <codes_text *> PyMem_Malloc(count * sizeof(codes_text))
        results = <int64_t *> PyMem_Malloc(count * sizeof(int64_t))
        try:
            if views is NULL or results is NULL:
                raise MemoryError
            for text in held:
                view(text, "each text", &views[i])
                i += 1
            with nogil:
                codes_verify_many(&self.table, views, count, results)
            answers = PyList_New(count)
            for i in range(count):
                PyList_SET_ITEM(answers, i, PyLong_FromLongLong(results[i]))
            return answers
        finally:
            PyMem_Free(views)
            PyMem_Free(results)

    def seal(self, kid, lot, serial, /):
        cdef uint8_t raw[CODES_RAW_BYTES]
        codes_seal(&self.table, self.pack(kid, lot, serial), raw)
        return raw[:CODES_RAW_BYTES]

    def mint(self, kid, lot, first, count, line=b"\x01\n", /):
        cdef uint64_t packed = self.pack(kid, lot, first)
        cdef size_t lines = number(count, BATCH_MAX, "count")
        cdef codes_text pattern
        cdef bytes text
        cdef uint8_t *into
        view(line, "line", &pattern)
        if not 1 <= pattern.length <= CODES_LINE_BYTES_MAX:
            raise ValueError(f"line must be 1 to {CODES_LINE_BYTES_MAX} bytes, not {pattern.length}")
        if not self.table.usable >> (packed >> 50) & 1:
            raise ValueError(f"kid {kid} is revoked: its codes would be refused")
        if first + count > SERIAL_MAX + 1:
            raise ValueError(f"serial must be 0 to {SERIAL_MAX}, not {first + count - 1}")
        text = PyBytes_FromStringAndSize(
            NULL, codes_mint_bytes(packed, lines, pattern.bytes, pattern.length)
        )
        into = <uint8_t *> PyBytes_AS_STRING(text)
        with nogil:
            codes_mint(&self.table, packed, lines, pattern.bytes, pattern.length, into)
        return text

    def pin(self, kid, lot, serial, /):
        cdef uint64_t packed = self.pack(kid, lot, serial)
        cdef uint8_t raw[CODES_RAW_BYTES]
        codes_seal(&self.table, packed, raw)
        return codes_pin(&self.table, packed >> 50, raw)

    def scan_id(self, kid, lot, serial, /):
        cdef uint64_t packed = self.pack(kid, lot, serial)
        cdef uint8_t raw[CODES_RAW_BYTES]
        cdef uint8_t text[CODES_SCAN_ID_CHARS]
        codes_seal(&self.table, packed, raw)
        codes_scan_id(&self.table, packed >> 50, raw, text)
        return text[:CODES_SCAN_ID_CHARS].decode("ascii")

    def draw(self, kid, lot, serial, pool, /):
        return self.pair(kid, lot, serial, pool).u

    def draw_pair(self, kid, lot, serial, pool, /):
        cdef codes_pair drawn = self.pair(kid, lot, serial, pool)
        return drawn.u, drawn.v

    def draw_pair_of(self, kid, digest, /):
        cdef uint64_t key = self.kid(kid)
        cdef codes_text given
        cdef codes_pair drawn
        view(digest, "digest", &given)
        if given.length != CODES_DIGEST_BYTES:
            raise ValueError(f"digest must be {CODES_DIGEST_BYTES} bytes, not {given.length}")
        drawn = codes_draw_pair_of(&self.table, key, given.bytes)
        return drawn.u, drawn.v

    def marks(self, code, pools, /):
        cdef uint64_t packed = number(code, PACKED_MAX, "number")
        cdef uint32_t kid = self.kid(packed >> 50)
        cdef uint8_t raw[CODES_RAW_BYTES]
        cdef Py_ssize_t count
        cdef bytes marks
        cdef uint8_t *into
        cdef codes_pair drawn
        if not isinstance(pools, tuple):
            raise TypeError(f"pools must be tuple, not {type(pools).__name__}")
        count = len(<tuple> pools)
        marks = PyBytes_FromStringAndSize(NULL, CODES_SCAN_ID_CHARS + count * 2 * HALF_PAIR_BYTES)
        into = <uint8_t *> PyBytes_AS_STRING(marks)
        codes_seal(&self.table, packed, raw)
        codes_scan_id(&self.table, kid, raw, into)
        into += CODES_SCAN_ID_CHARS
        for pool in <tuple> pools:
            drawn = self.drawn(kid, raw, pool)
            write_half(drawn.u, into)
            write_half(drawn.v, into + HALF_PAIR_BYTES)
            into += 2 * HALF_PAIR_BYTES
        return marks

    cdef codes_pair pair(self, kid, lot, serial, pool) except *:
        cdef uint64_t packed = self.pack(kid, lot, serial)
        cdef uint8_t raw[CODES_RAW_BYTES]
        codes_seal(&self.table, packed, raw)
        return self.drawn(packed >> 50, raw, pool)

    cdef codes_pair drawn(self, uint32_t kid, const uint8_t *raw, pool) except *:
        cdef codes_text given
        view(pool, "pool", &given)
        if not 1 <= given.length <= CODES_POOL_BYTES_MAX:
            raise ValueError(f"pool must be 1 to {CODES_POOL_BYTES_MAX} bytes, not {given.length}")
        return codes_draw_pair(&self.table, kid, raw, given.bytes, given.length)

    cdef uint64_t pack(self, kid, lot, serial) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t key = self.kid(kid)
        return key << 50 | number(lot, LOT_MAX, "lot") << 26 | number(serial, SERIAL_MAX, "serial")

    cdef uint64_t kid(self, kid) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t key = number(kid, KID_MAX, "kid")
        if not self.known >> key & 1:
            raise ValueError(f"kid {kid} is unknown")
        return key
