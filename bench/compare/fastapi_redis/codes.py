"""The code format of docs/contract.md, section 1, in pure Python with the ``blake3`` package."""

from hmac import compare_digest

from blake3 import blake3

_BODY = (1 << 50) - 1
_TO_INT = str.maketrans(
    "ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyzOoIiLl", "abcdefghijklmnopqrstuv" * 2 + "001111"
)


class Codes:
    """The codes of one master key and one lot."""

    def __init__(self, kid: int, tag_key: bytes, mask_key: bytes, lot: int, size: int) -> None:
        self._kid = kid
        self._tag_key = tag_key
        self._mask_key = mask_key
        self._lot = lot
        self._size = size

    def serial_of(self, text: str) -> int | None:
        """The serial of a genuine code of the lot, given as 24 characters; None for any other."""
        raw = int(text.translate(_TO_INT), 32).to_bytes(15, "big")
        kid, tag = raw[0] >> 2, raw[7:]
        mask = blake3(bytes((kid,)) + tag, key=self._mask_key).digest(7)
        plain = int.from_bytes(raw[:7], "big") & _BODY ^ int.from_bytes(mask, "big") >> 6
        genuine = blake3(bytes((kid,)) + plain.to_bytes(7, "big"), key=self._tag_key).digest(8)
        lot, serial = plain >> 26, plain & 0x3FFFFFF
        if not compare_digest(genuine, tag) or kid != self._kid or lot != self._lot or serial >= self._size:
            return None
        return serial
