/* One form of native/lanes.c, which includes this once for each and defines
 *   TARGET     what the machine must have for it, as a function attribute;
 *   WIDTH      how many 32-bit words a vector of that machine has: the lanes that are hashed at once;
 *   NAME(it)   the name of `it` in this form.
 * Every function carries TARGET itself: gcc takes vectors apart before it inlines, by the target of the
 * function they stand in. For little-endian machines only.
 *
 * No branch on a tag or on a key's state, as in the scalar form; which keys a batch was sealed with is
 * printed on the codes. */

typedef uint32_t NAME(word) __attribute__((vector_size(4 * WIDTH)));
typedef uint8_t NAME(chars) __attribute__((vector_size(WIDTH < 8 ? 16 : 32)));

#define BYTE(value) ((uint8_t)(value))
#define TRUE(comparison) ((NAME(chars))(comparison))

TARGET INLINE void NAME(keyed_hash)(
    const NAME(word) key[8], const NAME(word) m[16], uint32_t length, NAME(word) out[3])
{
    KEYED_HASH_BODY(NAME(word))
}

/* The words of the lanes' keys. Most batches have one key in common, which needs no gathering. */
TARGET INLINE void NAME(load_keys)(
    const codes_table *table, const uint32_t *kids, size_t purpose, NAME(word) key[8])
{
    uint32_t words[8][WIDTH], others = 0;
    const uint32_t *from = key_words(table, kids[0], purpose);
    for (int lane = 1; lane < WIDTH; lane++)
        others |= kids[lane] ^ kids[0];
    if (!others) {
        for (int i = 0; i < 8; i++)
            key[i] = (NAME(word)){0} + from[i];
        return;
    }
    for (int lane = 0; lane < WIDTH; lane++) {
        from = key_words(table, kids[lane], purpose);
        for (int i = 0; i < 8; i++)
            words[i][lane] = from[i];
    }
    memcpy(key, words, sizeof words);
}

/* The first 8 bytes, big-endian, of the hash of each lane's message: `count` words, `length` bytes. */
TARGET INLINE void NAME(hash)(
    const codes_table *table, const uint32_t *kids, size_t purpose, uint32_t words[4][LANES], int count,
    uint32_t length, uint64_t first_8_bytes[LANES])
{
    uint32_t first[LANES], second[LANES];
    for (int at = 0; at < LANES; at += WIDTH) {
        NAME(word) key[8], m[16] = {{0}}, out[3];
        NAME(load_keys)(table, kids + at, purpose, key);
        for (int i = 0; i < count; i++)
            memcpy(&m[i], &words[i][at], sizeof m[i]);
        NAME(keyed_hash)(key, m, length, out);
        memcpy(first + at, &out[0], sizeof out[0]);
        memcpy(second + at, &out[1], sizeof out[1]);
    }
    for (int lane = 0; lane < LANES; lane++)
        first_8_bytes[lane] = (uint64_t)swap(first[lane]) << 32 | swap(second[lane]);
}

/* The messages of tag and mask are those of tag_of and mask_of in native/codes.c. */
TARGET INLINE void NAME(tags)(
    const codes_table *table, const uint32_t *kids, const uint64_t packed[LANES], uint64_t tags[LANES])
{
    uint32_t words[4][LANES];
    for (int lane = 0; lane < LANES; lane++) {
        words[0][lane] = swap(kids[lane] << 24 | (uint32_t)((packed[lane] & CODES_BODY) >> 32));
        words[1][lane] = swap((uint32_t)packed[lane]);
    }
    NAME(hash)(table, kids, offsetof(codes_subkeys, tag), words, 2, 8, tags);
}

