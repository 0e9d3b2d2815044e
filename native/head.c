#include "head.h"

#include <string.h>

static inline int is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

static inline int is_in_name(uint8_t byte)
{
    return (uint8_t)((byte | 0x20) - 'a') < 26 || is_digit(byte) || byte == '-' || byte == '_';
}

static inline int is_in_authority(uint8_t byte)
{
    return (uint8_t)((byte | 0x20) - 'a') < 26 || is_digit(byte) || byte == '-' || byte == '.' || byte == ':';
}

static inline int is_visible(uint8_t byte)
{
    return (uint8_t)(byte - 0x21) < 0x7F - 0x21;
}

typedef struct {
    const uint8_t *name, *value;
    size_t name_length, value_length;
} header;

/* ASCII letters alike; '-' and '_', the only other bytes of a name, stay what they are. */
static int is_same(const uint8_t *text, const uint8_t *other, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((text[i] | 0x20) != (other[i] | 0x20))
            return 0;
    return 1;
}

#define IS(part, h, text) \
    ((h)->part##_length == sizeof text - 1 && is_same((h)->part, (const uint8_t *)text, sizeof text - 1))
#define NAMED(h, text) IS(name, h, text)
#define SAYS(h, text) IS(value, h, text)

/* Past the line's CRLF, or NULL where the line is not a header. */
static const uint8_t *read_header(const uint8_t *at, const uint8_t *end, header *into)
{
    const uint8_t *limit = (size_t)(end - at) > HEAD_LINE_BYTES_MAX ? at + HEAD_LINE_BYTES_MAX : end;
    into->name = at;
    while (at < limit && is_in_name(*at))
        at++;
    into->name_length = (size_t)(at - into->name);
    if (into->name_length == 0 || into->name_length > HEAD_NAME_BYTES_MAX || at == limit || *at++ != ':')
        return NULL;
    while (at < limit && *at == ' ')
        at++;
    into->value = at;
    while (at < limit && (is_visible(*at) || *at == ' '))
        at++;
    if (limit - at < 2 || at[0] != '\r' || at[1] != '\n')
        return NULL;
    into->value_length = (size_t)(at - into->value);
    while (into->value_length && into->value[into->value_length - 1] == ' ')
        into->value_length--;
    return at + 2;
}

/* The body's length, or -1. */
static int64_t read_length(const header *h)
{
    int64_t length = 0;
    if (h->value_length < 1 || h->value_length > 8)
        return -1;
    for (size_t i = 0; i < h->value_length; i++) {
        if (!is_digit(h->value[i]))
            return -1;
        length = 10 * length + (h->value[i] - '0');
    }
    return length;
}

static int is_authority(const header *h)
{
    for (size_t i = 0; i < h->value_length; i++)
        if (!is_in_authority(h->value[i]))
            return 0;
    return h->value_length > 0;
}

/* Headers that change how the connection or the body is read. */
static int asks_for_more(const header *h)
{
    static const char WEB_SOCKET[] = "sec-websocket-";
    const size_t length = sizeof WEB_SOCKET - 1;
    return NAMED(h, "transfer-encoding") || NAMED(h, "content-encoding") || NAMED(h, "expect")
        || NAMED(h, "upgrade") || NAMED(h, "http2-settings") || NAMED(h, "proxy-connection") || NAMED(h, "te")
        || NAMED(h, "trailer")
        || (h->name_length > length && is_same(h->name, (const uint8_t *)WEB_SOCKET, length));
}

/* Past the request line's CRLF, or NULL. */
static const uint8_t *read_line(const uint8_t *data, const uint8_t *end, int *is_scans, int *is_post)
{
    static const char SCANS[] = "POST /v1/scans HTTP/1.1\r\n", VERSION[] = " HTTP/1.1\r\n";
    size_t length = (size_t)(end - data);
    const uint8_t *at = data;
    if (length > sizeof SCANS - 1 && !memcmp(data, SCANS, sizeof SCANS - 1)) {
        *is_scans = *is_post = 1;
        return data + sizeof SCANS - 1;
    }
    *is_scans = 0;
    *is_post = length > 6 && !memcmp(data, "POST /", 6);
    if (*is_post)
        at += 5;
    else if (length > 5 && !memcmp(data, "GET /", 5))
        at += 4;
    else
        return NULL;
    while (at < end && at - data < HEAD_LINE_BYTES_MAX && is_visible(*at))
        at++;
    if ((size_t)(end - at) <= sizeof VERSION - 1 || memcmp(at, VERSION, sizeof VERSION - 1))
        return NULL;
    return at + sizeof VERSION - 1;
}

int head_read(const uint8_t *data, size_t length, head *into)
{
    const uint8_t *end = data + (length > HEAD_BYTES_MAX ? HEAD_BYTES_MAX : length);
    header headers[HEAD_HEADERS_MAX];
    int count = 0, hosts = 0, lengths = 0, is_scans, is_post, is_json = 1;
    int64_t body = 0;
    const uint8_t *at = read_line(data, end, &is_scans, &is_post);
    if (!at)
        return HEAD_ODD;
    *into = (head){{0, 0}, {0, 0}, {0, 0}, {0, 0}, HEAD_OTHER};
    while (end - at < 2 || at[0] != '\r' || at[1] != '\n') {
        if (count == HEAD_HEADERS_MAX)
            return HEAD_ODD;
        header *h = &headers[count];
        at = read_header(at, end, h);
        if (!at)
            return HEAD_ODD;
        for (int i = 0; i < count; i++)
            if (headers[i].name_length == h->name_length && is_same(headers[i].name, h->name, h->name_length))
                return HEAD_ODD;
        count++;
        if (NAMED(h, "host")) {
            if (!is_authority(h))
                return HEAD_ODD;
            hosts = 1;
        } else if (NAMED(h, "content-length")) {
            body = read_length(h);
            if (body < 0)
                return HEAD_ODD;
            lengths = 1;
        } else if (NAMED(h, "content-type")) {
            is_json = SAYS(h, "application/json") || SAYS(h, "application/json; charset=utf-8")
                || SAYS(h, "application/json;charset=utf-8");
        } else if (NAMED(h, "authorization")) {
            into->authorization = (head_span){(size_t)(h->value - data), h->value_length};
        } else if (NAMED(h, "traceparent")) {
            into->traceparent = (head_span){(size_t)(h->value - data), h->value_length};
        } else if (NAMED(h, "x-forwarded-for")) {
            into->forwarded = (head_span){(size_t)(h->value - data), h->value_length};
        } else if (NAMED(h, "connection")) {
            if (!SAYS(h, "keep-alive"))
                return HEAD_ODD;
        } else if (asks_for_more(h)) {
            return HEAD_ODD;
        }
    }
    at += 2;
    if (!hosts || (lengths && !is_post))
        return HEAD_ODD;
    into->body = (head_span){(size_t)(at - data), (size_t)body};
    if (is_scans && lengths && is_json)
        into->route = HEAD_SCAN;
    size_t left = length - into->body.at;
    if (left > (size_t)body)
        return HEAD_ODD;
    return left == (size_t)body ? HEAD_WHOLE : HEAD_PARTIAL;
}
