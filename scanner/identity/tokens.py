"""Member tokens: JSON Web Tokens (RFC 7519) in compact form, signed with HS256 and nothing else.

Issuing is PyJWT's work. Verifying happens once a scan, so it is done here, in the few steps that one fixed
algorithm needs; the tests hold it against PyJWT.
"""

import binascii
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import jwt
import orjson

from scanner.errors import ConfigurationError, ScannerError

AUDIENCE = "scanner"
TOKEN_CHARS_MAX = 2048
KEYS_MAX = 16
KEY_BYTES = 32
REMEMBERED_MAX = 8192
HEADERS_MAX = 64
NAME_CHARS_MAX = 64
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NUMBERED_KID = re.compile(r"t([1-9][0-9]{0,17})")
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


class UnauthorizedError(ScannerError):
    """The token is missing, malformed, expired or not ours. The reason is for the log, not for the caller."""


class StaleTokenError(UnauthorizedError):
    """The token may have been ours: its time is over, or its key is not known any more. That is no guess at a
    signature, and its app has to fetch another."""


class Member(NamedTuple):
    """Who scans. ``id`` is the token's ``sub``; what the token does not say is empty."""

    id: str
    role: str = ""
    tier: str = ""
    seller: str = ""
    inviter: str = ""


@dataclass(frozen=True)
class TokenKeys:
    """The keys that member tokens may be signed with, by key id; the last one signs new tokens."""

    keys: Mapping[str, bytes] = field(repr=False)
    # Tokens that verified, with the time at which they expire: a phone sends the same one with every scan.
    _verified: dict[str, tuple[Member, float]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    # The headers of tokens, with the keys that they may be signed with: one issuer's tokens share theirs.
    _headers: dict[bytes, tuple[bytes, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def new(cls) -> "TokenKeys":
        return cls({"t1": secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def parse(cls, data: bytes) -> "TokenKeys":
        """Reads ``{"keys": [{"kid": "t1", "key": "<hex, at least 32 bytes>"}]}``.

        Raises:
            ConfigurationError: the form is wrong. The message never holds key material.
        """
        try:
            entries = orjson.loads(data)["keys"]
            keys = {entry["kid"]: bytes.fromhex(entry["key"]) for entry in entries}
            unique = len(keys) == len(entries)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise ConfigurationError(
                'the token key file must read {"keys": [{"kid": …, "key": <hex>}, …]}'
            ) from None
        if not unique or not 1 <= len(keys) <= KEYS_MAX:
            raise ConfigurationError(
                f"the token key file must hold 1 to {KEYS_MAX} keys, each with a kid of its own"
            )
        for kid, key in keys.items():
            if not isinstance(kid, str) or not _KID.fullmatch(kid):
                raise ConfigurationError("a token key's kid must be 1 to 64 characters of A-Z a-z 0-9 . _ -")
            if len(key) < KEY_BYTES:
                raise ConfigurationError(f"token key {kid} has {len(key)} bytes; HS256 asks for at least 32")
        return cls(keys)

    def dump(self) -> bytes:
        entries = [{"kid": kid, "key": key.hex()} for kid, key in self.keys.items()]
        return orjson.dumps({"keys": entries}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @property
    def signing_kid(self) -> str:
        """The last key: new tokens are signed with it."""
        return list(self.keys)[-1]

    def rotate(self) -> "TokenKeys":
        """Adds a key, which signs from now on. The others stay, and so do their tokens.

        Kids are t1, t2 and so on. ConfigurationError where there are as many keys as there may be.
        """
        if len(self.keys) >= KEYS_MAX:
            raise ConfigurationError(f"there are {KEYS_MAX} token keys already: revoke one first")
        numbers = (int(match[1]) for kid in self.keys if (match := _NUMBERED_KID.fullmatch(kid)))
        after = max(numbers, default=0) + 1
        kid = next(kid for n in count(after) if (kid := f"t{n}") not in self.keys)
        return TokenKeys({**self.keys, kid: secrets.token_bytes(KEY_BYTES)})

    def revoke(self, kid: str) -> "TokenKeys":
        """Takes a key out: from now on its tokens are refused.

        ConfigurationError if there is no such key, or if it is the one that signs: an older one must not take
        its place, and its kid must not come again.
        """
        if kid not in self.keys:
            raise ConfigurationError(f"there is no token key with kid {kid}")
        if kid == self.signing_kid:
            raise ConfigurationError(f"token key {kid} is the one that signs: rotate first, then revoke it")
        return TokenKeys({other: key for other, key in self.keys.items() if other != kid})

    def issue(self, member: Member, *, now_s: int, ttl_s: int) -> str:
        """A token for the member, valid for ``ttl_s`` seconds from ``now_s`` (Unix seconds)."""
        kid = self.signing_kid
        claims: dict[str, Any] = {"sub": member.id, "aud": AUDIENCE, "iat": now_s, "exp": now_s + ttl_s}
        claims |= {name: value for name, value in member._asdict().items() if name != "id" and value}
        token = jwt.encode(claims, self.keys[kid], algorithm="HS256", headers={"kid": kid})
        self._verify(token, now_s)  # a token that would not be accepted is not issued
        return token

    def verify(self, token: str, *, now_s: float) -> Member:
        """The member that the token speaks for, at Unix time ``now_s``.

        Raises:
            UnauthorizedError: with the reason.
        """
        remembered = self._verified.get(token)
        if remembered is not None and now_s < remembered[1]:
            return remembered[0]
        member, expires_s = self._verify(token, now_s)
        if len(self._verified) >= REMEMBERED_MAX:
            self._verified.clear()
        self._verified[token] = member, expires_s
        return member

    def bearer(self, authorization: str, *, now_s: float) -> Member:
        """Who sends this ``Authorization`` header. Raises UnauthorizedError."""
        return self.verify(_token_in(authorization), now_s=now_s)

    def until(self, authorization: str, *, now_s: float) -> tuple[Member, float]:
        """The same, with the Unix time at which the token expires, for who remembers it elsewhere."""
        return self._verify(_token_in(authorization), now_s)

    def _verify(self, token: str, now_s: float) -> tuple[Member, float]:
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            raise UnauthorizedError("the token is too long or not ASCII")
        signed, dot, signature = token.encode().rpartition(b".")
        header, dot2, payload = signed.partition(b".")
        if not dot or not dot2 or b"." in payload:
            raise UnauthorizedError("the token does not have three parts")
        keys = self._headers.get(header)
        if keys is None:
            keys = self._keys_for(_object(header))
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            self._headers[header] = keys
        mac = _decode(signature)
        if not any(hmac.compare_digest(hmac.digest(key, signed, "sha256"), mac) for key in keys):
            raise UnauthorizedError("the signature is wrong")
        claims = _object(payload)
        expires_s = _seconds(claims, "exp")
        if now_s >= expires_s:
            raise StaleTokenError("the token has expired")
        if "nbf" in claims and now_s < _seconds(claims, "nbf"):
            raise UnauthorizedError("the token is not valid yet")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if AUDIENCE not in audiences or not all(isinstance(name, str) for name in audiences):
            raise UnauthorizedError("aud is not scanner")
        return _member(claims), expires_s

    def _keys_for(self, header: Mapping[str, Any]) -> tuple[bytes, ...]:
        # The algorithm is ours to choose, never the token's; a critical extension we do not know forbids use.
        if header.get("alg") != "HS256" or "crit" in header or header.get("typ", "JWT") != "JWT":
            raise UnauthorizedError("the token is not a JWT with alg HS256")
        if "kid" in header:
            kid = header["kid"]
            if not isinstance(kid, str) or kid not in self.keys:
                raise StaleTokenError("no key with this kid")
            return (self.keys[kid],)
        return tuple(self.keys.values())


def _token_in(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthorizedError("no bearer token")
    return token.strip()


def _decode(segment: bytes) -> bytes:
    """Unpadded base64url (RFC 7515 §2), canonical form only: one token has one spelling."""
    if not _BASE64URL.fullmatch(segment):
        raise UnauthorizedError("a part of the token is not base64url")
    standard = segment.translate(_TO_STANDARD)
    try:
        data = binascii.a2b_base64(standard + b"=" * (-len(standard) % 4), strict_mode=True)
    except binascii.Error:
        raise UnauthorizedError("a part of the token is not base64url") from None
    if binascii.b2a_base64(data, newline=False).rstrip(b"=") != standard:
        raise UnauthorizedError("a part of the token is not canonical base64url")
    return data


def _object(segment: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(_decode(segment))
    except orjson.JSONDecodeError:
        raise UnauthorizedError("a part of the token is not JSON") from None
    if not isinstance(value, dict):
        raise UnauthorizedError("a part of the token is not a JSON object")
    return value


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UnauthorizedError(f"{name} is missing or not a number")
    return value


def _member(claims: Mapping[str, Any]) -> Member:
    values = [claims.get("sub"), *(claims.get(name, "") for name in Member._fields[1:])]
    for name, value in zip(("sub", *Member._fields[1:]), values, strict=True):
        # What is printable only: these names go into the ledger, into logs and onto screens.
        if not isinstance(value, str) or len(value) > NAME_CHARS_MAX or not value.isprintable():
            raise UnauthorizedError(f"{name} must be at most {NAME_CHARS_MAX} printable characters")
    if not values[0]:
        raise UnauthorizedError("sub is missing")
    return Member(*values)