TARGET INLINE void NAME(masks)(
    const codes_table *table, const uint32_t *kids, const uint64_t tags[LANES], uint64_t masks[LANES])
{
    uint32_t words[4][LANES];
    for (int lane = 0; lane < LANES; lane++) {
        words[0][lane] = swap(kids[lane] << 24 | (uint32_t)(tags[lane] >> 40));
        words[1][lane] = swap((uint32_t)(tags[lane] >> 8));
        words[2][lane] = (uint32_t)(tags[lane] & 0xFF);
    }
    NAME(hash)(table, kids, offsetof(codes_subkeys, mask), words, 3, 9, masks);
    for (int lane = 0; lane < LANES; lane++)
        masks[lane] >>= 64 - CODES_BODY_BITS;
}

/* The PIN's message is the 15 bytes themselves. */
TARGET INLINE void NAME(pins)(
    const codes_table *table, const uint32_t *kids, const uint64_t heads[LANES], const uint64_t tags[LANES],
    uint32_t pins[LANES])
{
    uint32_t words[4][LANES];
    uint64_t hashes[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        words[0][lane] = swap((uint32_t)(heads[lane] >> 24));
        words[1][lane] = swap((uint32_t)(heads[lane] << 8 | tags[lane] >> 56));
        words[2][lane] = swap((uint32_t)(tags[lane] >> 24));
        words[3][lane] = swap((uint32_t)(tags[lane] << 8));
    }
    NAME(hash)(table, kids, offsetof(codes_subkeys, pin), words, 4, CODES_RAW_BYTES, hashes);
    for (int lane = 0; lane < LANES; lane++)
        pins[lane] = (uint32_t)(hashes[lane] % CODES_PINS);
}

/* ---- Base 32 and base64url, a digit a byte --------------------------------------------------------- */

/* Crockford's digits to their values; `good` has all bits of a byte that is a digit. */
TARGET INLINE void NAME(read_chars)(const uint8_t *text, uint8_t *values, uint8_t *good)
{
    for (size_t at = 0; at < 8 * WORDS; at += sizeof(NAME(chars))) {
        NAME(chars) given;
        memcpy(&given, text + at, sizeof given);
        NAME(chars) upper = given & BYTE(0xDF), number = given - BYTE('0');
        NAME(chars) digit = TRUE(number < BYTE(10));
        NAME(chars) letter = TRUE(upper - BYTE('A') < BYTE(26)) & TRUE(upper != BYTE('U'));
        NAME(chars) one = TRUE(upper == BYTE('I')) | TRUE(upper == BYTE('L'));
        /* TRUE is -1: one less for each letter before this one that stands for no value of its own. */
        NAME(chars) value = upper - BYTE('A' - 10) + TRUE(upper > BYTE('I')) + TRUE(upper > BYTE('L'))
            + TRUE(upper > BYTE('O')) + TRUE(upper > BYTE('U'));
        value = (value & ~one & TRUE(upper != BYTE('O'))) | (one & BYTE(1));
        value = (digit & number) | (letter & value);
        digit |= letter;
        memcpy(values + at, &value, sizeof value);
        memcpy(good + at, &digit, sizeof digit);
    }
}

TARGET INLINE void NAME(write_crockford)(uint8_t *digits)
{
    for (size_t at = 0; at < 8 * WORDS; at += sizeof(NAME(chars))) {
        NAME(chars) value;
        memcpy(&value, digits + at, sizeof value);
        value += BYTE('0') + (TRUE(value > BYTE(9)) & BYTE('A' - '0' - 10)) - TRUE(value > BYTE(17))
            - TRUE(value > BYTE(19)) - TRUE(value > BYTE(21)) - TRUE(value > BYTE(26));
        memcpy(digits + at, &value, sizeof value);
    }
}

TARGET INLINE void NAME(write_base64url)(uint8_t *digits)
{
    for (size_t at = 0; at < 8 * WORDS; at += sizeof(NAME(chars))) {
        NAME(chars) value;
        memcpy(&value, digits + at, sizeof value);
        value += BYTE('A') + (TRUE(value > BYTE(25)) & BYTE('a' - 'A' - 26))
            + (TRUE(value > BYTE(51)) & BYTE('0' - 'a' - 26)) + (TRUE(value > BYTE(61)) & BYTE('-' - '0' - 10))
            + (TRUE(value > BYTE(62)) & BYTE('_' - '-' - 1));
        memcpy(digits + at, &value, sizeof value);
    }
}

