/* Recognises one canonical HTTP/1.1 request at the beginning of what was read (RFC 9112).
 *
 * What is called canonical here every parser reads alike: a request line of three visible parts, CRLF
 * everywhere, header names of letters, digits, '-' and '_', each once, values of visible ASCII and inner
 * spaces, one Host, at most one Content-Length, no Transfer-Encoding, no Expect, no Upgrade, nothing folded.
 * Everything else is for a whole parser to judge. Nothing in here allocates or fails. */
#ifndef SCANNER_HEAD_H
#define SCANNER_HEAD_H

#include <stddef.h>
#include <stdint.h>

enum {
    HEAD_BYTES_MAX = 8000,
    HEAD_LINE_BYTES_MAX = 3000,
    HEAD_NAME_BYTES_MAX = 256,
    HEAD_HEADERS_MAX = 40,

    HEAD_ODD = 0,     /* not canonical, or not a whole head */
    HEAD_WHOLE = 1,   /* the request and nothing behind it */
    HEAD_PARTIAL = 2, /* the head is whole, some of the body is to come */

    HEAD_OTHER = 0,
    HEAD_SCAN = 1 /* POST /v1/scans with a JSON body */
};

/* Where something stands in what was read; a length of 0 is absent. */
typedef struct {
    size_t at, length;
} head_span;

typedef struct {
    head_span authorization, traceparent, forwarded; /* the last is X-Forwarded-For */
    head_span body;                                /* its length is the Content-Length */
    int route;
} head;

int head_read(const uint8_t *data, size_t length, head *into);

#endif
