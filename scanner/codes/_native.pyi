"""KeyTable, native (native/_native.pyx, native/codes.c). scanner.codes._pure is its twin.

The formulas stand in docs/contract.md, section 1. Every method raises TypeError for an argument of another
type, and ValueError for a kid that is not in the table or a number that is out of its range:
kid 0 to 63, lot 0 to 2^24 - 1, serial 0 to 2^26 - 1.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn, Self, final

from scanner.codes.format import SubKeys

@final
class KeyTable:
    """The keys of every kid, ready to verify and to seal. Never shows them.

    Codes of a revoked kid are refused as forged, yet can still be sealed: auditors need the ids of old
    codes. It cannot be pickled or copied, it may be used from several threads at once, and its memory
    is wiped when it is freed (the native twin only).
    """

    def __new__(cls, keys: Mapping[int, SubKeys], revoked: Collection[int] = ()) -> Self:
        """`keys` by kid. ValueError for a kid out of range or a sub-key that is not 32 bytes."""

    def verify(self, text: bytes, /) -> int:
        """The packed number (see CodeId.unpack) of a code in Crockford base 32.

        Takes lower case, O for 0, I and L for 1, and hyphens and spaces anywhere. MALFORMED if it is no
        code at all: another length, another alphabet, more than 64 bytes. FORGED if the tag is wrong or
        the key unknown or revoked; these three take the same time.
        """

    def verify_gs1(self, serial: bytes, /) -> int:
        """The same for the value of GS1 AI (21): exactly 20 characters of base64url."""

    def verify_many(self, texts: Sequence[bytes], /) -> list[int]:
        """`verify` of each, in order, at most 2^20 at once; other threads run meanwhile."""

    def seal(self, kid: int, lot: int, serial: int, /) -> bytes:
        """The 15 bytes of a code."""

    def mint(self, kid: int, lot: int, first: int, count: int, /) -> bytes:
        """The texts of `count` serials from `first`: 24 characters and a newline each.

        At most 2^20 at once; other threads run meanwhile. ValueError also for a revoked kid, whose codes
        would be refused once they are printed.
        """

    def pin(self, kid: int, lot: int, serial: int, /) -> int:
        """The code's PIN, 0 to 999,999; `to_pin` gives its 6 digits."""

    def scan_id(self, kid: int, lot: int, serial: int, /) -> str:
        """The 16 characters under which a scan of this code is known for ever."""

    def draw(self, kid: int, lot: int, serial: int, pool: bytes, /) -> int:
        """The code's number in a pool's draw, of 48 bits: BLAKE3(key=K_draw, the 15 bytes ‖ pool).

        `pool` is the pool's id, 1 to 32 bytes; ValueError otherwise.
        """

    def draw_pair(self, kid: int, lot: int, serial: int, pool: bytes, /) -> tuple[int, int]:
        """(u, v), of 48 bits each: what `draw` answers, and the next 6 bytes of the same BLAKE3 output.

        u decides the prize, v an amount between two bounds. Takes and refuses what `draw` does.
        """

    def draw_pair_of(self, kid: int, digest: bytes, /) -> tuple[int, int]:
        """(u, v) of a draw that is not a code's: BLAKE3(key=K_draw, digest ‖ "scanner v1 other").

        `digest` is 32 bytes that stand for what is drawn for; ValueError otherwise. As with `draw`, a
        revoked kid still answers, so that an old draw can be recomputed for ever.
        """

    def __reduce__(self) -> NoReturn:
        """Raises TypeError: keys are not pickled."""
