# What was read: a request's head and its parts, what its body says, and the connection that it came by.

cdef extern from "head.h":
    enum:
        HEAD_ODD
        HEAD_WHOLE
        HEAD_PARTIAL
        HEAD_SCAN

    ctypedef struct head_span:
        size_t at
        size_t length

    ctypedef struct head:
        head_span authorization
        head_span traceparent
        head_span forwarded
        head_span body
        int route

    int head_read(const uint8_t *data, size_t length, head *into)


cdef inline bytes part(bytes data, head_span span):
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + span.at, span.length)


def read_head(bytes data not None):
    cdef head found
    cdef int kind = head_read(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &found)
    if kind == HEAD_ODD:
        return None
    return (
        found.route == HEAD_SCAN, part(data, found.authorization), part(data, found.traceparent),
        found.body.at, found.body.length, part(data, found.forwarded),
    )


cdef inline bint is_channel(str text):
    cdef Py_ssize_t i, length
    cdef const char *at = PyUnicode_AsUTF8AndSize(text, &length)
    if not 1 <= length <= CHANNEL_CHARS_MAX:
        return False
    for i in range(length):
        if not (c'a' <= at[i] <= c'z' or c'0' <= at[i] <= c'9' or at[i] == c'-'):
            return False
    return True


cdef inline bint is_idle(connection) except -1:
    """Whether aiohttp waits for the next request of the connection, and may be written for."""
    cdef object waiter = connection._waiter
    return (
        waiter is not None and not waiter.done() and not connection._messages and not connection._paused
        and not connection._close and not connection._force_close
    )


cdef inline bint is_pin(pin) except -1:
    return (
        type(pin) is str and PyUnicode_GET_LENGTH(pin) == PIN_DIGITS and (<str> pin).isascii()
        and (<str> pin).isdigit()
    )
