"""The native key table and its pure twin: the same answers and the same errors on the same inputs."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.codes.format import KID_MAX, derive

TEXT, GS1 = b"2W4WWNA7XW7FAJKB9WWYZFR7", b"FwnOVUfvDvVKa085778H"
quietly = settings(deadline=None, max_examples=150)


@pytest.fixture(scope="module")
def both(twins, sub_keys):
    keys = {0: derive(b"a" * 32), 5: sub_keys, 6: derive(bytes(32)), 63: sub_keys}
    return tuple(twin(keys, revoked=[6, 7]) for twin in twins)


def outcome(act, *arguments):
    try:
        return act(*arguments)
    except Exception as error:
        return type(error), str(error)


def same(both, method, *arguments):
    native, pure = (outcome(getattr(table, method), *arguments) for table in both)
    assert native == pure, (method, arguments)
    assert type(native) is type(pure)
    return native


def public(twin):
    return sorted(name for name in vars(twin) if not name.startswith("_"))


def test_they_offer_the_same(twins):
    native, pure = twins
    assert public(native) == public(pure)


@pytest.mark.parametrize("length", range(71))
def test_every_length(both, length):
    noise = random.Random(length)
    crockford = b"0123456789abcdefghijklmnopqrstvwxyzABCDEFGHIJKLMNOPQRSTVWXYZ- "
    base64url = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    inputs = [bytes(length), noise.randbytes(length), b"-" * length, (TEXT * 3)[:length], (GS1 * 4)[:length]]
    inputs += [
        bytes(noise.choices(alphabet, k=length)) for alphabet in (crockford, base64url) for _ in range(20)
    ]
    inputs += [TEXT.ljust(length, b"-"), TEXT.rjust(length), TEXT[:7] + b" " * (length - 24) + TEXT[7:]]
    for given_bytes in inputs:
        same(both, "verify", given_bytes)
        same(both, "verify_gs1", given_bytes)
    same(both, "verify_many", inputs)
    for method in ("draw", "draw_pair"):
        same(both, method, 5, 1, 2, noise.randbytes(length))
    same(both, "draw_pair_of", 5, noise.randbytes(length))
    same(both, "marks", 5 << 50 | length, tuple(noise.randbytes(each) for each in range(1, length + 1)))


@pytest.mark.parametrize("place", [0, 11, 12, 23])
def test_every_byte_in_a_text(both, place):
    for byte in range(256):
        same(both, "verify", TEXT[:place] + bytes([byte]) + TEXT[place + 1 :])
        same(both, "verify", TEXT[:place] + bytes([byte]) + TEXT[place:])


@pytest.mark.parametrize("place", [0, 9, 10, 19])
def test_every_byte_in_a_gs1_serial(both, place):
    for byte in range(256):
        same(both, "verify_gs1", GS1[:place] + bytes([byte]) + GS1[place + 1 :])


@pytest.mark.parametrize("kid", range(KID_MAX + 1))
def test_every_kid(both, kid):
    for method in ("seal", "pin", "scan_id"):
        same(both, method, kid, 3, 4)
    same(both, "mint", kid, 3, 4, 5)
    same(both, "mint", kid, 3, 4, 5, b"\x01\x02\x03\x04")
    for method in ("draw", "draw_pair"):
        same(both, method, kid, 3, 4, b"pool")
    same(both, "draw_pair_of", kid, b"d" * 32)
    same(both, "marks", kid << 50 | 3 << 26 | 4, (b"pool", b"another"))


numbers = st.one_of(st.integers(-2, 1 << 27), st.integers(), st.sampled_from([5, 63, (1 << 26) - 1]))
anything = st.one_of(
    numbers, st.none(), st.text(max_size=3), st.floats(), st.binary(max_size=3), st.booleans()
)


@given(st.lists(anything, min_size=3, max_size=3), st.integers(-2, 5))
@quietly
def test_any_arguments_to_what_takes_a_code(both, code, count):
    for method in ("seal", "pin", "scan_id"):
        same(both, method, *code)
    same(both, "mint", *code, count)
    same(both, "mint", *code, count, b"\x03")
    for method in ("draw", "draw_pair"):
        same(both, method, *code, b"pool")


@given(anything, st.one_of(anything, st.lists(anything, max_size=3).map(tuple)))
@quietly
def test_any_arguments_to_marks(both, number, pools):
    same(both, "marks", number, pools)
    same(both, "marks", 5 << 50, pools)


@given(anything, anything)
@quietly
def test_any_key_and_count(both, kid, count):
    if not isinstance(count, int) or count < 100:
        same(both, "mint", kid, 3, (1 << 26) - 50, count)
    same(both, "mint", 5, 3, 4, 2, kid)
    same(both, "mint", 6, 3, 4, 2, kid)
    for method in ("draw", "draw_pair"):
        same(both, method, 5, 3, 4, kid)
    for digest in (count, b"d" * 32):
        same(both, "draw_pair_of", kid, digest)
    same(both, "draw_pair_of", 5, count)


@pytest.mark.parametrize(
    "wrong", [None, "2W4WWNA7XW7FAJKB9WWYZFR7", bytearray(TEXT), memoryview(TEXT), 5, [TEXT]]
)
def test_what_is_not_bytes_is_a_type_error(both, wrong):
    for method in ("verify", "verify_gs1"):
        error, message = same(both, method, wrong)
        assert error is TypeError
        assert message.endswith(f"must be bytes, not {type(wrong).__name__}")
    assert same(both, "verify_many", [TEXT, wrong]) == (
        TypeError,
        f"each text must be bytes, not {type(wrong).__name__}",
    )


@pytest.mark.parametrize("wrong", [None, 5, TEXT, "text"])
def test_what_is_no_batch_is_a_type_error(both, wrong):
    assert same(both, "verify_many", wrong)[0] is TypeError


def test_a_subclass_of_bytes_is_bytes(both):
    assert same(both, "verify", type("Text", (bytes,), {})(TEXT)) >= 0


@pytest.mark.parametrize(
    "keys", [{64: None}, {-1: None}, {"1": None}, {1: (b"", b"")}, {1: (b"",) * 6}, {1: None}]
)
def test_wrong_keys(twins, sub_keys, keys):
    native, pure = (outcome(twin, {kid: value or sub_keys for kid, value in keys.items()}) for twin in twins)
    if keys == {1: None}:
        assert repr(native) == repr(pure) == "KeyTable(live=[1], revoked=[])"
    else:
        assert native[0] is pure[0]


def test_errors_never_repeat_a_key(twins):
    for twin in twins:
        for wrong in ((b"SECRET",) * 5, (b"SECRET",), ("SECRET" * 32,) * 5):
            _, message = outcome(twin, {1: wrong})
            assert "SECRET" not in message
