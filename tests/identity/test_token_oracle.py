"""Our verifier against PyJWT's: it accepts what PyJWT accepts within our bounds, and nothing else."""

import hmac
import json
from base64 import urlsafe_b64encode
from datetime import datetime

import jwt
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from scanner.identity import TokenKeys, UnauthorizedError

NOW_S = 1_800_000_000
KEYS = {"t1": b"1" * 32, "t2": b"2" * 40}
STRANGER = b"3" * 32
ABSENT = object()
DIGESTS = {"HS384": "sha384", "HS512": "sha512"}


@pytest.fixture(scope="module", autouse=True)
def pyjwts_clock():
    """PyJWT reads the clock itself; here it reads NOW_S."""

    class Frozen(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(NOW_S, tz)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.datetime", Frozen)
        yield


def often(good, *others):
    """The good value in two cases of three, so that whole tokens are accepted often enough."""
    return st.one_of(st.just(good), st.just(good), st.one_of(*others))


SECONDS = st.integers(-2, 2).map(lambda n: NOW_S + n)
ODD = st.sampled_from([ABSENT, True, False, None, "", "x", str(NOW_S + 9), [], {}, 0, -1, 10**30, 1e300])
NAMES = st.one_of(ODD, st.text(max_size=4), st.text("xé", min_size=62, max_size=66))
AUDIENCES = st.sampled_from(
    [["scanner"], ["shop", "scanner"], ["shop"], "shop", "Scanner", ["scanner", "scanner"]]
)
CLAIMS = st.fixed_dictionaries(
    {
        "sub": often("alice", NAMES),
        "exp": often(NOW_S + 60, SECONDS, ODD),
        "nbf": often(ABSENT, SECONDS, ODD),
        "aud": often("scanner", AUDIENCES, ODD),
        "role": often(ABSENT, NAMES),
        "inviter": often(ABSENT, NAMES),
        "iss": st.sampled_from([ABSENT, "backend", 7]),
    }
)
HEADERS = st.fixed_dictionaries(
    {
        "alg": often("HS256", st.sampled_from(["none", "HS384", "HS512", "RS256", ABSENT, None])),
        "kid": st.sampled_from([ABSENT, "t1", "t1", "t2", "t3", 1, None]),
        "typ": often("JWT", st.sampled_from([ABSENT, "jwt", "at+jwt"])),
        "crit": often(ABSENT, st.sampled_from([["b64"], [], "exp"])),
    }
)


def given_of(values):
    return {name: value for name, value in values.items() if value is not ABSENT}


def encode(header, claims, key):
    parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    head = b".".join(parts)
    mac = hmac.digest(key, head, DIGESTS.get(header.get("alg"), "sha256"))
    return (head + b"." + urlsafe_b64encode(mac).rstrip(b"=")).decode()


def pyjwt_accepts(token, header):
    """PyJWT knows of one key, so the choice by kid is made here."""
    candidates = [KEYS.get(header["kid"])] if isinstance(header.get("kid"), str) else KEYS.values()
    # Two checks of PyJWT's are not ours: RFC 7519 has iat and jti to inform, not to refuse by.
    options = {"require": ["exp"], "verify_iat": False, "verify_jti": False}
    for key in filter(None, candidates):
        try:
            jwt.decode(token, key, algorithms=["HS256"], audience="scanner", options=options)
        except (jwt.PyJWTError, TypeError, OverflowError):  # the latter where a time is no number
            continue
        return True
    return False


def within_our_bounds(header, claims):
    """What we ask beyond PyJWT: times are numbers, names are printable and short, no extensions."""
    names = [claims.get("sub", ""), claims.get("role", ""), claims.get("inviter", "")]
    return (
        header.get("typ", "JWT") == "JWT"
        and "crit" not in header
        and all(type(claims[name]) in (int, float) for name in ("exp", "nbf") if name in claims)
        and all(isinstance(name, str) and len(name) <= 64 and name.isprintable() for name in names)
        and bool(names[0])
    )


@given(header=HEADERS, claims=CLAIMS, key=st.sampled_from([*KEYS.values(), KEYS["t1"], STRANGER]))
@example(header={"alg": "HS256"}, claims={"sub": "a", "aud": "scanner", "exp": NOW_S + 1}, key=KEYS["t1"])
@example(header={"alg": "HS256"}, claims={"sub": "a", "aud": "scanner", "exp": NOW_S}, key=KEYS["t1"])
def test_it_accepts_what_pyjwt_accepts_within_our_bounds(header, claims, key):
    header, claims = given_of(header), given_of(claims)
    token = encode(header, claims, key)
    expected = pyjwt_accepts(token, header) and within_our_bounds(header, claims)
    event("accepted" if expected else "refused")
    try:
        member = TokenKeys(KEYS).verify(token, now_s=NOW_S)
    except UnauthorizedError:
        assert not expected
    else:
        assert expected
        assert member.id == claims["sub"]


@given(st.one_of(st.text(max_size=80), st.binary(max_size=60).map(lambda data: data.decode("latin-1"))))
@example(encode({"alg": "HS256"}, {}, STRANGER))
def test_any_text_is_refused_in_one_way(text):
    with pytest.raises(UnauthorizedError):
        TokenKeys(KEYS).verify(text, now_s=NOW_S)


@given(st.binary(max_size=200))
@example(b'{"exp": 1e999}')
@example(b'{"exp": ' + b"9" * 5000 + b"}")
def test_any_signed_payload_is_refused_in_one_way(payload):
    head = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', payload))
    mac = urlsafe_b64encode(hmac.digest(KEYS["t1"], head, "sha256")).rstrip(b"=")
    with pytest.raises(UnauthorizedError):
        TokenKeys(KEYS).verify((head + b"." + mac).decode(), now_s=NOW_S)
