"""The key table against docs/contract.md, section 1, whose formulas are written out here once more."""

import copy
import pickle
import sys
import threading

import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.codes.format import (
    BATCH_MAX,
    FORGED,
    KID_MAX,
    LOT_MAX,
    MALFORMED,
    SERIAL_MAX,
    CodeId,
    derive,
    to_gs1,
    to_text,
)

MASTER = bytes(range(32))
VECTORS = [
    (5, 123456, 789, "2W4WWNA7XW7FAJKB9WWYZFR7", "FwnOVUfvDvVKa085778H", 569129, "XXVFJD9EKA69BFS9"),
    (63, 16777215, 67108863, "ZZ6ZC3FGETT038RYVNWQPW80", "_832DfB2tAGjHt15e3EA", 280292, "7R8GK95HG1AG1KCA"),
]
lots = st.integers(0, LOT_MAX)
serials = st.integers(0, SERIAL_MAX)
quietly = settings(deadline=None, max_examples=60)


def keyed(purpose: str, message: bytes, length: int, master: bytes = MASTER) -> bytes:
    key = blake3(master, derive_key_context=f"scanner v1 {purpose}").digest()
    return blake3(message, key=key).digest(length)


def sealed_by_the_contract(kid: int, lot: int, serial: int, master: bytes = MASTER) -> bytes:
    plain = lot << 26 | serial
    tag = keyed("tag", bytes([kid]) + plain.to_bytes(7), 8, master)
    mask = int.from_bytes(keyed("mask", bytes([kid]) + tag, 7, master)) >> 6
    return (kid << 114 | (plain ^ mask) << 64 | int.from_bytes(tag)).to_bytes(15)


@pytest.mark.parametrize(("kid", "lot", "serial", "text", "gs1", "pin", "scan_id"), VECTORS)
def test_contract_vectors(table, kid, lot, serial, text, gs1, pin, scan_id):
    code = CodeId(kid, lot, serial)
    raw = table.seal(*code)
    assert (to_text(raw), to_gs1(raw)) == (text, gs1)
    assert table.verify(text.encode()) == table.verify_gs1(gs1.encode()) == code.pack()
    assert table.pin(*code) == pin
    assert table.scan_id(*code) == scan_id
    assert table.mint(*code, 1) == text.encode() + b"\n"


@given(master=st.binary(min_size=32, max_size=32), kid=st.integers(0, KID_MAX), lot=lots, serial=serials)
@example(master=MASTER, kid=0, lot=0, serial=0)
@example(master=MASTER, kid=KID_MAX, lot=LOT_MAX, serial=SERIAL_MAX)
@quietly
def test_formulas(key_table, master, kid, lot, serial):
    table = key_table({kid: derive(master)})
    code = CodeId(kid, lot, serial)
    raw = table.seal(*code)
    assert raw == sealed_by_the_contract(kid, lot, serial, master)
    assert table.verify(to_text(raw).encode()) == table.verify_gs1(to_gs1(raw).encode()) == code.pack()
    assert table.pin(*code) == int.from_bytes(keyed("pin", raw, 8, master)) % 1_000_000
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = int.from_bytes(keyed("id", raw, 10, master))
    assert table.scan_id(*code) == "".join(digits[number >> shift & 31] for shift in range(75, -1, -5))


@given(lot=lots, serial=serials, pool=st.binary(min_size=1, max_size=32))
@example(lot=0, serial=0, pool=b"p" * 32)
@quietly
def test_a_draw_is_48_bits_of_the_code_and_the_pool(table, lot, serial, pool):
    raw = sealed_by_the_contract(5, lot, serial)
    assert table.draw(5, lot, serial, pool) == int.from_bytes(keyed("draw", raw + pool, 6))


@pytest.mark.parametrize("pool", [b"", b"p" * 33])
def test_a_pool_has_1_to_32_bytes(table, pool):
    for act in (table.draw, table.draw_pair):
        with pytest.raises(ValueError, match=f"pool must be 1 to 32 bytes, not {len(pool)}"):
            act(5, 0, 0, pool)


@given(lot=lots, serial=serials, pool=st.binary(min_size=1, max_size=32))
@example(lot=0, serial=0, pool=b"p" * 32)
@quietly
def test_a_pair_is_the_draw_and_the_next_48_bits(table, lot, serial, pool):
    out = keyed("draw", sealed_by_the_contract(5, lot, serial) + pool, 12)
    pair = table.draw_pair(5, lot, serial, pool)
    assert pair == (int.from_bytes(out[:6]), int.from_bytes(out[6:]))
    assert pair[0] == table.draw(5, lot, serial, pool)


