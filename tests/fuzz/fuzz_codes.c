/* Mutates printed codes and reads them, under sanitizers: `fuzz_codes SEED COUNT EXCESS`.
 *
 * Every text stands at the end of memory of its own, so that a byte read behind it is found; EXCESS says that it
 * is longer than it is, to show that. What is read one at a time and many at a time must agree, and a code that is
 * genuine must be one that was sealed here, spelled in any of its ways. Says how many texts were malformed, forged
 * and genuine. */
#include "codes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 96, AT_ONCE = 33, KID = 5 };

static uint64_t state;

/* xorshift64*, below a bound. */
static size_t below(size_t bound)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * 2685821657736338717u) >> 33) % bound;
}

static void random_bytes(void *into, size_t length)
{
    uint8_t *bytes = into;
    while (length--)
        *bytes++ = (uint8_t)below(256);
}

static void load_keys(codes_table *table)
{
    random_bytes(table, sizeof *table);
    table->usable = (uint64_t)1 << KID;
}

static size_t insert(uint8_t *text, size_t length, size_t at, uint8_t byte)
{
    if (length == TEXT_BYTES_MAX)
        return length;
    memmove(text + at + 1, text + at, length - at);
    text[at] = byte;
    return length + 1;
}

static size_t mutate(uint8_t *text, size_t length)
{
    static const char LOOKALIKES[] = "- oOiIlLuU0179azAZ_\x80\xff";
    size_t at = below(length + 1);
    switch (below(6)) {
    case 0:
        if (at < length)
            text[at] ^= (uint8_t)(1 << below(8));
        return length;
    case 1:
        if (at < length)
            memmove(text + at, text + at + 1, length - at - 1);
        return at < length ? length - 1 : length;
    case 2:
        return insert(text, length, at, (uint8_t)LOOKALIKES[below(sizeof LOOKALIKES - 1)]);
    case 3:
        return insert(text, length, at, below(2) ? '-' : ' ');
    case 4:
        if (at < length && text[at] >= 'A' && text[at] <= 'Z')
            text[at] += 'a' - 'A';
        return length;
    default:
        return at;
    }
}

/* Whether a text is the code of this number in one of its spellings. */
static int spells(const codes_table *table, const uint8_t *text, size_t length, uint64_t packed, int is_gs1)
{
    uint8_t raw[CODES_RAW_BYTES], digits[CODES_TEXT_CHARS], wanted[CODES_TEXT_CHARS];
    codes_seal(table, packed, raw);
    if (is_gs1) {
        codes_write_gs1(raw, wanted);
        return length == CODES_GS1_CHARS && !memcmp(text, wanted, CODES_GS1_CHARS);
    }
    codes_write_text(raw, wanted);
    if (!codes_strip(text, length, digits))
        return 0;
    for (int i = 0; i < CODES_TEXT_CHARS; i++) {
        uint8_t digit = digits[i];
        if (digit >= 'a' && digit <= 'z')
            digit -= 'a' - 'A';
        digit = digit == 'O' ? '0' : digit == 'I' || digit == 'L' ? '1' : digit;
        if (digit != wanted[i])
            return 0;
    }
    return 1;
}

typedef struct {
    uint8_t *bytes; /* of its own, to the byte */
    size_t length;
    uint64_t packed;
    int64_t said;
} sample;

static void make(const codes_table *table, sample *into, int is_gs1)
{
    uint8_t text[TEXT_BYTES_MAX], raw[CODES_RAW_BYTES];
    size_t length = is_gs1 ? CODES_GS1_CHARS : CODES_TEXT_CHARS;
    into->packed = (uint64_t)KID << CODES_BODY_BITS | (state & CODES_BODY);
    codes_seal(table, into->packed, raw);
    if (is_gs1)
        codes_write_gs1(raw, text);
    else
        codes_write_text(raw, text);
    for (size_t times = below(4); times > 0; times--)
        length = mutate(text, length);
    into->bytes = malloc(length ? length : 1);
    into->length = length;
    memcpy(into->bytes, text, length);
}

