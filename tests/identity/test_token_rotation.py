"""Rotating and revoking: who signs, whose tokens are accepted, which kid comes next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ConfigurationError
from scanner.identity import Member, TokenKeys, UnauthorizedError
from scanner.identity.tokens import KEYS_MAX

NOW_S = 1_800_000_000
KIDS = st.from_regex(r"[A-Za-z0-9._-]{1,6}|t[0-9]{1,10}|t[1-4]", fullmatch=True)


def token_of(keys):
    return keys.issue(Member("alice"), now_s=NOW_S, ttl_s=60)


def accepts(keys, token):
    try:
        return keys.verify(token, now_s=NOW_S).id == "alice"
    except UnauthorizedError:
        return False


def test_the_new_key_signs_and_the_old_ones_are_accepted():
    old = TokenKeys.new()
    new = old.rotate()
    assert list(new.keys) == ["t1", "t2"]
    assert (old.signing_kid, new.signing_kid) == ("t1", "t2")
    assert len(set(new.keys.values())) == 2
    assert [accepts(new, token_of(keys)) for keys in (old, new)] == [True, True]
    assert list(old.keys) == ["t1"], "keys are a value: rotating leaves them as they were"


def test_tokens_of_a_revoked_key_are_refused_also_where_they_were_remembered():
    old = TokenKeys.new()
    token, both = token_of(old), old.rotate()
    assert accepts(both, token)
    left = both.revoke("t1")
    assert not accepts(left, token)
    assert accepts(left, token_of(both))
    assert accepts(both, token)


def test_the_key_that_signs_is_not_revoked():
    keys = TokenKeys.new()
    with pytest.raises(ConfigurationError, match="t1 is the one that signs: rotate first"):
        keys.revoke("t1")
    with pytest.raises(ConfigurationError, match="t2 is the one that signs"):
        keys.rotate().revoke("t2")
    with pytest.raises(ConfigurationError, match="no token key with kid t2"):
        keys.revoke("t2")


def test_16_keys_fill_it():
    keys = TokenKeys.new()
    for _ in range(KEYS_MAX - 1):
        keys = keys.rotate()
    assert TokenKeys.parse(keys.dump()) == keys
    with pytest.raises(ConfigurationError, match="16 token keys already: revoke one first"):
        keys.rotate()
    assert keys.revoke("t1").rotate().signing_kid == "t17"


@given(
    st.dictionaries(KIDS, st.binary(min_size=32, max_size=40), min_size=1, max_size=6),
    st.lists(st.integers(0, KEYS_MAX) | st.none(), max_size=30),
)
def test_whatever_is_done_live_keys_are_accepted_and_no_kid_is_given_twice(start, steps):
    """A step is None, to rotate, or the place of the key to revoke."""
    keys, kids = TokenKeys(start), [list(start)[-1]]
    tokens = {}
    for step in steps:
        before = keys
        try:
            keys = keys.rotate() if step is None else keys.revoke(list(keys.keys)[step % len(keys.keys)])
        except ConfigurationError:
            assert len(keys.keys) == KEYS_MAX if step is None else step % len(keys.keys) == len(keys.keys) - 1
            continue
        if step is None:
            assert keys.signing_kid not in {*kids, *before.keys}
            assert list(keys.keys) == [*before.keys, keys.signing_kid]
            kids.append(keys.signing_kid)
            tokens[keys.signing_kid] = token_of(keys)
        else:
            assert keys.signing_kid == before.signing_kid
        again = TokenKeys.parse(keys.dump())
        assert list(again.keys.items()) == list(keys.keys.items())
        assert {kid: accepts(again, token) for kid, token in tokens.items()} == {
            kid: kid in keys.keys for kid in tokens
        }