@given(digest=st.binary(min_size=32, max_size=32))
@example(digest=bytes(32))
@quietly
def test_a_pair_of_a_digest_is_drawn_with_the_same_key(table, digest):
    out = keyed("draw", digest + b"scanner v1 other", 12)
    assert table.draw_pair_of(5, digest) == (int.from_bytes(out[:6]), int.from_bytes(out[6:]))


def test_both_pairs_of_the_contracts_code(table):
    assert table.draw_pair(5, 123456, 789, b"lucky") == (195768804985001, 65385112390973)
    assert table.draw_pair_of(5, bytes(range(32))) == (100588120827730, 19131217213015)


@pytest.mark.parametrize("length", [0, 31, 33, 48])
def test_a_digest_has_32_bytes(table, length):
    with pytest.raises(ValueError, match=f"digest must be 32 bytes, not {length}"):
        table.draw_pair_of(5, bytes(length))


def test_what_a_revoked_key_drew_can_be_drawn_again(table):
    master = bytes(32)
    out = keyed("draw", sealed_by_the_contract(6, 1, 2, master) + b"pool", 12, master)
    assert table.draw(6, 1, 2, b"pool") == int.from_bytes(out[:6])
    assert table.draw_pair(6, 1, 2, b"pool") == (int.from_bytes(out[:6]), int.from_bytes(out[6:]))
    out = keyed("draw", b"d" * 32 + b"scanner v1 other", 12, master)
    assert table.draw_pair_of(6, b"d" * 32) == (int.from_bytes(out[:6]), int.from_bytes(out[6:]))


def test_an_unknown_key_does_not_draw(table):
    for act in (table.draw, table.draw_pair):
        with pytest.raises(ValueError, match="kid 7 is unknown"):
            act(7, 1, 2, b"pool")
    with pytest.raises(ValueError, match="kid 7 is unknown"):
        table.draw_pair_of(7, bytes(32))
    with pytest.raises(ValueError, match="kid must be 0 to 63, not 64"):
        table.draw_pair_of(64, bytes(32))


@given(lot=lots, serial=serials, pools=st.lists(st.binary(min_size=1, max_size=32), max_size=5))
@example(lot=LOT_MAX, serial=SERIAL_MAX, pools=[b"lucky", b"lucky", b"p" * 32])
@quietly
def test_marks_are_the_id_and_the_pair_of_each_pool(table, lot, serial, pools):
    code = CodeId(5, lot, serial)
    marks = table.marks(code.pack(), tuple(pools))
    assert marks[:16].decode() == table.scan_id(*code)
    pairs = [marks[start : start + 12] for start in range(16, len(marks), 12)]
    assert [(int.from_bytes(pair[:6]), int.from_bytes(pair[6:])) for pair in pairs] == [
        table.draw_pair(*code, pool) for pool in pools
    ]


def test_what_was_printed_with_a_revoked_key_keeps_its_marks(table):
    code = CodeId(6, 1, 2)
    u, v = table.draw_pair(*code, b"pool")
    marks = table.scan_id(*code).encode() + u.to_bytes(6) + v.to_bytes(6)
    assert table.marks(code.pack(), (b"pool",)) == marks


@pytest.mark.parametrize(
    ("number", "pools", "error", "message"),
    [
        (FORGED, (), ValueError, "number must be 0 to 72057594037927935, not -2"),
        (1 << 56, (), ValueError, "number must be 0 to 72057594037927935, not 72057594037927936"),
        (CodeId(7, 1, 2).pack(), (), ValueError, "kid 7 is unknown"),
        ("5", (), TypeError, "number must be int, not str"),
        (CodeId(5, 1, 2).pack(), [b"pool"], TypeError, "pools must be tuple, not list"),
        (CodeId(5, 1, 2).pack(), (b"pool", "pool"), TypeError, "pool must be bytes, not str"),
        (CodeId(5, 1, 2).pack(), (b"pool", b""), ValueError, "pool must be 1 to 32 bytes, not 0"),
        (CodeId(5, 1, 2).pack(), (b"p" * 33,), ValueError, "pool must be 1 to 32 bytes, not 33"),
    ],
)
def test_marks_are_of_a_genuine_code_and_its_pools(table, number, pools, error, message):
    with pytest.raises(error, match=message):
        table.marks(number, pools)


