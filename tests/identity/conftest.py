"""Two token keys, a moment, and tokens made without the code under test: by PyJWT, or part by part."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable

import jwt
import pytest

from scanner.identity import TokenKeys

FIRST, LAST = b"1" * 32, b"2" * 40


@pytest.fixture(scope="session")
def now_s() -> int:
    return 1_800_000_000


@pytest.fixture
def keys() -> TokenKeys:
    """Fresh for each test: it remembers headers."""
    return TokenKeys({"t1": FIRST, "t2": LAST})


@pytest.fixture
def claims(now_s) -> dict[str, object]:
    """The fewest claims that are enough."""
    return {"sub": "alice", "aud": "scanner", "exp": now_s + 60}


@pytest.fixture(scope="session")
def pyjwt() -> Callable[..., str]:
    """A token as a brand's backend issues it."""

    def issue(claims, *, key=FIRST, alg="HS256", **header):
        return jwt.encode(claims, key, algorithm=alg, headers=header)

    return issue


@pytest.fixture(scope="session")
def segment() -> Callable[[object], bytes]:
    """A part of a token: bytes as they are, anything else as JSON."""

    def encode(part):
        data = part if isinstance(part, bytes) else json.dumps(part).encode()
        return urlsafe_b64encode(data).rstrip(b"=")

    return encode


@pytest.fixture(scope="session")
def sign() -> Callable[..., str]:
    """A token of two parts that are encoded already, whatever they say, with a right signature."""

    def signed(header, payload, *, key=FIRST, digest="sha256"):
        head = header + b"." + payload
        return (head + b"." + urlsafe_b64encode(hmac.digest(key, head, digest)).rstrip(b"=")).decode()

    return signed


@pytest.fixture(scope="session")
def first_key() -> bytes:
    return FIRST


@pytest.fixture(scope="session")
def last_key() -> bytes:
    return LAST
