"""The key file, and issuing with the last key in it."""

import json
import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ConfigurationError
from scanner.identity import Member, TokenKeys, UnauthorizedError

SECRET = "5ec2e7" * 10 + "5ec2"
ENTRY = {"kid": "t1", "key": SECRET}
NOW_S = 1_800_000_000


def file(*entries):
    return json.dumps({"keys": list(entries)}).encode()


def test_new_keys_are_random():
    one, other = TokenKeys.new(), TokenKeys.new()
    assert list(one.keys) == ["t1"]
    assert len(one.keys["t1"]) == 32
    assert one.keys != other.keys


def test_a_file_reads_back_as_it_was_written():
    keys = TokenKeys({"t1": b"1" * 32, "shop.A_b-9": bytes(range(64)), "t2": b"2" * 32})
    again = TokenKeys.parse(keys.dump())
    assert again == keys
    assert list(again.keys) == ["t1", "shop.A_b-9", "t2"]  # the last one signs, so their order counts
    assert all(re.fullmatch("[0-9a-f]{64,}", entry["key"]) for entry in json.loads(keys.dump())["keys"])


def test_the_last_key_signs_and_older_ones_still_verify():
    old = TokenKeys({"t1": b"1" * 32})
    token = old.issue(Member("alice"), now_s=NOW_S, ttl_s=60)
    renewed = TokenKeys({"t1": b"1" * 32, "t2": b"2" * 32})
    assert renewed.verify(token, now_s=NOW_S).id == "alice"
    with pytest.raises(UnauthorizedError, match="kid"):
        old.verify(renewed.issue(Member("alice"), now_s=NOW_S, ttl_s=60), now_s=NOW_S)


def test_16_keys_are_the_most():
    entries = [{"kid": f"t{n}", "key": SECRET} for n in range(17)]
    assert len(TokenKeys.parse(file(*entries[:16])).keys) == 16
    with pytest.raises(ConfigurationError, match="1 to 16 keys"):
        TokenKeys.parse(file(*entries))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must read"),
        (b"\xff" + SECRET.encode(), "must read"),
        (SECRET.encode(), "must read"),
        (b'{"keys": ["' + SECRET.encode(), "must read"),
        (b"[" * 60_000, "must read"),
        (b"[]", "must read"),
        (b"{}", "must read"),
        (b'{"keys": 7}', "must read"),
        (b'{"keys": null}', "must read"),
        (file(SECRET), "must read"),
        (file(None), "must read"),
        (file({"key": SECRET}), "must read"),
        (file({"kid": "t1"}), "must read"),
        (file(ENTRY | {"kid": ["t1"]}), "must read"),
        (file(ENTRY | {"key": SECRET[1:]}), "must read"),
        (file(ENTRY | {"key": SECRET + "xy"}), "must read"),
        (file(ENTRY | {"key": None}), "must read"),
        (file(ENTRY | {"key": [SECRET]}), "must read"),
        (file(), "1 to 16 keys"),
        (b'{"keys": {}}', "1 to 16 keys"),
        (file(ENTRY, ENTRY), "a kid of its own"),
        (file(ENTRY | {"key": SECRET[:62]}), "token key t1 has 31 bytes"),
        (file(ENTRY | {"key": ""}), "token key t1 has 0 bytes"),
        *(
            (file(ENTRY | {"kid": kid}), "kid must be 1 to 64 characters")
            for kid in ("", "a" * 65, "a b", "a/b", "é", "t1\n", 7, None, True)
        ),
    ],
)
def test_a_wrong_file_is_refused_in_words_that_hold_no_key(data, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        TokenKeys.parse(data)
    assert SECRET[:8] not in "".join(traceback.format_exception(caught.value))


def test_it_never_shows_its_keys():
    keys = TokenKeys.parse(file(ENTRY))
    keys.verify(keys.issue(Member("alice"), now_s=NOW_S, ttl_s=60), now_s=NOW_S)
    with pytest.raises(UnauthorizedError) as caught:
        keys.verify("a.b.c", now_s=NOW_S)
    for shown in (repr(keys), str(keys), f"{keys}", "".join(traceback.format_exception(caught.value))):
        assert SECRET not in shown
        assert repr(bytes.fromhex(SECRET))[2:-1] not in shown


# Short enough for a token: what does not fit has a test of its own below.
MEMBERS = st.builds(Member, st.text(max_size=70), *[st.text(max_size=8)] * 4)


@given(MEMBERS)
def test_what_is_issued_is_accepted_and_the_rest_is_refused(member):
    keys = TokenKeys({"t1": b"1" * 32})
    fits = member.id != "" and all(len(name) <= 64 and name.isprintable() for name in member)
    try:
        token = keys.issue(member, now_s=NOW_S, ttl_s=60)
    except UnauthorizedError:
        assert not fits
    else:
        assert fits
        assert keys.verify(token, now_s=NOW_S) == member


def test_a_token_that_would_be_too_long_is_not_issued():
    keys, name = TokenKeys({"t1": b"1" * 32}), "李" * 64  # JSON writes six characters for each
    with pytest.raises(UnauthorizedError, match="too long"):
        keys.issue(Member(name, name, name, name, name), now_s=NOW_S, ttl_s=60)


def test_an_issued_token_lives_for_its_ttl():
    keys = TokenKeys({"t1": b"1" * 32})
    token = keys.issue(Member("alice"), now_s=NOW_S, ttl_s=60)
    assert keys.verify(token, now_s=NOW_S + 59.9).id == "alice"
    with pytest.raises(UnauthorizedError, match="expired"):
        keys.verify(token, now_s=NOW_S + 60)
