/* Seals and checks product codes: docs/contract.md, section 1.
 *
 * Two numbers carry a code everywhere in here:
 *   packed  56 bits, kid:6 | lot:24 | serial:26, what a genuine code says;
 *   raw     15 bytes, kid:6 | body:50 | tag:64, what is printed.
 * Nothing in here allocates, fails or needs the interpreter. */
#ifndef SCANNER_CODES_H
#define SCANNER_CODES_H

#include <stddef.h>
#include <stdint.h>

enum {
    CODES_KIDS = 64,
    CODES_KEY_BYTES = 32,
    CODES_RAW_BYTES = 15,
    CODES_TEXT_CHARS = 24,
    CODES_GS1_CHARS = 20,
    CODES_INPUT_BYTES_MAX = 64,
    CODES_POOL_BYTES_MAX = 32,
    CODES_DIGEST_BYTES = 32,
    CODES_SCAN_ID_CHARS = 16,
    CODES_LINE_BYTES_MAX = 1024,
    CODES_PINS = 1000000,
    CODES_SERIAL_MAX = (1 << 26) - 1,
    CODES_BODY_BITS = 50,
    CODES_MALFORMED = -1,
    CODES_FORGED = -2
};

#define CODES_BODY (((uint64_t)1 << CODES_BODY_BITS) - 1)
#define CODES_PACKED_MAX (((uint64_t)1 << 56) - 1)

/* The bytes that stand for a field of a code in the pattern of a line; its other bytes stand for themselves. */
enum { CODES_FIELD_CODE = 1, CODES_FIELD_GS1, CODES_FIELD_SERIAL, CODES_FIELD_PIN };

/* The five sub-keys of a master key, as the words that BLAKE3 computes with. */
typedef struct {
    uint32_t tag[8], mask[8], pin[8], draw[8], id[8];
} codes_subkeys;

/* Every slot holds keys: those of a live or revoked kid, else random ones, so
 * that an unknown key takes as long as a wrong tag. Bit `kid` of `usable` says
 * whether its codes are accepted. */
typedef struct {
    codes_subkeys slots[CODES_KIDS];
    uint64_t usable;
} codes_table;

/* A text that somebody else owns and keeps alive. */
typedef struct {
    const uint8_t *bytes;
    size_t length;
} codes_text;

/* The two numbers of a draw, of 48 bits each: u says what is won, v how much of it. */
typedef struct {
    uint64_t u, v;
} codes_pair;

void codes_load_key(uint32_t words[8], const uint8_t key[CODES_KEY_BYTES]);
void codes_wipe(void *memory, size_t length);

/* These give the packed number, CODES_MALFORMED or CODES_FORGED. */
int64_t codes_verify(const codes_table *table, const uint8_t *text, size_t length);
int64_t codes_verify_gs1(const codes_table *table, const uint8_t *serial, size_t length);
void codes_verify_many(const codes_table *table, const codes_text *texts, size_t count, int64_t *results);

/* `packed` must be below 2^56. */
void codes_seal(const codes_table *table, uint64_t packed, uint8_t raw[CODES_RAW_BYTES]);

/* How many bytes codes_mint writes. */
size_t codes_mint_bytes(uint64_t packed, size_t count, const uint8_t *line, size_t length);
/* Writes the pattern `line` for each of `count` serials from the one in `packed`, the last of which must
 * not exceed CODES_SERIAL_MAX; `length` must not exceed CODES_LINE_BYTES_MAX. */
void codes_mint(
    const codes_table *table, uint64_t packed, size_t count, const uint8_t *line, size_t length, uint8_t *lines);

/* Spellings. codes_strip takes hyphens and spaces out: whether that leaves the length of a code. */
int codes_strip(const uint8_t *text, size_t length, uint8_t digits[CODES_TEXT_CHARS]);
void codes_write_text(const uint8_t raw[CODES_RAW_BYTES], uint8_t text[CODES_TEXT_CHARS]);
void codes_write_gs1(const uint8_t raw[CODES_RAW_BYTES], uint8_t serial[CODES_GS1_CHARS]);

/* These take a code as codes_seal gave it, so that one sealing serves them all; `kid` must be its own, and
 * `length` must not exceed CODES_POOL_BYTES_MAX. */
uint32_t codes_pin(const codes_table *table, uint32_t kid, const uint8_t raw[CODES_RAW_BYTES]);
void codes_scan_id(
    const codes_table *table, uint32_t kid, const uint8_t raw[CODES_RAW_BYTES], uint8_t text[CODES_SCAN_ID_CHARS]);
codes_pair codes_draw_pair(
    const codes_table *table, uint32_t kid, const uint8_t raw[CODES_RAW_BYTES], const uint8_t *pool, size_t length);
/* For draws that are not a code's; `kid` must be below CODES_KIDS. */
codes_pair codes_draw_pair_of(const codes_table *table, uint32_t kid, const uint8_t digest[CODES_DIGEST_BYTES]);

/* The ways in which codes_verify_many and codes_mint may run here, the fastest first and in use: the name of
 * number `rank`, or NULL. All give the same answers; codes_use_form, for tests, answers whether it knows one. */
const char *codes_form_name(size_t rank);
int codes_use_form(const char *name);

#endif
