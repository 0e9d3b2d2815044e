import pytest

from scanner.codes import FORGED, MALFORMED, CodeId, check, pin_matches, read
from scanner.codes.carriers import Carrier

CODE = CodeId(5, 123456, 789)


@pytest.mark.parametrize(
    "text",
    [
        "2w4wwna7-xw7fajkb 9wwyzfr7",
        "https://x.cn/2W4WWNA7XW7FAJKB9WWYZFR7",
        "https://x.cn/01/06901234567892/21/FwnOVUfvDvVKa085778H",
    ],
)
def test_every_carrier_leads_to_the_same_code(table, text):
    assert CodeId.unpack(check(table, read(text))) == CODE


def test_refusals(table):
    assert check(table, read("2W4WWNA7XW7FAJKB9WWYZFR8")) == FORGED
    assert check(table, Carrier(b"FwnOVUfvDvVKa085778G", True, None)) == FORGED
    assert check(table, Carrier(b"2W4WWNA7XW7FAJKB9WWYZFR7", True, None)) == MALFORMED


def test_the_pin_must_be_the_one_on_the_pack(table):
    assert pin_matches(table, CODE, "569129")
    for wrong in ("569128", "", "0569129", "569129 ", "５６９１２９", "\ud800"):
        assert not pin_matches(table, CODE, wrong)
