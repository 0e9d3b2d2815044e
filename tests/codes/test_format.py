import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.codes import format as form
from scanner.codes.format import CodeId, derive

# The contract's first vector.
TEXT, GS1 = "2W4WWNA7XW7FAJKB9WWYZFR7", "FwnOVUfvDvVKa085778H"
RAW = bytes.fromhex("1709ce5547ef0ef54a6b4f39efbf07")
ids = st.builds(
    CodeId,
    st.integers(0, form.KID_MAX),
    st.integers(0, form.LOT_MAX),
    st.integers(0, form.SERIAL_MAX),
)


@given(ids)
@settings(deadline=None)
def test_an_id_packs_into_56_bits_and_back(code):
    assert code.pack() == code.kid << 50 | code.lot << 26 | code.serial < 1 << 56
    assert CodeId.unpack(code.pack()) == code


@pytest.mark.parametrize("code", [(64, 0, 0), (-1, 0, 0), (0, 1 << 24, 0), (0, 0, 1 << 26), (0, 0, -1)])
def test_an_id_out_of_range_does_not_pack(code):
    with pytest.raises(ValueError, match="kid 0 to 63, lot 0 to 16777215, serial 0 to 67108863"):
        CodeId(*code).pack()


@pytest.mark.parametrize("number", [form.FORGED, form.MALFORMED, 1 << 56])
def test_a_refusal_does_not_unpack(number):
    with pytest.raises(ValueError, match="56 bits"):
        CodeId.unpack(number)


def test_both_spellings_carry_the_same_bytes():
    assert form.to_text(RAW) == TEXT
    assert form.to_gs1(RAW) == GS1


@pytest.mark.parametrize("spell", [form.to_text, form.to_gs1])
@pytest.mark.parametrize("length", [0, 10, 14, 16, 20])
def test_a_code_of_another_length_is_not_spelled(spell, length):
    with pytest.raises(ValueError, match=f"15 bytes, not {length}"):
        spell(bytes(length))


def test_crockford_takes_whole_groups_only():
    assert form.crockford(bytes(5)) == "00000000"
    assert form.crockford(b"\xff" * 5) == "ZZZZZZZZ"
    with pytest.raises(ValueError, match="multiple of 5"):
        form.crockford(bytes(4))


def test_a_pin_keeps_its_zeros():
    assert form.to_pin(41337) == "041337"


def test_sub_keys_differ_and_stay_hidden():
    keys = derive(bytes(range(32)))
    assert len(set(keys)) == 5
    assert {len(key) for key in keys} == {32}
    assert repr(keys) == str(keys) == f"{keys}" == "SubKeys(...)"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_master_key_has_32_bytes(length):
    with pytest.raises(ValueError, match=f"32 bytes, not {length}"):
        derive(bytes(length))
