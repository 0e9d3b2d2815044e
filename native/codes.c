#include "codes.h"

#include <string.h>

#include "blake3.h"

/* ---- Keyed BLAKE3 of one message ---------------------------------------------------------------- */

INLINE void keyed_hash(const uint32_t key[8], const uint32_t m[16], uint32_t length, uint32_t out[3])
{
    KEYED_HASH_BODY(uint32_t)
}

static inline uint32_t load_le(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline uint64_t first_8_bytes(const uint32_t out[3])
{
    return (uint64_t)swap(out[0]) << 32 | swap(out[1]);
}

static void keyed_hash_bytes(const uint32_t key[8], const uint8_t *message, size_t length, uint32_t out[3])
{
    uint8_t block[BLOCK_BYTES] = {0};
    uint32_t m[16];
    memcpy(block, message, length);
    for (int i = 0; i < 16; i++)
        m[i] = load_le(block + 4 * i);
    keyed_hash(key, m, (uint32_t)length, out);
}

/* ---- The code's own formulas -------------------------------------------------------------------- */

/* A printed code between its bytes and its meaning: head is kid:6 | body:50. */
typedef struct {
    uint64_t head, tag;
} code;

/* The messages of the next two are 8 and 9 bytes: the kid as one byte, then big-endian numbers. */
static inline uint64_t tag_of(const codes_table *table, uint64_t packed)
{
    uint32_t kid = (uint32_t)(packed >> CODES_BODY_BITS);
    uint64_t plain = packed & CODES_BODY;
    const uint32_t m[16] = {swap(kid << 24 | (uint32_t)(plain >> 32)), swap((uint32_t)plain)};
    uint32_t out[3];
    keyed_hash(table->slots[kid].tag, m, 8, out);
    return first_8_bytes(out);
}

static inline uint64_t mask_of(const codes_table *table, uint32_t kid, uint64_t tag)
{
    const uint32_t m[16] = {swap(kid << 24 | (uint32_t)(tag >> 40)), swap((uint32_t)(tag >> 8)), tag & 0xFF};
    uint32_t out[3];
    keyed_hash(table->slots[kid].mask, m, 9, out);
    return first_8_bytes(out) >> (64 - CODES_BODY_BITS);
}

static inline code seal(const codes_table *table, uint64_t packed)
{
    uint64_t tag = tag_of(table, packed);
    return (code){packed ^ mask_of(table, (uint32_t)(packed >> CODES_BODY_BITS), tag), tag};
}

/* No branch on the tag or on the key's state: what is refused takes as long as what is accepted. */
static inline int64_t unseal(const codes_table *table, code printed)
{
    uint32_t kid = (uint32_t)(printed.head >> CODES_BODY_BITS);
    uint64_t packed = printed.head ^ mask_of(table, kid, printed.tag);
    uint64_t difference = tag_of(table, packed) ^ printed.tag;
    uint64_t equal = ((difference | (0 - difference)) >> 63) ^ 1;
    uint64_t genuine = 0 - (equal & (table->usable >> kid & 1));
    return (int64_t)((packed & genuine) | ((uint64_t)(int64_t)CODES_FORGED & ~genuine));
}

static void raw_of(code printed, uint8_t raw[CODES_RAW_BYTES])
{
    for (int i = 0; i < 7; i++)
        raw[i] = (uint8_t)(printed.head >> (48 - 8 * i));
    for (int i = 0; i < 8; i++)
        raw[7 + i] = (uint8_t)(printed.tag >> (56 - 8 * i));
}

/* ---- Alphabets ----------------------------------------------------------------------------------
 *
 * What a byte means: its value with DIGIT set, SKIP for a separator, 0 for a byte of no code.
 * Crockford's base 32: https://www.crockford.com/base32.html. Base64url: RFC 4648, section 5. */

enum { DIGIT = 0x80, SKIP = 0x40 };
#define D(value) (DIGIT | (value))
#define BOTH(upper, value) [upper] = D(value), [upper + 32] = D(value)

static const uint8_t CROCKFORD[256] = {
    ['-'] = SKIP, [' '] = SKIP,
    ['0'] = D(0), ['1'] = D(1), ['2'] = D(2), ['3'] = D(3), ['4'] = D(4),
    ['5'] = D(5), ['6'] = D(6), ['7'] = D(7), ['8'] = D(8), ['9'] = D(9),
    BOTH('O', 0), BOTH('I', 1), BOTH('L', 1),
    BOTH('A', 10), BOTH('B', 11), BOTH('C', 12), BOTH('D', 13), BOTH('E', 14), BOTH('F', 15),
    BOTH('G', 16), BOTH('H', 17), BOTH('J', 18), BOTH('K', 19), BOTH('M', 20), BOTH('N', 21),
    BOTH('P', 22), BOTH('Q', 23), BOTH('R', 24), BOTH('S', 25), BOTH('T', 26), BOTH('V', 27),
    BOTH('W', 28), BOTH('X', 29), BOTH('Y', 30), BOTH('Z', 31),
};

#define CASES(upper, value) [upper] = D(value), [upper + 32] = D((value) + 26)

static const uint8_t BASE64URL[256] = {
    CASES('A', 0), CASES('B', 1), CASES('C', 2), CASES('D', 3), CASES('E', 4), CASES('F', 5),
    CASES('G', 6), CASES('H', 7), CASES('I', 8), CASES('J', 9), CASES('K', 10), CASES('L', 11),
    CASES('M', 12), CASES('N', 13), CASES('O', 14), CASES('P', 15), CASES('Q', 16), CASES('R', 17),
    CASES('S', 18), CASES('T', 19), CASES('U', 20), CASES('V', 21), CASES('W', 22), CASES('X', 23),
    CASES('Y', 24), CASES('Z', 25),
    ['0'] = D(52), ['1'] = D(53), ['2'] = D(54), ['3'] = D(55), ['4'] = D(56),
    ['5'] = D(57), ['6'] = D(58), ['7'] = D(59), ['8'] = D(60), ['9'] = D(61),
    ['-'] = D(62), ['_'] = D(63),
};

/* Exactly `chars` bytes, each a digit of `bits` bits: two halves of 60 bits, read side by side. */
static inline int read_digits(const uint8_t alphabet[256], int bits, int chars, const uint8_t *text, code *into)
{
    uint64_t high = 0, low = 0;
    uint8_t all = DIGIT;
    for (int i = 0; i < chars / 2; i++) {
        uint8_t left = alphabet[text[i]], right = alphabet[text[chars / 2 + i]];
        all &= left & right;
        high = high << bits | (left & (DIGIT - 1));
        low = low << bits | (right & (DIGIT - 1));
    }
    *into = (code){high >> 4, high << 60 | low};
    return all != 0;
}

/* Without its hyphens and spaces: whether that leaves the length of a code. */
int codes_strip(const uint8_t *text, size_t length, uint8_t digits[CODES_TEXT_CHARS])
{
    size_t count = 0;
    if (length > CODES_INPUT_BYTES_MAX)
        return 0;
    for (size_t i = 0; i < length; i++)
        if (CROCKFORD[text[i]] != SKIP) {
            if (count == CODES_TEXT_CHARS)
                return 0;
            digits[count++] = text[i];
        }
    return count == CODES_TEXT_CHARS;
}

/* A text of the right length with a hyphen in it has too few digits, so there is no second try. */
static int read_text(const uint8_t *text, size_t length, code *into)
{
    uint8_t digits[CODES_TEXT_CHARS];
    if (length != CODES_TEXT_CHARS) {
        if (!codes_strip(text, length, digits))
            return 0;
        text = digits;
    }
    return read_digits(CROCKFORD, 5, CODES_TEXT_CHARS, text, into);
}

static int read_gs1(const uint8_t *serial, size_t length, code *into)
{
    return length == CODES_GS1_CHARS && read_digits(BASE64URL, 6, CODES_GS1_CHARS, serial, into);
}

static inline uint64_t number_of(const uint8_t *bytes, int count)
{
    uint64_t number = 0;
    while (count--)
        number = number << 8 | *bytes++;
    return number;
}

/* `chars` digits of `bits` bits, the last of them the lowest bits of `number`. */
static inline void write_digits(const char *alphabet, int bits, uint64_t number, int chars, uint8_t *text)
{
    while (chars--) {
        text[chars] = (uint8_t)alphabet[number & ((1u << bits) - 1)];
        number >>= bits;
    }
}

static inline void write_crockford(uint64_t number, int chars, uint8_t *text)
{
    write_digits("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 5, number, chars, text);
}

void codes_write_text(const uint8_t raw[CODES_RAW_BYTES], uint8_t text[CODES_TEXT_CHARS])
{
    for (int part = 0; part < 3; part++)
        write_crockford(number_of(raw + 5 * part, 5), 8, text + 8 * part);
}

void codes_write_gs1(const uint8_t raw[CODES_RAW_BYTES], uint8_t serial[CODES_GS1_CHARS])
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int part = 0; part < 5; part++)
        write_digits(DIGITS, 6, number_of(raw + 3 * part, 3), 4, serial + 4 * part);
}