def spaced(text: str) -> st.SearchStrategy[str]:
    """The text with hyphens and spaces put in anywhere, up to the 64 bytes that are read."""
    gaps = st.lists(st.sampled_from(["", "", "-", " "]), min_size=25, max_size=25)
    return gaps.map(lambda gaps: "".join(gap + char for gap, char in zip(gaps, [*text, ""], strict=True)))


@given(st.data(), lots, serials)
@quietly
def test_people_may_type_it_their_way(table, data, lot, serial):
    text = to_text(table.seal(5, lot, serial))
    lookalikes = {"0": "0oO", "1": "1iIlL"}
    typed = "".join(
        data.draw(st.sampled_from(lookalikes.get(char, char.upper() + char.lower()))) for char in text
    )
    assert table.verify(data.draw(spaced(typed)).encode()) == CodeId(5, lot, serial).pack()


def test_at_most_64_bytes_are_read(table):
    text = to_text(table.seal(5, 1, 2)).encode()
    assert table.verify(text + b"-" * 40) >= 0
    assert table.verify(text + b"-" * 41) == MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-" * 24,
        b"2W4WWNA7XW7FAJKB9WWYZFR",
        b"2W4WWNA7XW7FAJKB9WWYZFR77",
        b"2W4WWNA7XW7FAJKB9WWYZFRU",
        b"2W4WWNA7XW7FAJKB9WWYZFR=",
        b"2W4WWNA7XW7FAJKB9WWYZFR7\n",
        b"2W4W_WNA7XW7FAJKB9WWYZFR7",
        b"+W4WWNA7XW7FAJKB9WWYZFR7",
        b"2W4WWNA7XW7FAJKB9WWYZFR\x00",
        b"FwnOVUfvDvVKa085778H",
    ],
)
def test_what_is_no_code_is_malformed(table, text):
    assert table.verify(text) == MALFORMED


@pytest.mark.parametrize(
    "serial",
    [
        b"",
        b"FwnOVUfvDvVKa085778",
        b"FwnOVUfvDvVKa085778HH",
        b"FwnOVUfvDvVKa08577==",
        b"FwnOVUfvDvVKa085778=",
        b"FwnOVUfvDvVKa085778+",
        b"FwnOVUfvDvVKa085778/",
        b"FwnOVUfvDvVKa085778 ",
        b"2W4WWNA7XW7FAJKB9WWYZFR7",
    ],
)
def test_gs1_takes_exactly_20_characters_of_base64url(table, serial):
    assert table.verify_gs1(serial) == MALFORMED


def test_each_flipped_bit_is_refused(key_table, sub_keys):
    # With the same key under every kid, only the kid's place in the tag can give a flipped kid away.
    table = key_table(dict.fromkeys(range(KID_MAX + 1), sub_keys))
    raw = int.from_bytes(table.seal(5, 123456, 789))
    flipped = [(raw ^ 1 << bit).to_bytes(15) for bit in range(120)]
    assert {table.verify(to_text(code).encode()) for code in flipped} == {FORGED}
    assert {table.verify_gs1(to_gs1(code).encode()) for code in flipped} == {FORGED}


def test_an_unknown_key_is_forged_and_does_not_seal(table):
    raw = sealed_by_the_contract(7, 1, 2)
    assert table.verify(to_text(raw).encode()) == FORGED
    for act in (table.seal, table.pin, table.scan_id):
        with pytest.raises(ValueError, match="kid 7 is unknown"):
            act(7, 1, 2)


def test_a_revoked_key_is_forged_but_auditors_still_learn_its_ids(table):
    raw = table.seal(6, 1, 2)
    assert raw == sealed_by_the_contract(6, 1, 2, bytes(32))
    assert table.verify(to_text(raw).encode()) == table.verify_gs1(to_gs1(raw).encode()) == FORGED
    assert len(table.scan_id(6, 1, 2)) == 16
    with pytest.raises(ValueError, match="kid 6 is revoked"):
        table.mint(6, 1, 0, 1)


@pytest.mark.parametrize("field", [0, 1, 2])
@pytest.mark.parametrize("value", [-1, 1 << 26, 1 << 63, 1 << 64, 1 << 200])
def test_a_number_out_of_range_is_refused(table, field, value):
    code = [5, 1, 2]
    code[field] = value
    for act in (
        table.seal,
        table.pin,
        table.scan_id,
        lambda *id: table.mint(*id, 1),
        lambda *id: table.draw(*id, b"p"),
        lambda *id: table.draw_pair(*id, b"p"),
    ):
        with pytest.raises(ValueError, match=f"{('kid', 'lot', 'serial')[field]} must be 0 to"):
            act(*code)