/* One round: texts read one by one, then all at once in every form of this machine. */
static int play(const codes_table *table, size_t excess, long kinds[3])
{
    sample samples[AT_ONCE];
    codes_text texts[AT_ONCE];
    int64_t results[AT_ONCE];
    size_t count = 1 + below(AT_ONCE);
    const char *name;
    int is_gs1 = below(4) == 0, ok = 1;
    for (size_t i = 0; i < count; i++) {
        sample *one = &samples[i];
        make(table, one, is_gs1);
        one->said = is_gs1 ? codes_verify_gs1(table, one->bytes, one->length + excess)
                           : codes_verify(table, one->bytes, one->length + excess);
        texts[i] = (codes_text){one->bytes, one->length + excess};
        kinds[one->said == CODES_MALFORMED ? 0 : one->said == CODES_FORGED ? 1 : 2]++;
        if (one->said >= 0)
            ok &= (uint64_t)one->said == one->packed
                && spells(table, one->bytes, one->length, one->packed, is_gs1);
    }
    for (size_t rank = 0; !is_gs1 && (name = codes_form_name(rank)); rank++) {
        codes_use_form(name);
        codes_verify_many(table, texts, count, results);
        for (size_t i = 0; i < count; i++)
            ok &= results[i] == samples[i].said;
    }
    for (size_t i = 0; i < count; i++)
        free(samples[i].bytes);
    return ok;
}

/* Draws, and lines of codes into memory of their own, in every form: the codes in them must be genuine. */
static int mint(const codes_table *table)
{
    static const uint8_t FIELDS[] = {CODES_FIELD_CODE, CODES_FIELD_GS1, CODES_FIELD_SERIAL, CODES_FIELD_PIN, ',', 'x'};
    uint8_t line[8] = {CODES_FIELD_CODE}, pool[CODES_POOL_BYTES_MAX], raw[CODES_RAW_BYTES];
    size_t length = 1 + below(sizeof line), count = 1 + below(40), pool_length = below(sizeof pool + 1);
    uint64_t serial = below(2) ? CODES_SERIAL_MAX - count + 1 : below(1000000);
    uint64_t packed = (uint64_t)KID << CODES_BODY_BITS | (uint64_t)below(1 << 24) << 26 | serial;
    const char *name;
    int ok = 1;
    for (size_t i = 1; i < length; i++)
        line[i] = FIELDS[below(sizeof FIELDS)];
    random_bytes(pool, pool_length);
    codes_seal(table, packed, raw);
    codes_pair drawn = codes_draw_pair(table, KID, raw, pool, pool_length);
    ok &= drawn.u >> 48 == 0 && drawn.v >> 48 == 0;
    for (size_t rank = 0; (name = codes_form_name(rank)); rank++) {
        codes_use_form(name);
        size_t size = codes_mint_bytes(packed, count, line, length);
        uint8_t *lines = malloc(size);
        codes_mint(table, packed, count, line, length, lines);
        ok &= codes_verify(table, lines, CODES_TEXT_CHARS) == (int64_t)packed;
        free(lines);
    }
    return ok;
}

int main(int argc, char **argv)
{
    static codes_table table;
    long kinds[3] = {0, 0, 0};
    if (argc != 4)
        return 2;
    state = strtoull(argv[1], NULL, 10) * 2 + 1;
    size_t excess = strtoul(argv[3], NULL, 10);
    load_keys(&table);
    for (long left = strtol(argv[2], NULL, 10); left > 0; left--)
        if (!play(&table, excess, kinds) || !mint(&table)) {
            fprintf(stderr, "what was read does not hold\n");
            return 1;
        }
    printf("%ld %ld %ld\n", kinds[0], kinds[1], kinds[2]);
    return 0;
}
