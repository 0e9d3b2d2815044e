/* Many codes in one call, by lanes. */

#include <string.h>

#include "codes.h"
#include "lanes.h"

enum { PIN_DIGITS = 6, SERIAL_DIGITS_MAX = 8 };

static const uint8_t NO_CODE[CODES_TEXT_CHARS] = {0};

void codes_verify_many(const codes_table *table, const codes_text *texts, size_t count, int64_t *results)
{
    const lanes_form *form = lanes_in_use();
    while (count >= form->worth) {
        uint8_t digits[LANES][CODES_TEXT_CHARS];
        int64_t answers[LANES];
        size_t taken = count < LANES ? count : LANES;
        for (size_t lane = 0; lane < LANES; lane++) {
            const uint8_t *text = NO_CODE;
            if (lane < taken && texts[lane].length == CODES_TEXT_CHARS)
                text = texts[lane].bytes;
            else if (lane < taken && codes_strip(texts[lane].bytes, texts[lane].length, digits[lane]))
                continue;
            memcpy(digits[lane], text, CODES_TEXT_CHARS);
        }
        form->verify(table, (const uint8_t (*)[CODES_TEXT_CHARS])digits, answers);
        memcpy(results, answers, taken * sizeof answers[0]);
        texts += taken, results += taken, count -= taken;
    }
    for (; count--; texts++, results++)
        *results = codes_verify(table, texts->bytes, texts->length);
}

/* ---- Lines, each after a pattern ---------------------------------------------------------------- */

static const uint8_t FIELD_CHARS[] = {
    [CODES_FIELD_CODE] = CODES_TEXT_CHARS, [CODES_FIELD_GS1] = CODES_GS1_CHARS, [CODES_FIELD_PIN] = PIN_DIGITS,
};

static int is_field(uint8_t byte)
{
    return byte >= CODES_FIELD_CODE && byte <= CODES_FIELD_PIN;
}

/* How many digits the numbers from `first` on have in all; `end` is not one of them. */
static uint64_t digits_of(uint64_t first, uint64_t end)
{
    uint64_t digits = end - first;
    for (uint64_t power = 10; power < end; power *= 10)
        digits += end - (first > power ? first : power);
    return digits;
}

size_t codes_mint_bytes(uint64_t packed, size_t count, const uint8_t *line, size_t length)
{
    uint64_t serial = packed & CODES_SERIAL_MAX;
    size_t bytes = 0;
    for (size_t i = 0; i < length; i++)
        if (line[i] == CODES_FIELD_SERIAL)
            bytes += digits_of(serial, serial + count);
        else
            bytes += count * (is_field(line[i]) ? FIELD_CHARS[line[i]] : 1);
    return bytes;
}

static const char PAIRS[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* A number below 10^digits as `digits` digits, an even number of them. */
static void write_pairs(uint32_t number, int digits, uint8_t *text)
{
    for (digits -= 2; digits >= 0; digits -= 2, number /= 100)
        memcpy(text + digits, PAIRS + 2 * (number % 100), 2);
}

static int digits_in(uint32_t serial)
{
    int digits = 1;
    for (uint32_t power = 10; digits < SERIAL_DIGITS_MAX && power <= serial; power *= 10)
        digits++;
    return digits;
}

/* A line as it is written for all serials of so many digits, and where the fields stand in it. */
typedef struct {
    uint8_t bytes[CODES_LINE_BYTES_MAX * CODES_TEXT_CHARS];
    size_t length, count;
    struct {
        uint16_t at;
        uint8_t field;
    } places[CODES_LINE_BYTES_MAX];
} image;

static void draw_image(image *of, const uint8_t *line, size_t length, int digits)
{
    of->length = of->count = 0;
    for (; length--; line++)
        if (is_field(*line)) {
            of->places[of->count].at = (uint16_t)of->length;
            of->places[of->count++].field = *line;
            of->length += *line == CODES_FIELD_SERIAL ? (size_t)digits : FIELD_CHARS[*line];
        } else
            of->bytes[of->length++] = *line;
}

static uint8_t *write_line(
    const image *of, const codes_minted *minted, size_t lane, uint32_t serial, int digits, uint8_t *into)
{
    uint8_t text[SERIAL_DIGITS_MAX];
    memcpy(into, of->bytes, of->length);
    for (size_t i = 0; i < of->count; i++) {
        uint8_t *place = into + of->places[i].at;
        switch (of->places[i].field) {
        case CODES_FIELD_CODE:
            memcpy(place, minted->text[lane], CODES_TEXT_CHARS);
            break;
        case CODES_FIELD_GS1:
            memcpy(place, minted->gs1[lane], CODES_GS1_CHARS);
            break;
        case CODES_FIELD_SERIAL:
            write_pairs(serial, SERIAL_DIGITS_MAX, text);
            memcpy(place, text + SERIAL_DIGITS_MAX - digits, (size_t)digits);
            break;
        case CODES_FIELD_PIN:
            write_pairs(minted->pin[lane], PIN_DIGITS, place);
        }
    }
    return into + of->length;
}

static int fields_in(const uint8_t *line, size_t length)
{
    int gs1 = memchr(line, CODES_FIELD_GS1, length) ? FIELD_GS1 : 0;
    return gs1 | (memchr(line, CODES_FIELD_PIN, length) ? FIELD_PIN : 0);
}

void codes_mint(
    const codes_table *table, uint64_t packed, size_t count, const uint8_t *line, size_t length, uint8_t *lines)
{
    const lanes_form *form = lanes_in_use();
    int fields = fields_in(line, length), digits = 0;
    uint32_t serial = (uint32_t)(packed & CODES_SERIAL_MAX);
    image of;
    for (size_t done = 0; done < count; done += LANES) {
        codes_minted minted;
        form->mint(table, packed + done, fields, &minted);
        for (size_t lane = 0; lane < LANES && done + lane < count; lane++, serial++) {
            if (digits != digits_in(serial)) {
                digits = digits_in(serial);
                draw_image(&of, line, length, digits);
            }
            lines = write_line(&of, &minted, lane, serial, digits, lines);
        }
    }
}
