import pytest

from scanner.codes import Keyring, to_gs1, to_text
from scanner.settings import read_key_file


@pytest.fixture
def raw(typed, tmp_path):
    """The 15 bytes of lot 7, serial 9, by the keys of this test's directory."""
    assert typed("keys", "init").code == 0
    return Keyring.parse(read_key_file(tmp_path / ".scanner" / "keys.json")).table().seal(1, 7, 9)


def test_a_genuine_code_tells_what_it_is(typed, raw):
    data = typed("code", "inspect", to_text(raw), "--json").json
    assert len(data.pop("scan_id")) == 16
    assert data == {
        "genuine": True,
        "kid": 1,
        "lot": 7,
        "serial": 9,
        "text": to_text(raw),
        "gs1": to_gs1(raw),
    }
    lines = dict(line.split(maxsplit=1) for line in typed("code", "inspect", to_text(raw)).out.splitlines())
    assert (lines["genuine"], lines["lot"], lines["serial"]) == ("yes", "7", "9")


def test_every_carrier_is_the_same_code(typed, raw):
    text = to_text(raw)
    plain = typed("code", "inspect", text).out
    for carrier in (
        text.lower(),
        "-".join(text[at : at + 4] for at in range(0, 24, 4)),
        f"https://s.example/c/{text}",
        f"https://s.example/q?c={text}&x=1",
        f"https://id.example/01/06901234567892/21/{to_gs1(raw)}",
    ):
        assert typed("code", "inspect", carrier).out == plain


def test_a_forged_code_is_refused(typed, raw):
    forged = to_text(bytes([raw[0], raw[1] ^ 1, *raw[2:]]))
    assert typed("code", "inspect", forged).refused("not genuine")
    done = typed("code", "inspect", forged, "--json")
    assert (done.code, done.json, done.err) == (1, {"genuine": False}, "")


def test_a_code_of_other_keys_is_forged(typed, raw):
    other = to_text(Keyring.new().table().seal(1, 7, 9))
    assert typed("code", "inspect", other).refused("not genuine")


def test_a_code_of_a_revoked_key_is_refused(typed, raw):
    typed("keys", "rotate")
    assert typed("code", "inspect", to_text(raw)).code == 0
    typed("keys", "revoke", 1)
    assert typed("code", "inspect", to_text(raw)).refused("not genuine")


@pytest.mark.parametrize("text", ["", "hello", "https://s.example/c/", "2W4WWNA7XW7FAJKB9WWYZFR", "U" * 24])
def test_a_text_without_a_code_is_refused(typed, raw, text):
    assert typed("code", "inspect", text).refused("no code in")


def test_without_keys_it_says_how_to_make_them(typed):
    assert typed("code", "inspect", "2W4WWNA7XW7FAJKB9WWYZFR7").refused("run `scanner keys init`")
