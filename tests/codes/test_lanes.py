"""Batches, in every form that runs on this machine, against one code at a time and against the pure twin."""

import random

import pytest

from scanner.codes.format import LOT_MAX, SERIAL_MAX, CodeId, derive, to_text
from tests.codes.conftest import MASTER, twin

LINE = b"\x01,https://x.cn/\x01,\x02,7,\x03,\x04;\x03\n"
EDGES = [0, 1, 9, 10, 99, 995, 9_990, 99_999, 999_999, 9_999_990, SERIAL_MAX - 60]
forms = pytest.importorskip("scanner.codes._native", exc_type=ImportError)


@pytest.fixture(params=forms.forms(), autouse=True)
def form(request):
    forms.use_form(request.param)
    yield request.param
    forms.use_form(forms.forms()[0])


@pytest.fixture(scope="module")
def keys():
    return {0: derive(b"z" * 32), 5: derive(MASTER), 6: derive(bytes(32)), 63: derive(b"k" * 32)}


@pytest.fixture(scope="module")
def native(keys):
    return twin("native")(keys, revoked=[6])


@pytest.fixture(scope="module")
def pure(keys):
    return twin("pure")(keys, revoked=[6])


def mixed(table, count, seed):
    """Genuine codes of several keys, forged, revoked and malformed ones, in any order."""
    noise = random.Random(seed)
    crockford = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    def text():
        lot, serial = noise.randint(0, LOT_MAX), noise.randint(0, SERIAL_MAX)
        code = to_text(table.seal(noise.choice([0, 5, 6, 63]), lot, serial))
        place = noise.randrange(24)
        typed = "".join(noise.choice(["", "-", " "]) + char for char in code.lower())
        return noise.choice(
            [
                code.encode(),
                code.encode(),
                typed.encode(),
                typed.encode()[:24],
                bytes(noise.choices(crockford, k=24)),
                noise.randbytes(24),
                noise.randbytes(noise.randrange(70)),
                (code[:place] + noise.choice("oOiIlLuU-@[`{/:") + code[place + 1 :]).encode(),
            ]
        )

    return [text() for _ in range(count)]


def test_the_scalar_form_runs_everywhere():
    assert forms.forms()[-1] == "scalar"
    with pytest.raises(ValueError, match="scalar, not 'abacus'"):
        forms.use_form("abacus")


@pytest.mark.parametrize("count", [*range(35), 47, 48, 49, 100, 1_000])
def test_a_batch_of_any_count_is_each_in_turn(native, pure, count):
    texts = mixed(pure, count, seed=count)
    answers = native.verify_many(texts)
    assert answers == pure.verify_many(texts)
    assert answers == [native.verify(text) for text in texts]


def test_a_batch_under_one_key_and_under_all(native, pure):
    one = native.mint(5, 1, 0, 33).split()
    assert native.verify_many(one) == [CodeId(5, 1, serial).pack() for serial in range(33)]
    turns = [to_text(pure.seal((0, 5, 63)[serial % 3], 1, serial)).encode() for serial in range(64)]
    assert native.verify_many(turns) == [
        CodeId((0, 5, 63)[serial % 3], 1, serial).pack() for serial in range(64)
    ]


@pytest.mark.parametrize("lane", [0, 7, 15, 16])
def test_a_flipped_bit_is_refused_in_its_own_lane_alone(native, lane):
    texts = native.mint(63, LOT_MAX, 0, 32).split()
    right = native.verify_many(texts)
    raw = int.from_bytes(native.seal(63, LOT_MAX, lane))
    for bit in range(120):
        texts[lane] = to_text((raw ^ 1 << bit).to_bytes(15)).encode()
        assert native.verify_many(texts) == [*right[:lane], -2, *right[lane + 1 :]]


def test_every_byte_at_every_place(native):
    code = native.mint(5, 3, 4, 1).strip()
    texts = [code[:place] + bytes([byte]) + code[place + 1 :] for place in range(24) for byte in range(256)]
    assert native.verify_many(texts) == [native.verify(text) for text in texts]


@pytest.mark.parametrize("count", [*range(35), 60])
@pytest.mark.parametrize("line", [b"\x01\n", LINE], ids=["text", "record"])
def test_lines_of_any_count(native, pure, count, line):
    assert native.mint(5, 123456, 789, count, line) == pure.mint(5, 123456, 789, count, line)


@pytest.mark.parametrize("first", EDGES)
@pytest.mark.parametrize("kid", [0, 63])
def test_lines_at_the_edges_of_serials(native, pure, kid, first):
    for lot in (0, LOT_MAX):
        assert native.mint(kid, lot, first, 20, LINE) == pure.mint(kid, lot, first, 20, LINE)


def test_the_very_last_codes(native, pure):
    for count in (1, 3, 16, 17):
        last = (63, LOT_MAX, SERIAL_MAX + 1 - count, count, LINE)
        assert native.mint(*last) == pure.mint(*last)


@pytest.mark.parametrize("line", [b"x", b"\x03" * 1024, b"y" * 1024, b"\x02", b"\x04\x04", bytes(range(256))])
def test_a_line_may_be_of_anything(native, pure, line):
    assert native.mint(5, 1, 95, 20, line) == pure.mint(5, 1, 95, 20, line)


def test_pins_keep_their_zeros(native):
    pins = native.mint(5, 1, 0, 10_000, b"\x04\n").decode().split()
    assert pins == [f"{native.pin(5, 1, serial):06}" for serial in range(10_000)]
    assert any(pin.startswith("00") for pin in pins)
