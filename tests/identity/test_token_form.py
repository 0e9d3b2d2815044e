"""The form of a token: three parts of canonical base64url with JSON objects in them."""

import string
from base64 import urlsafe_b64decode

import pytest

from scanner.identity import Member, UnauthorizedError

BASE64URL = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def token(keys, now_s):
    return keys.issue(Member("alice", role="worker"), now_s=now_s, ttl_s=60)


def refused(keys, token, now_s):
    with pytest.raises(UnauthorizedError):
        keys.verify(token, now_s=now_s)
    return True


def test_every_change_of_one_character_is_refused(keys, token, now_s):
    assert keys.verify(token, now_s=now_s) == Member("alice", "worker")  # and its header is remembered
    for at, was in enumerate(token):
        for character in BASE64URL + ".=+/ \n\0é":
            if character != was:
                assert refused(keys, token[:at] + character + token[at + 1 :], now_s)


def test_every_lost_added_and_swapped_character_is_refused(keys, token, now_s):
    changed = {token[:at] + token[at + 1 :] for at in range(len(token))}
    changed |= {token[:at] + character + token[at:] for at in range(len(token) + 1) for character in "A.=\n"}
    changed |= {
        token[:at] + token[at + 1] + token[at] + token[at + 2 :]
        for at in range(len(token) - 1)
        if token[at] != token[at + 1]
    }
    assert token not in changed
    assert all(refused(keys, other, now_s) for other in changed)


@pytest.mark.parametrize("token", ["", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "Bearer a.b.c"])
def test_what_is_no_token_is_refused(keys, now_s, token):
    assert refused(keys, token, now_s)


def test_an_empty_part_is_refused(keys, token, now_s):
    for at in range(3):
        parts = token.split(".")
        parts[at] = ""
        assert refused(keys, ".".join(parts), now_s)


def test_another_spelling_of_the_signature_is_refused(keys, token, now_s):
    head, _, signature = token.rpartition(".")
    raw = urlsafe_b64decode(signature + "=")
    twins = [
        signature[:-1] + last for last in BASE64URL if urlsafe_b64decode(signature[:-1] + last + "=") == raw
    ]
    assert len(twins) == 4  # the last character has two bits to spare
    assert [keys.verify(f"{head}.{signature}", now_s=now_s).id] == ["alice"]
    for twin in [*twins, signature + "=", signature + "\n", " " + signature]:
        if twin != signature:
            assert refused(keys, f"{head}.{twin}", now_s)


def test_other_spellings_are_refused_though_signed(keys, claims, now_s, segment, sign):
    header, payload = segment({"alg": "HS256"}), segment(claims | {"role": "~~~???"})
    assert len(payload) % 4
    assert keys.verify(sign(header, payload), now_s=now_s).role == "~~~???"
    last = BASE64URL[BASE64URL.index(chr(payload[-1])) + 1].encode()
    padded = payload + b"=" * (-len(payload) % 4)
    assert urlsafe_b64decode(payload[:-1] + last + b"==") == urlsafe_b64decode(padded)
    for spelling in (payload[:-1] + last, padded, payload + b"\n", b" " + payload, payload + b"*"):
        with pytest.raises(UnauthorizedError, match="base64url"):
            keys.verify(sign(header, spelling), now_s=now_s)


def test_the_alphabet_is_that_of_urls(keys, claims, now_s, segment, sign):
    # "~~~" and "???" are the bytes whose base64 has + and / in the usual alphabet.
    plain, payload = segment({"alg": "HS256"}), segment(claims | {"role": "~~~~~~", "tier": "??????"})
    usual = payload.replace(b"-", b"+").replace(b"_", b"/")
    assert usual != payload
    assert keys.verify(sign(plain, payload), now_s=now_s).id == "alice"
    with pytest.raises(UnauthorizedError, match="base64url"):
        keys.verify(sign(plain, usual), now_s=now_s)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'"x"',
        b"null",
        b"7",
        b"{",
        b"\xff",
        b"{}{}",
        b"[" * 1400,
        b'{"sub": NaN}',
        b'{"sub": "\\ud800"}',
    ],
)
def test_parts_are_json_objects(keys, claims, now_s, segment, sign, data):
    for header, payload in (({"alg": "HS256"}, data), (data, claims)):
        with pytest.raises(UnauthorizedError, match="JSON"):
            keys.verify(sign(segment(header), segment(payload)), now_s=now_s)


def test_a_token_has_at_most_2048_characters(keys, claims, now_s, segment, sign):
    def token(n, m):
        return sign(segment({"alg": "HS256", "x": "a" * n}), segment(claims | {"x": "a" * m}))

    # Base64 has no part of 4n + 1 characters, so it takes both parts to come to every length.
    of_length = {len(made): made for n in range(3) for m in range(1280, 1420) if (made := token(n, m))}
    assert keys.verify(of_length[2048], now_s=now_s).id == "alice"
    with pytest.raises(UnauthorizedError, match="too long"):
        keys.verify(of_length[2049], now_s=now_s)


@pytest.mark.parametrize("character", ["é", "Ａ", "\ud800", "\u200b"])
def test_what_is_not_ascii_is_refused(keys, token, now_s, character):
    with pytest.raises(UnauthorizedError, match="not ASCII"):
        keys.verify(token + character, now_s=now_s)
