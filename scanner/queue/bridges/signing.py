"""How a webhook is signed and verified: the public specification Standard Webhooks 1.0.0, scheme ``v1``.

HMAC-SHA-256 over ``<webhook-id>.<webhook-timestamp>.<body>``, in base64. Receivers find libraries for it in
most languages at https://www.standardwebhooks.com; in Python :func:`verify` will do.
"""

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence

from scanner.errors import ConfigurationError, ScannerError

PREFIX = "whsec_"
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
SECRETS_MAX = 2
TOLERANCE_S = 300
_SIGNATURES_MAX = 16


class SignatureError(ScannerError):
    """A webhook is not what its sender has signed, or is too old. The message holds nothing of a secret."""


def new_secret() -> str:
    """A fresh secret as it is handed to the receiver."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def parse_secret(text: str) -> bytes:
    """The key that a secret stands for.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        if not text.startswith(PREFIX):
            raise ValueError
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise ConfigurationError(
            f"a webhook secret is {PREFIX} and base64; `scanner queue bridge secret FILE` makes one"
        ) from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ConfigurationError(
            f"a webhook secret holds {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, this one {len(key)}"
        )
    return key


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """The keys of a file with one secret a line: the one in force and, while it is replaced, the other.

    Raises:
        ConfigurationError: there is none, there are too many, or one is none.
    """
    lines = text.split()
    if not 1 <= len(lines) <= SECRETS_MAX:
        raise ConfigurationError(
            f"expected one webhook secret, or two while one is replaced; got {len(lines)}"
        )
    return tuple(parse_secret(line) for line in lines)


def sign(keys: Sequence[bytes], id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of a webhook, signed with every key. A full stop in the id would blur what is signed."""
    assert "." not in id
    signatures = " ".join(f"v1,{_mac(key, id, str(timestamp_s), body)}" for key in keys)
    return {"webhook-id": id, "webhook-timestamp": str(timestamp_s), "webhook-signature": signatures}


def verify(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: float | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """The id of a webhook that was signed with one of the secrets, ``tolerance_s`` ago at most.

    ``body`` is what came, byte for byte, ``headers`` any mapping of names to values, ``now`` the time in
    seconds since 1970. What else a receiver owes: an event that it has had before is answered with 200 and
    does nothing again. The ``id`` of each CloudEvent in the body tells; the ``webhook-id`` does so only where
    each POST holds one event (``--batch 1``), since events of a batch may come again in other company.

    Raises:
        SignatureError: it was not, or it is older or from further in the future.
        ConfigurationError: the secret is none.
    """
    keys = [parse_secret(text) for text in ([secret] if isinstance(secret, str) else secret)]
    fields = {name.lower(): value for name, value in headers.items()}
    try:
        id, sent, given = (fields[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise SignatureError(f"the header {missing.args[0]} is missing") from None
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 12):
        raise SignatureError("webhook-timestamp is no time in seconds")
    age_s = (time.time() if now is None else now) - int(sent)
    if abs(age_s) > tolerance_s:
        raise SignatureError(f"it was signed {age_s:.0f} s ago; {tolerance_s:g} s are allowed")
    right = [_mac(key, id, sent, body).encode() for key in keys]
    found = False
    for one in given.split(" ")[:_SIGNATURES_MAX]:
        version, _, value = one.partition(",")
        if version == "v1":
            for mac in right:  # all of them, each in constant time: how long it takes says nothing
                found |= hmac.compare_digest(mac, value.encode("utf-8", "surrogateescape"))
    if not found:
        raise SignatureError("no signature of it is right")
    return id


def _mac(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    signed = b"%b.%b.%b" % (id.encode("utf-8", "surrogateescape"), timestamp.encode(), body)
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
