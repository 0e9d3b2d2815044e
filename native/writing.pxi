# Writing bytes into memory that somebody else holds. What does not fit raises OverflowError.

cdef struct Writer:
    uint8_t *first
    uint8_t *at
    uint8_t *end


cdef inline void begin(Writer *into, uint8_t *memory, size_t length) noexcept:
    into.first = into.at = memory
    into.end = memory + length


cdef inline size_t written(Writer *into) noexcept:
    return into.at - into.first


cdef inline int put(Writer *into, const void *data, size_t length) except -1:
    if <size_t> (into.end - into.at) < length:
        raise OverflowError
    memcpy(into.at, data, length)
    into.at += length
    return 0


cdef inline int put_bytes(Writer *into, bytes data) except -1:
    return put(into, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline void write_number(uint8_t *at, uint64_t number, int length) noexcept:
    """Big-endian."""
    cdef int i
    for i in range(length):
        at[i] = <uint8_t> (number >> (8 * (length - 1 - i)))


cdef inline int put_number(Writer *into, uint64_t number, int length) except -1:
    if into.end - into.at < length:
        raise OverflowError
    write_number(into.at, number, length)
    into.at += length
    return 0


cdef inline int put_decimal(Writer *into, uint64_t number) except -1:
    cdef uint8_t digits[20]
    cdef int first = 20
    while True:
        first -= 1
        digits[first] = <uint8_t> (c'0' + number % 10)
        number //= 10
        if number == 0:
            break
    return put(into, digits + first, 20 - first)
