"""Share tokens against docs/contract.md, section 1, whose formulas are written out here once more."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.codes import CodeId, Keyring, Share, ShareKeys
from scanner.codes.format import KID_MAX, LOT_MAX, SERIAL_MAX

MASTER = bytes(range(32))
SHARE = Share(CodeId(5, 123456, 789), 7, 3, 1772357400123)
TOKEN = "BYxRmPxzxR7tZfN4-2dm8IlxchbMwdasU453e5nehl2N"
KEYS = ShareKeys({5: MASTER, 6: bytes(32)}, revoked=[6])
# With the same key under every kid, only the kid inside can give a wrong kid in front away.
EVERY_KID = ShareKeys(dict.fromkeys(range(KID_MAX + 1), MASTER))

codes = st.builds(CodeId, st.integers(0, KID_MAX), st.integers(0, LOT_MAX), st.integers(0, SERIAL_MAX))
shares = st.builds(
    Share, codes, st.integers(1, (1 << 16) - 1), st.integers(1, 255), st.integers(0, (1 << 48) - 1)
)
quietly = settings(deadline=None, max_examples=150)


def sealed_by_the_contract(share: Share, master: bytes = MASTER, front: int | None = None) -> str:
    (kid, lot, serial), campaign_no, pool_no, at_ms = share
    packed = kid << 50 | lot << 26 | serial
    payload = packed << 72 | campaign_no << 56 | pool_no << 48 | at_ms
    key = blake3(master, derive_key_context="scanner v1 share").digest()
    tag = blake3(payload.to_bytes(16), key=key).digest(16)
    mask = int.from_bytes(blake3(b"mask" + tag, key=key).digest(16))
    raw = bytes([kid if front is None else front]) + tag + (payload ^ mask).to_bytes(16)
    return urlsafe_b64encode(raw).decode()


def test_contract_vector():
    assert KEYS.seal(SHARE) == TOKEN
    assert KEYS.open(TOKEN) == SHARE


@given(shares)
@example(Share(CodeId(0, 0, 0), 1, 1, 0))
@example(Share(CodeId(KID_MAX, LOT_MAX, SERIAL_MAX), (1 << 16) - 1, 255, (1 << 48) - 1))
@quietly
def test_a_token_opens_as_what_was_sealed(share):
    token = EVERY_KID.seal(share)
    assert token == sealed_by_the_contract(share) == EVERY_KID.seal(share)
    opened = EVERY_KID.open(token)
    assert opened == share
    assert isinstance(opened.code, CodeId)
    assert len(token) == 44


def test_neighbours_have_nothing_in_common():
    """Neither the lot nor the serial may show, not even as a difference of two tokens."""
    tokens = [KEYS.seal(SHARE._replace(code=CodeId(5, 123456, serial))) for serial in range(200)]
    payloads = [urlsafe_b64decode(token)[17:] for token in tokens]
    for place in range(16):
        assert len({payload[place] for payload in payloads}) > 80


def test_each_flipped_bit_is_refused():
    raw = int.from_bytes(urlsafe_b64decode(TOKEN))
    for bit in range(33 * 8):
        flipped = urlsafe_b64encode((raw ^ 1 << bit).to_bytes(33)).decode()
        assert EVERY_KID.open(flipped) is KEYS.open(flipped) is None


def test_each_other_character_is_refused():
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(44):
        others = set(alphabet) - {TOKEN[place]}
        assert not any(EVERY_KID.open(TOKEN[:place] + other + TOKEN[place + 1 :]) for other in others)


@pytest.mark.parametrize("front", [*range(5), 6, 63, 64, 5 | 64, 5 | 128, 255])
def test_the_kid_in_front_is_the_one_inside(front):
    assert EVERY_KID.open(sealed_by_the_contract(SHARE, front=front)) is None
    assert EVERY_KID.open(sealed_by_the_contract(SHARE, front=5)) == SHARE


def test_other_keys_refuse():
    assert ShareKeys({5: bytes(32)}).open(TOKEN) is None
    assert ShareKeys({4: MASTER}).open(TOKEN) is None
    assert ShareKeys({}).open(TOKEN) is None


def test_a_revoked_key_refuses_yet_seals():
    share = SHARE._replace(code=CodeId(6, 1, 2))
    token = KEYS.seal(share)
    assert token == sealed_by_the_contract(share, bytes(32))
    assert KEYS.open(token) is None
    assert ShareKeys({6: bytes(32)}).open(token) == share


@pytest.mark.parametrize(
    "token",
    [
        "",
        "A" * 44,
        "_" * 44,
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN + "====",
        TOKEN[:-1] + "=",
        TOKEN[:-4] + "====",
        TOKEN.replace("-", "+"),
        TOKEN[:-1] + "/",
        TOKEN + "\n",
        TOKEN[:-1] + "\n",
        " " + TOKEN,
        " " + TOKEN[1:],
        TOKEN[:20] + "\n" + TOKEN[20:],
        TOKEN[:20] + "\x00" + TOKEN[21:],
        TOKEN.replace("B", "Ｂ"),
        TOKEN.replace("7", "٧"),
        TOKEN[:-1] + "\ud800",
        TOKEN.lower(),
        TOKEN.upper(),
        "2W4WWNA7XW7FAJKB9WWYZFR7",
        "https://x.cn/" + TOKEN,
    ],
)
def test_another_form_is_refused(token):
    assert KEYS.open(token) is EVERY_KID.open(token) is None


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[0-9A-Za-z_-]{40,48}", fullmatch=True)))
@quietly
def test_any_text_is_refused(text):
    assert EVERY_KID.open(text) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"campaign_no": 0}, "campaign_no must be 1 to 65535, not 0"),
        ({"campaign_no": 65536}, "campaign_no must be 1 to 65535, not 65536"),
        ({"pool_no": 0}, "pool_no must be 1 to 255, not 0"),
        ({"pool_no": 256}, "pool_no must be 1 to 255, not 256"),
        ({"at_ms": -1}, "at_ms must be 0 to 281474976710655, not -1"),
        ({"at_ms": 1 << 48}, "at_ms must be 0 to 281474976710655, not 281474976710656"),
        ({"code": CodeId(5, 1 << 24, 0)}, "lot 0 to 16777215"),
        ({"code": CodeId(64, 0, 0)}, "kid 0 to 63"),
        ({"code": CodeId(7, 1, 2)}, "kid 7 is unknown"),
    ],
)
def test_what_does_not_fit_is_not_sealed(wrong, message):
    with pytest.raises(ValueError, match=message):
        KEYS.seal(SHARE._replace(**wrong))


def test_keys_have_bounds():
    for kid in (-1, 64):
        with pytest.raises(ValueError, match=f"kid must be 0 to 63, not {kid}"):
            ShareKeys({kid: MASTER})
    for length in (0, 31, 33):
        with pytest.raises(ValueError, match=f"a master key must be 32 bytes, not {length}"):
            ShareKeys({1: bytes(length)})


def test_a_keyring_gives_its_share_keys():
    ring = Keyring.new().rotate()
    share = SHARE._replace(code=CodeId(1, 7, 0))
    token = ring.share_keys().seal(share)
    assert token == sealed_by_the_contract(share, ring.keys[0].master)
    assert ring.share_keys().open(token) == share
    assert ring.rotate().share_keys().open(token) == share
    assert ring.revoke(1).share_keys().open(token) is None
    assert Keyring.new().share_keys().open(token) is None


def test_they_are_never_shown():
    assert repr(KEYS) == str(KEYS) == f"{KEYS}" == "ShareKeys(live=[5], revoked=[6])"
    assert not hasattr(KEYS, "__dict__")
