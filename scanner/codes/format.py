"""What a code is made of: its fields, its two spellings and its sub-keys (docs/contract.md, section 1).

A code is 15 bytes, `kid:6 | body:50 | tag:64`. The body is the lot and the serial behind a mask, so that
what is printed does not tell how much is produced; only a `KeyTable` turns one into the other.
"""

from base64 import b32encode, urlsafe_b64encode
from typing import NamedTuple, Self

from blake3 import blake3

KID_MAX = (1 << 6) - 1
LOT_MAX = (1 << 24) - 1
SERIAL_MAX = (1 << 26) - 1
PACKED_MAX = (1 << 56) - 1

RAW_BYTES = 15
TEXT_CHARS = 24
GS1_CHARS = 20
PIN_DIGITS = 6
DRAW_BITS = 48
KEY_BYTES = 32

# Limits on what a KeyTable takes in one call.
INPUT_BYTES_MAX = 64
POOL_BYTES_MAX = 32
BATCH_MAX = 1 << 20
LINE_BYTES_MAX = 1024

# The bytes that stand for a field of a code in the pattern of a line that `KeyTable.mint` writes.
CODE_FIELD = b"\x01"
GS1_FIELD = b"\x02"
SERIAL_FIELD = b"\x03"
PIN_FIELD = b"\x04"

# What verifying answers in place of a packed number.
MALFORMED = -1
FORGED = -2

TAG_CONTEXT = "scanner v1 tag"
MASK_CONTEXT = "scanner v1 mask"
PIN_CONTEXT = "scanner v1 pin"
DRAW_CONTEXT = "scanner v1 draw"
ID_CONTEXT = "scanner v1 id"

_RFC4648_TO_CROCKFORD = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)


class CodeId(NamedTuple):
    """What a genuine code says: which key signed it, and which piece of which lot it is."""

    kid: int
    lot: int
    serial: int

    def pack(self) -> int:
        """The 56-bit number `kid:6 | lot:24 | serial:26`, as verifying answers it.

        ValueError if a field is out of range.
        """
        kid, lot, serial = self
        if not (0 <= kid <= KID_MAX and 0 <= lot <= LOT_MAX and 0 <= serial <= SERIAL_MAX):
            raise ValueError(
                f"a code has kid 0 to {KID_MAX}, lot 0 to {LOT_MAX}, serial 0 to {SERIAL_MAX}, not {self}"
            )
        return kid << 50 | lot << 26 | serial

    @classmethod
    def unpack(cls, number: int) -> Self:
        """The fields of a packed number. ValueError for a negative one, such as FORGED."""
        if not 0 <= number < 1 << 56:
            raise ValueError(f"a packed code is a number of 56 bits, not {number}")
        return cls(number >> 50, number >> 26 & LOT_MAX, number & SERIAL_MAX)


class SubKeys(NamedTuple):
    """The keys for each purpose, 32 bytes each, so that knowing one tells nothing of another."""

    tag: bytes
    mask: bytes
    pin: bytes
    draw: bytes
    id: bytes

    def __repr__(self) -> str:
        return "SubKeys(...)"


def derive(master: bytes) -> SubKeys:
    """The sub-keys of a master key: BLAKE3 `derive_key` with a context each.

    ValueError if the master key is not 32 bytes.
    """
    if len(master) != KEY_BYTES:
        raise ValueError(f"a master key must be {KEY_BYTES} bytes, not {len(master)}")
    contexts = TAG_CONTEXT, MASK_CONTEXT, PIN_CONTEXT, DRAW_CONTEXT, ID_CONTEXT
    return SubKeys(*(blake3(master, derive_key_context=context).digest() for context in contexts))


def crockford(data: bytes) -> str:
    """Bytes in Crockford's base 32 (https://www.crockford.com/base32.html), upper case.

    Takes a multiple of 5 bytes, which needs no padding; ValueError otherwise.
    """
    if len(data) % 5:
        raise ValueError(f"must be a multiple of 5 bytes, not {len(data)}")
    return b32encode(data).translate(_RFC4648_TO_CROCKFORD).decode("ascii")


def to_text(raw: bytes) -> str:
    """A code's 15 bytes as the 24 characters that people read and type. ValueError for another length."""
    return crockford(_checked(raw))


def to_gs1(raw: bytes) -> str:
    """A code's 15 bytes as the 20 characters of base64url (RFC 4648, section 5) in GS1 AI (21).

    ValueError for another length.
    """
    return urlsafe_b64encode(_checked(raw)).decode("ascii")


def to_pin(number: int) -> str:
    """A PIN as it is printed: 6 digits, zeros first."""
    return f"{number:0{PIN_DIGITS}}"


def _checked(raw: bytes) -> bytes:
    if len(raw) != RAW_BYTES:
        raise ValueError(f"a code must be {RAW_BYTES} bytes, not {len(raw)}")
    return raw
