"""Tokens that verified are remembered: not too many, no longer than they live, and no others."""

import pytest

from scanner.identity import TokenKeys, UnauthorizedError, tokens


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(tokens, "REMEMBERED_MAX", 8)


def test_a_remembered_token_gives_the_same_member(keys, claims, now_s, pyjwt):
    token = pyjwt(claims | {"role": "worker"})
    assert keys.verify(token, now_s=now_s) == keys.verify(token, now_s=now_s + 1)
    assert list(keys._verified) == [token]


def test_a_remembered_token_expires(keys, claims, now_s, pyjwt):
    token = pyjwt(claims | {"exp": now_s + 60})
    assert keys.verify(token, now_s=now_s + 59.9).id == "alice"
    with pytest.raises(UnauthorizedError, match="expired"):
        keys.verify(token, now_s=now_s + 60)


def test_what_is_refused_is_not_remembered(keys, claims, now_s, pyjwt):
    for token in (
        pyjwt(claims, key=b"3" * 32),
        pyjwt(claims, kid="t3"),
        pyjwt(claims | {"exp": now_s}),
        pyjwt(claims | {"nbf": now_s + 1}),
        pyjwt(claims | {"aud": "shop"}),
        pyjwt(claims | {"sub": ""}),
        "a.b.c",
    ):
        for _ in range(2):
            with pytest.raises(UnauthorizedError):
                keys.verify(token, now_s=now_s)
    assert not keys._verified


def test_a_bounded_number_is_remembered_and_more_are_accepted(few, keys, claims, now_s, pyjwt):
    issued = [pyjwt(claims | {"sub": f"member-{n}"}) for n in range(30)]
    for _ in range(2):
        for n, token in enumerate(issued):
            assert keys.verify(token, now_s=now_s).id == f"member-{n}"
            assert 0 < len(keys._verified) <= 8


def test_other_keys_do_not_share_what_is_remembered(keys, claims, now_s, pyjwt):
    token = pyjwt(claims)
    assert keys.verify(token, now_s=now_s).id == "alice"
    with pytest.raises(UnauthorizedError, match="signature"):
        TokenKeys({"t1": b"3" * 32}).verify(token, now_s=now_s)


def test_a_key_is_held_to_its_kid_after_a_token_of_it_was_remembered(keys, claims, now_s, pyjwt, last_key):
    assert keys.verify(pyjwt(claims, kid="t1"), now_s=now_s).id == "alice"
    with pytest.raises(UnauthorizedError, match="signature"):
        keys.verify(pyjwt(claims, key=last_key, kid="t1"), now_s=now_s)
