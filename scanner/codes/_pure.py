"""The pure twin of scanner.codes._native, for where there is no compiler; _native.pyi describes both.

It gives the same answers and raises the same errors, slower, and holds the interpreter's lock throughout.
"""

import re
from binascii import a2b_base64
from collections.abc import Collection, Mapping, Sequence
from hmac import compare_digest
from secrets import token_bytes
from typing import NoReturn, final

from blake3 import blake3

from scanner.codes.format import (
    BATCH_MAX,
    CODE_FIELD,
    FORGED,
    GS1_CHARS,
    GS1_FIELD,
    INPUT_BYTES_MAX,
    KEY_BYTES,
    KID_MAX,
    LINE_BYTES_MAX,
    LOT_MAX,
    MALFORMED,
    PACKED_MAX,
    PIN_FIELD,
    POOL_BYTES_MAX,
    RAW_BYTES,
    SERIAL_FIELD,
    SERIAL_MAX,
    TEXT_CHARS,
    SubKeys,
    crockford,
    to_gs1,
    to_pin,
    to_text,
)

_BODY_BITS = 50
_BODY = (1 << _BODY_BITS) - 1

_DIGEST_BYTES = 32
_OTHER = b"scanner v1 other"

_FIELDS = re.compile(b"([" + CODE_FIELD + GS1_FIELD + SERIAL_FIELD + PIN_FIELD + b"])")


def _alphabet(accepted: bytes, meaning: bytes) -> bytes:
    """A table for bytes.translate; a byte that is not accepted becomes one that no decoder takes."""
    table = bytearray(b"!" * 256)
    for byte, means in zip(accepted, meaning, strict=True):
        table[byte] = means
    return bytes(table)


# Crockford's digits to those of int(..., 32), whose own liberties (signs, underscores, blanks) must not
# come through; base64url to base64, without its padding.
_CROCKFORD = _alphabet(
    b"0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyzOoIiLl",
    b"0123456789abcdefghijklmnopqrstuvabcdefghijklmnopqrstuv001111",
)
_BASE64URL = _alphabet(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
)