/* ---- What the table does ------------------------------------------------------------------------ */

void codes_load_key(uint32_t words[8], const uint8_t key[CODES_KEY_BYTES])
{
    for (int i = 0; i < 8; i++)
        words[i] = load_le(key + 4 * i);
}

/* Through a volatile pointer: a memset of memory about to be freed is optimised away. */
void codes_wipe(void *memory, size_t length)
{
    volatile uint8_t *bytes = memory;
    while (length--)
        *bytes++ = 0;
}

int64_t codes_verify(const codes_table *table, const uint8_t *text, size_t length)
{
    code printed;
    return read_text(text, length, &printed) ? unseal(table, printed) : CODES_MALFORMED;
}

int64_t codes_verify_gs1(const codes_table *table, const uint8_t *serial, size_t length)
{
    code printed;
    return read_gs1(serial, length, &printed) ? unseal(table, printed) : CODES_MALFORMED;
}

void codes_seal(const codes_table *table, uint64_t packed, uint8_t raw[CODES_RAW_BYTES])
{
    raw_of(seal(table, packed), raw);
}

uint32_t codes_pin(const codes_table *table, uint32_t kid, const uint8_t raw[CODES_RAW_BYTES])
{
    uint32_t out[3];
    keyed_hash_bytes(table->slots[kid].pin, raw, CODES_RAW_BYTES, out);
    return (uint32_t)(first_8_bytes(out) % CODES_PINS);
}