TARGET static void NAME(verify)(
    const codes_table *table, const uint8_t texts[LANES][CODES_TEXT_CHARS], int64_t *results)
{
    uint64_t digits[WORDS], good[WORDS];
    uint64_t heads[LANES], tags[LANES], packed[LANES], masks[LANES], again[LANES];
    uint32_t kids[LANES];
    NAME(read_chars)(texts[0], (uint8_t *)digits, (uint8_t *)good);
    for (int i = 0; i < WORDS; i++)
        digits[i] = joined(digits[i], 5);
    for (int lane = 0; lane < LANES; lane++) {
        const uint64_t *part = digits + 3 * lane;
        heads[lane] = part[0] << 16 | part[1] >> 24;
        tags[lane] = part[1] << 40 | part[2];
        kids[lane] = (uint32_t)(heads[lane] >> CODES_BODY_BITS);
    }
    NAME(masks)(table, kids, tags, masks);
    for (int lane = 0; lane < LANES; lane++)
        packed[lane] = heads[lane] ^ masks[lane];
    NAME(tags)(table, kids, packed, again);
    for (int lane = 0; lane < LANES; lane++) {
        const uint64_t *all = good + 3 * lane;
        uint64_t difference = again[lane] ^ tags[lane];
        uint64_t equal = ((difference | (0 - difference)) >> 63) ^ 1;
        uint64_t genuine = 0 - (equal & (table->usable >> kids[lane] & 1));
        int64_t result = (int64_t)((packed[lane] & genuine) | ((uint64_t)(int64_t)CODES_FORGED & ~genuine));
        results[lane] = (all[0] & all[1] & all[2]) == UINT64_MAX ? result : CODES_MALFORMED;
    }
}

TARGET static void NAME(mint)(const codes_table *table, uint64_t first, int fields, codes_minted *minted)
{
    uint64_t digits[WORDS];
    uint64_t packed[LANES], heads[LANES], tags[LANES], masks[LANES];
    uint32_t kids[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        kids[lane] = (uint32_t)(first >> CODES_BODY_BITS);
        packed[lane] = first + (uint64_t)lane;
    }
    NAME(tags)(table, kids, packed, tags);
    NAME(masks)(table, kids, tags, masks);
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t head = heads[lane] = packed[lane] ^ masks[lane];
        digits[3 * lane] = head >> 16;
        digits[3 * lane + 1] = (head << 24 | tags[lane] >> 40) & FORTY_BITS;
        digits[3 * lane + 2] = tags[lane] & FORTY_BITS;
    }
    for (int i = 0; i < WORDS; i++)
        digits[i] = parted(digits[i], 5);
    NAME(write_crockford)((uint8_t *)digits);
    memcpy(minted->text, digits, sizeof minted->text);
    if (fields & FIELD_GS1) {
        for (int lane = 0; lane < LANES; lane++) {
            digits[3 * lane] = heads[lane] >> 8;
            digits[3 * lane + 1] = (heads[lane] << 40 | tags[lane] >> 24) & FORTY_EIGHT_BITS;
            digits[3 * lane + 2] = tags[lane] << 24 & FORTY_EIGHT_BITS;
        }
        for (int i = 0; i < WORDS; i++)
            digits[i] = parted(digits[i], 6);
        NAME(write_base64url)((uint8_t *)digits);
        memcpy(minted->gs1, digits, sizeof minted->gs1);
    }
    if (fields & FIELD_PIN)
        NAME(pins)(table, kids, heads, tags, minted->pin);
}

#undef BYTE
#undef TRUE
#undef TARGET
#undef WIDTH
#undef NAME