@final
class KeyTable:
    """The keys of every kid, ready to verify and to seal. Never shows them."""

    __slots__ = ("_known", "_slots", "_usable")

    def __init__(self, keys: Mapping[int, SubKeys], revoked: Collection[int] = ()) -> None:
        # As in the native twin, unknown kids hold random keys: they take as long as a wrong tag.
        self._slots = [SubKeys(*(token_bytes(KEY_BYTES) for _ in range(5))) for _ in range(KID_MAX + 1)]
        self._known = 0
        for kid, (tag, mask, pin, draw, id_) in keys.items():
            _number(kid, KID_MAX, "kid")
            for key in (tag, mask, pin, draw, id_):
                _check_key(key)
            self._slots[kid] = SubKeys(tag, mask, pin, draw, id_)
            self._known |= 1 << kid
        self._usable = self._known
        for kid in revoked:
            self._usable &= ~(1 << _number(kid, KID_MAX, "kid"))

    def __repr__(self) -> str:
        live = [kid for kid in range(KID_MAX + 1) if self._usable >> kid & 1]
        revoked = [kid for kid in range(KID_MAX + 1) if (self._known & ~self._usable) >> kid & 1]
        return f"KeyTable(live={live}, revoked={revoked})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyTable cannot be pickled or copied: it holds keys")

    def verify(self, text: bytes, /) -> int:
        _check_bytes(text, "text")
        if len(text) > INPUT_BYTES_MAX:
            return MALFORMED
        digits = text.translate(_CROCKFORD, b"- ")
        if len(digits) != TEXT_CHARS or b"!" in digits:
            return MALFORMED
        return self._unseal(int(digits, 32).to_bytes(RAW_BYTES))

    def verify_gs1(self, serial: bytes, /) -> int:
        _check_bytes(serial, "serial")
        digits = serial.translate(_BASE64URL)
        if len(digits) != GS1_CHARS or b"!" in digits:
            return MALFORMED
        return self._unseal(a2b_base64(digits))

    def verify_many(self, texts: Sequence[bytes], /) -> list[int]:
        texts = tuple(texts)
        if len(texts) > BATCH_MAX:
            raise ValueError(f"a batch must be at most {BATCH_MAX} texts, not {len(texts)}")
        for text in texts:
            _check_bytes(text, "each text")
        return [self.verify(text) for text in texts]

    def seal(self, kid: int, lot: int, serial: int, /) -> bytes:
        return self._sealed(self._pack(kid, lot, serial))

    def mint(self, kid: int, lot: int, first: int, count: int, line: bytes = CODE_FIELD + b"\n", /) -> bytes:
        self._pack(kid, lot, first)
        _number(count, BATCH_MAX, "count")
        _check_bytes(line, "line")
        if not 1 <= len(line) <= LINE_BYTES_MAX:
            raise ValueError(f"line must be 1 to {LINE_BYTES_MAX} bytes, not {len(line)}")
        if not self._usable >> kid & 1:
            raise ValueError(f"kid {kid} is revoked: its codes would be refused")
        if first + count > SERIAL_MAX + 1:
            raise ValueError(f"serial must be 0 to {SERIAL_MAX}, not {first + count - 1}")
        pieces = _FIELDS.split(line)
        return b"".join(
            self._field(piece, kid, lot, serial) for serial in range(first, first + count) for piece in pieces
        )

    def pin(self, kid: int, lot: int, serial: int, /) -> int:
        raw = self.seal(kid, lot, serial)
        return int.from_bytes(_keyed_hash(self._slots[kid].pin, raw, 8)) % 1_000_000

    def scan_id(self, kid: int, lot: int, serial: int, /) -> str:
        raw = self.seal(kid, lot, serial)
        return crockford(_keyed_hash(self._slots[kid].id, raw, 10))

    def draw(self, kid: int, lot: int, serial: int, pool: bytes, /) -> int:
        return self.draw_pair(kid, lot, serial, pool)[0]

    def draw_pair(self, kid: int, lot: int, serial: int, pool: bytes, /) -> tuple[int, int]:
        return self._pair(kid, self.seal(kid, lot, serial) + _pool(pool))

    def draw_pair_of(self, kid: int, digest: bytes, /) -> tuple[int, int]:
        kid = self._kid(kid)
        _check_bytes(digest, "digest")
        if len(digest) != _DIGEST_BYTES:
            raise ValueError(f"digest must be {_DIGEST_BYTES} bytes, not {len(digest)}")
        # 48 bytes, while a code and a pool make 16 to 47: under the one key the two messages never meet.
        return self._pair(kid, digest + _OTHER)

    def marks(self, number: int, pools: tuple[bytes, ...], /) -> bytes:
        kid = self._kid(_number(number, PACKED_MAX, "number") >> _BODY_BITS)
        if not isinstance(pools, tuple):
            raise TypeError(f"pools must be tuple, not {type(pools).__name__}")
        raw = self._sealed(number)
        scan_id = crockford(_keyed_hash(self._slots[kid].id, raw, 10))
        pairs = (_keyed_hash(self._slots[kid].draw, raw + _pool(pool), 12) for pool in pools)
        return b"".join((scan_id.encode("ascii"), *pairs))

    def _pair(self, kid: int, message: bytes) -> tuple[int, int]:
        out = _keyed_hash(self._slots[kid].draw, message, 12)
        return int.from_bytes(out[:6]), int.from_bytes(out[6:])

    def _pack(self, kid: int, lot: int, serial: int) -> int:
        high = self._kid(kid) << _BODY_BITS
        return high | _number(lot, LOT_MAX, "lot") << 26 | _number(serial, SERIAL_MAX, "serial")

    def _kid(self, kid: int) -> int:
        if not self._known >> _number(kid, KID_MAX, "kid") & 1:
            raise ValueError(f"kid {kid} is unknown")
        return kid

    def _field(self, piece: bytes, kid: int, lot: int, serial: int) -> bytes:
        """What a piece of a line stands for: a field of the code, else itself."""
        if piece == CODE_FIELD:
            return to_text(self.seal(kid, lot, serial)).encode("ascii")
        if piece == GS1_FIELD:
            return to_gs1(self.seal(kid, lot, serial)).encode("ascii")
        if piece == SERIAL_FIELD:
            return str(serial).encode("ascii")
        if piece == PIN_FIELD:
            return to_pin(self.pin(kid, lot, serial)).encode("ascii")
        return piece

    def _sealed(self, packed: int) -> bytes:
        tag = self._tag(packed)
        return (packed ^ self._mask(packed >> _BODY_BITS, tag)).to_bytes(7) + tag

    def _tag(self, packed: int) -> bytes:
        kid, plain = packed >> _BODY_BITS, packed & _BODY
        return _keyed_hash(self._slots[kid].tag, bytes([kid]) + plain.to_bytes(7), 8)

    def _mask(self, kid: int, tag: bytes) -> int:
        first_7_bytes = _keyed_hash(self._slots[kid].mask, bytes([kid]) + tag, 7)
        return int.from_bytes(first_7_bytes) >> (56 - _BODY_BITS)

    def _unseal(self, raw: bytes) -> int:
        head, tag = int.from_bytes(raw[:7]), raw[7:]
        kid = head >> _BODY_BITS
        packed = head ^ self._mask(kid, tag)
        # Not `and`: a key that is not usable must take as long as one that is.
        genuine = compare_digest(self._tag(packed), tag) & bool(self._usable >> kid & 1)
        return packed if genuine else FORGED


def _keyed_hash(key: bytes, message: bytes, length: int) -> bytes:
    return blake3(message, key=key).digest(length)


def _number(value: int, maximum: int, name: str) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")
    if not 0 <= value <= maximum:
        raise ValueError(f"{name} must be 0 to {maximum}, not {value}")
    return value


def _check_bytes(value: bytes, name: str) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")


def _pool(value: bytes) -> bytes:
    _check_bytes(value, "pool")
    if not 1 <= len(value) <= POOL_BYTES_MAX:
        raise ValueError(f"pool must be 1 to {POOL_BYTES_MAX} bytes, not {len(value)}")
    return value


def _check_key(value: object) -> None:
    if not isinstance(value, bytes) or len(value) != KEY_BYTES:
        raise ValueError(f"a sub-key must be {KEY_BYTES} bytes")