void codes_scan_id(
    const codes_table *table, uint32_t kid, const uint8_t raw[CODES_RAW_BYTES], uint8_t text[CODES_SCAN_ID_CHARS])
{
    uint32_t out[3];
    keyed_hash_bytes(table->slots[kid].id, raw, CODES_RAW_BYTES, out);
    uint64_t first_5_bytes = first_8_bytes(out) >> 24;
    uint64_t next_5_bytes = first_8_bytes(out) << 16 | swap(out[2]) >> 16;
    write_crockford(first_5_bytes, 8, text);
    write_crockford(next_5_bytes, 8, text + 8);
}

/* The first 6 bytes of the hash and the next 6, big-endian: all 12 that keyed_hash gives. */
static codes_pair draw_pair(const codes_table *table, uint32_t kid, const uint8_t *message, size_t length)
{
    uint32_t out[3];
    keyed_hash_bytes(table->slots[kid].draw, message, length, out);
    uint64_t first = first_8_bytes(out);
    return (codes_pair){first >> 16, (first & 0xFFFF) << 32 | swap(out[2])};
}

codes_pair codes_draw_pair(
    const codes_table *table, uint32_t kid, const uint8_t raw[CODES_RAW_BYTES], const uint8_t *pool, size_t length)
{
    uint8_t message[CODES_RAW_BYTES + CODES_POOL_BYTES_MAX];
    memcpy(message, raw, CODES_RAW_BYTES);
    memcpy(message + CODES_RAW_BYTES, pool, length);
    return draw_pair(table, kid, message, CODES_RAW_BYTES + length);
}

/* 48 bytes, while a code and a pool make 16 to 47: under the one key the two messages never meet. */
codes_pair codes_draw_pair_of(const codes_table *table, uint32_t kid, const uint8_t digest[CODES_DIGEST_BYTES])
{
    static const char OTHER[] = "scanner v1 other";
    uint8_t message[CODES_DIGEST_BYTES + sizeof OTHER - 1];
    memcpy(message, digest, CODES_DIGEST_BYTES);
    memcpy(message + CODES_DIGEST_BYTES, OTHER, sizeof OTHER - 1);
    return draw_pair(table, kid, message, sizeof message);
}
