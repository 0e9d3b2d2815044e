/* Mutates requests and reads their heads, under sanitizers: `fuzz_head SEED COUNT EXCESS < corpus`.
 *
 * The corpus is one request after another, each behind its length in 4 bytes, big-endian. Every input stands
 * at the end of memory of its own, so that a byte read behind it is found; EXCESS says that it is longer than
 * it is, to show that. Says how many were odd, whole and partial. */
#include "head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORPUS_BYTES_MAX = 1 << 22, REQUESTS_MAX = 4096, INPUT_BYTES_MAX = 16384 };

typedef struct {
    const uint8_t *data;
    size_t length;
} request;

static const char *const PIECES[] = {
    "\r\n", "\n", "\r", ":", " ", "\t", "0", "9", "-", "_", "\x7f", "\x80", "POST ", "GET ", "HTTP/1.1\r\n", "Host: a\r\n",
    "Content-Length: 9\r\n", "Content-Length:", "Connection: keep-alive\r\n", "X: y\r\n", "Authorization: ", "\r\n\r\n",
};

static uint64_t state;

/* xorshift64*, below a bound. */
static size_t below(size_t bound)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * 2685821657736338717u) >> 33) % bound;
}

static size_t put(uint8_t *into, size_t length, size_t at, const void *piece, size_t size)
{
    if (length + size > INPUT_BYTES_MAX)
        return length;
    memmove(into + at + size, into + at, length - at);
    memcpy(into + at, piece, size);
    return length + size;
}

static size_t mutate(uint8_t *into, size_t length, const request *other)
{
    size_t at = below(length + 1), size = below(length - at + 1), from;
    const char *piece;
    switch (below(7)) {
    case 0:
        if (at < length)
            into[at] ^= (uint8_t)(1 << below(8));
        return length;
    case 1:
        memmove(into + at, into + at + size % 8, length - at - size % 8);
        return length - size % 8;
    case 2:
        piece = PIECES[below(sizeof PIECES / sizeof *PIECES)];
        return put(into, length, at, piece, strlen(piece));
    case 3:
        from = below(other->length);
        return put(into, length, at, other->data + from, below(other->length - from + 1));
    case 4:
        return at; /* the rest is still to come */
    case 5:
        if (at < length)
            into[at] = (uint8_t)below(256);
        return length;
    default:
        return length;
    }
}

static int holds(const uint8_t *data, size_t length, const head *found, int kind)
{
    static const char SCANS[] = "POST /v1/scans HTTP/1.1\r\n";
    size_t at = found->body.at, body = found->body.length;
    if (at > length || found->authorization.at + found->authorization.length > at
        || found->traceparent.at + found->traceparent.length > at
        || found->forwarded.at + found->forwarded.length > at || memcmp(data + at - 4, "\r\n\r\n", 4))
        return 0;
    if (found->route == HEAD_SCAN && memcmp(data, SCANS, sizeof SCANS - 1))
        return 0;
    return kind == HEAD_WHOLE ? at + body == length : kind == HEAD_PARTIAL && at + body > length;
}

static int read_corpus(uint8_t *corpus, request *requests)
{
    size_t length = fread(corpus, 1, CORPUS_BYTES_MAX, stdin), at = 0;
    int count = 0;
    while (at + 4 <= length && count < REQUESTS_MAX) {
        size_t size = (size_t)corpus[at] << 24 | corpus[at + 1] << 16 | corpus[at + 2] << 8 | corpus[at + 3];
        at += 4;
        if (size == 0 || size > INPUT_BYTES_MAX || size > length - at)
            return 0;
        requests[count++] = (request){corpus + at, size};
        at += size;
    }
    return count;
}

int main(int argc, char **argv)
{
    static uint8_t corpus[CORPUS_BYTES_MAX], input[INPUT_BYTES_MAX];
    static request requests[REQUESTS_MAX];
    long kinds[3] = {0, 0, 0};
    int count = argc == 4 ? read_corpus(corpus, requests) : 0;
    if (count == 0)
        return 2;
    size_t excess = strtoul(argv[3], NULL, 10);
    state = strtoull(argv[1], NULL, 10) | 1;
    for (long left = strtol(argv[2], NULL, 10); left > 0; left--) {
        const request *one = &requests[below((size_t)count)];
        size_t length = one->length;
        head found;
        memcpy(input, one->data, length);
        for (size_t times = below(4); times > 0; times--)
            length = mutate(input, length, &requests[below((size_t)count)]);
        uint8_t *exact = malloc(length ? length : 1);
        memcpy(exact, input, length);
        int kind = head_read(exact, length + excess, &found);
        if (!excess && kind != HEAD_ODD && !holds(exact, length, &found, kind)) {
            fprintf(stderr, "what was found does not hold\n");
            fwrite(exact, 1, length, stderr);
            return 1;
        }
        kinds[kind]++;
        free(exact);
    }
    printf("%ld %ld %ld\n", kinds[HEAD_ODD], kinds[HEAD_WHOLE], kinds[HEAD_PARTIAL]);
    return 0;
}