@given(lot=lots, first=st.integers(0, SERIAL_MAX - 20), count=st.integers(0, 20))
@example(lot=LOT_MAX, first=SERIAL_MAX - 20, count=21)
@quietly
def test_minting_is_sealing_line_by_line(table, lot, first, count):
    lines = [to_text(table.seal(5, lot, serial)) + "\n" for serial in range(first, first + count)]
    assert table.mint(5, lot, first, count).decode() == "".join(lines)


@pytest.mark.parametrize(
    ("first", "count", "message"),
    [
        (0, -1, "count must be 0 to 1048576, not -1"),
        (0, BATCH_MAX + 1, "count must be 0 to 1048576, not 1048577"),
        (SERIAL_MAX, 2, "serial must be 0 to 67108863, not 67108864"),
        (SERIAL_MAX + 1, 0, "serial must be 0 to 67108863, not 67108864"),
    ],
)
def test_minting_has_bounds(table, first, count, message):
    with pytest.raises(ValueError, match=message):
        table.mint(5, 0, first, count)


@pytest.mark.parametrize("length", [0, 1025])
def test_a_line_has_1_to_1024_bytes(table, length):
    with pytest.raises(ValueError, match=f"line must be 1 to 1024 bytes, not {length}"):
        table.mint(5, 0, 0, 1, b"x" * length)
    with pytest.raises(TypeError, match="line must be bytes, not str"):
        table.mint(5, 0, 0, 1, "x" * length)


def test_a_line_is_a_pattern_of_the_codes_fields(table):
    kid, lot, serial, text, gs1, pin, _ = VECTORS[0]
    line = table.mint(kid, lot, serial, 1, b'{"\x01": \x03, "\x02": "\x04"}')
    assert line.decode() == f'{{"{text}": {serial}, "{gs1}": "{pin}"}}'


def test_a_batch_is_each_in_turn(table):
    texts = [
        *table.mint(5, 1, 0, 40).split(),
        *table.mint(63, 2, 0, 40).split(),
        to_text(table.seal(6, 1, 2)).encode(),
        b"",
        b"no code",
        b"2W4W-WNA7-XW7F-AJKB-9WWY-ZFR7",
        b"x" * 1000,
    ]
    expected = [table.verify(text) for text in texts]
    assert {MALFORMED, FORGED} < set(expected)
    for batch in (texts, tuple(texts), [], texts[:1]):
        assert table.verify_many(batch) == expected[: len(batch)]


def test_a_batch_has_a_bound(table):
    with pytest.raises(ValueError, match="at most 1048576 texts, not 1048577"):
        table.verify_many([b""] * (BATCH_MAX + 1))


def test_other_threads_run_during_a_batch(twins, sub_keys):
    """With a switch interval that never ends, another thread runs only if the batch lets it."""
    native, _ = twins
    table = native({5: sub_keys})
    batch = [VECTORS[0][3].encode()] * 100_000
    gate, ran = threading.Lock(), []
    gate.acquire()
    waiting = threading.Thread(target=lambda: gate.acquire() and ran.append(True))
    interval = sys.getswitchinterval()
    waiting.start()
    sys.setswitchinterval(1000)
    try:
        gate.release()
        # The system decides when the other thread wakes up, so one batch may be over too soon.
        for _ in range(100):
            table.verify_many(batch)
            if ran:
                break
        ran_meanwhile = list(ran)
    finally:
        sys.setswitchinterval(interval)
        waiting.join()
    assert ran_meanwhile


def test_it_never_shows_its_keys(table, sub_keys):
    assert repr(table) == str(table) == "KeyTable(live=[5, 63], revoked=[6])"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            leak(table)
    assert not hasattr(table, "__dict__")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_sub_key_has_32_bytes(key_table, sub_keys, length):
    for purpose in sub_keys._fields:
        with pytest.raises(ValueError, match="a sub-key must be 32 bytes"):
            key_table({1: sub_keys._replace(**{purpose: b"k" * length})})


@pytest.mark.parametrize("kid", [-1, 64])
def test_a_kid_is_0_to_63(key_table, sub_keys, kid):
    with pytest.raises(ValueError, match=f"kid must be 0 to 63, not {kid}"):
        key_table({kid: sub_keys})
    with pytest.raises(ValueError, match=f"kid must be 0 to 63, not {kid}"):
        key_table({1: sub_keys}, revoked=[kid])
