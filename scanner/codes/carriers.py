"""Finds the code in whatever a phone sends, and writes what goes into a QR code.

The forms it reads: the bare code; an http or https URL whose last path segment is the code, or whose
parameter `c` is; a GS1 Digital Link; and any such URL once more inside, as mini-programs get it: the whole
of it percent-encoded, or in the parameter `q`. It says where a code stands, not whether it is genuine.

GS1 Digital Link Standard: URI Syntax: https://ref.gs1.org/standards/digital-link/uri-syntax/
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from scanner.codes.format import INPUT_BYTES_MAX, to_gs1
from scanner.errors import ScannerError

CARRIER_CHARS_MAX = 512

_BARE = re.compile(r"[0-9A-TV-Za-tv-z]{24}")
_SPACED = re.compile(r"(?:[- ]*[0-9A-TV-Za-tv-z]){24}[- ]*")
_URL = re.compile(r"https?://[^/?#\s]+(/[^?#]*)?(?:\?([^#]*))?(?:#.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
_ENCODED_URL = re.compile(r"https?%3a%2f%2f.*", re.ASCII | re.IGNORECASE | re.DOTALL)
# What RFC 3986 allows in a URL, short of a fragment; so a prefix cannot break a line, a row or a string.
_PREFIX = re.compile(r"https?://[!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+", re.ASCII | re.IGNORECASE)
# GS1 General Specifications, figure 7.11-1: the 82 characters that AIs (10), (21) and (22) are made of.
_AI_VALUE = re.compile(r"[!\"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,20}")
_GS1_SERIAL = re.compile(r"[0-9A-Za-z_-]{20}")


class NoCodeError(ScannerError):
    """There is no code in the text."""


class Carrier(NamedTuple):
    """A code as it was carried: 24 digits of Crockford's base 32, perhaps with hyphens and spaces, or,
    if `gs1`, the 20 characters of AI (21). `gtin` is a Digital Link's, else None."""

    code: bytes
    gs1: bool
    gtin: str | None


def read(text: str) -> Carrier:
    """Finds the code in a text of at most 512 characters. NoCodeError if there is none."""
    if _BARE.fullmatch(text):
        return Carrier(text.encode("ascii"), False, None)
    if len(text) > CARRIER_CHARS_MAX:
        raise NoCodeError(f"the text must be at most {CARRIER_CHARS_MAX} characters, not {len(text)}")
    carrier = _find(text.strip(), nesting=1)
    if carrier is None:
        raise NoCodeError(
            "there is no code in the text: expected a code, a URL with one, or a GS1 Digital Link"
        )
    return carrier


def url_for(prefix: str, text: str) -> str:
    """The URL that carries a code: the prefix, a slash unless it ends in `/` or `=`, and the text.

    ValueError if `read` would not find that very code in it.
    """
    url = prefix + text if prefix.endswith(("/", "=")) else f"{prefix}/{text}"
    return _readable(prefix, url, Carrier(text.encode("ascii"), False, None))


def digital_link(prefix: str, gtin: str, raw: bytes) -> str:
    """The GS1 Digital Link that carries a code: `prefix/01/{gtin}/21/{serial}`.

    ValueError if the GTIN is not one of 14 digits, or `read` would not find that very code in it.
    """
    serial = to_gs1(raw)
    url = f"{prefix.removesuffix('/')}/01/{gtin}/21/{serial}"
    return _readable(prefix, url, Carrier(serial.encode("ascii"), True, gtin))


def gtin_check_digit(body: str) -> int:
    """The digit that follows `body` in a GTIN of any length: weights 3, 1, 3, … from the right.

    GS1 General Specifications, section 7.9. ValueError if `body` is not made of digits.
    """
    if not (body.isascii() and body.isdigit()):
        raise ValueError(f"a GTIN must be made of digits, not {body!r}")
    return -sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(body))) % 10


def valid_gtin14(text: str) -> bool:
    """Whether this is a GTIN of 14 digits, the last of which checks the others."""
    if len(text) != 14 or not (text.isascii() and text.isdigit()):
        return False
    return gtin_check_digit(text[:-1]) == int(text[-1])


def _find(text: str, nesting: int) -> Carrier | None:
    if carrier := _bare(text):
        return carrier
    if url := _URL.fullmatch(text):
        return _find_in_url(url[1] or "", url[2] or "", nesting)
    if nesting and _ENCODED_URL.fullmatch(text):
        return _find(unquote(text), nesting - 1)
    return None


def _find_in_url(path: str, query: str, nesting: int) -> Carrier | None:
    last = path.removesuffix("/").rpartition("/")[2]
    if _BARE.fullmatch(last):  # what nearly every QR code of ours says
        return Carrier(last.encode("ascii"), False, None)
    segments = [unquote(segment) for segment in path.removesuffix("/").split("/")]
    carrier = _bare(segments[-1]) or _digital_link(segments)
    if carrier is None and query:
        # A name given twice counts as it came first.
        parameters = dict(reversed(parse_qsl(query)))
        carrier = _bare(parameters.get("c", ""))
        if carrier is None and nesting and "q" in parameters:
            carrier = _find(parameters["q"], nesting - 1)
    return carrier


def _bare(text: str) -> Carrier | None:
    if len(text) <= INPUT_BYTES_MAX and _SPACED.fullmatch(text):
        return Carrier(text.encode("ascii"), False, None)
    return None


def _digital_link(segments: list[str]) -> Carrier | None:
    """Reads from the end: the path before the link may be anything, even an /01/ of its own."""
    rest = list(segments)
    values: dict[str, str] = {}
    for ai in ("21", "10", "22", "01"):
        if len(rest) > 2 and rest[-2] == ai:
            values[ai] = rest.pop()
            rest.pop()
    if not ("21" in values and "01" in values and valid_gtin14(values["01"])):
        return None
    if not (_GS1_SERIAL.fullmatch(values["21"]) and all(map(_AI_VALUE.fullmatch, values.values()))):
        return None
    return Carrier(values["21"].encode("ascii"), True, values["01"])


def _readable(prefix: str, url: str, carrier: Carrier) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"a prefix must be an http or https URL without a fragment, not {prefix!r}")
    if _found(url) != carrier:
        raise ValueError(f"{url} would not be read as the code it carries: choose another prefix")
    return url


def _found(url: str) -> Carrier | None:
    try:
        return read(url)
    except NoCodeError:
        return None
