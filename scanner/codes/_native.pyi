"""KeyTable, native (native/_native.pyx, native/codes.c). scanner.codes._pure is its twin.

The formulas stand in docs/contract.md, section 1. Every method raises TypeError for an argument of another
type, and ValueError for a kid that is not in the table or a number that is out of its range:
kid 0 to 63, lot 0 to 2^24 - 1, serial 0 to 2^26 - 1.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn, Self, final

from scanner.codes.format import SubKeys

def forms() -> tuple[str, ...]:
    """How batches may run on this machine, the fastest first: the names of sets of vector instructions, and
    "scalar". The first is in use from the import on. All give the same answers."""

def use_form(name: str, /) -> None:
    """Batches run in this form from now on: for tests and measurements. ValueError if it is none of them."""

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

    def mint(self, kid: int, lot: int, first: int, count: int, line: bytes = b"\x01\n", /) -> bytes:
        """A line for each of `count` serials from `first`: the text and a newline, or what `line` says.

        `line` is a pattern of 1 to 1,024 bytes in which 1 stands for the code's text (24 characters), 2 for
        its GS1 value (20), 3 for the serial (no zeros first) and 4 for the PIN (6 digits); every other byte
        stands for itself. At most 2^20 at once; other threads run meanwhile. ValueError also for a revoked
        kid, whose codes would be refused once they are printed.
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

    def marks(self, number: int, pools: tuple[bytes, ...], /) -> bytes:
        """What a genuine code is known by and draws with, for one sealing of it.

        `number` is the packed number that verifying answered, `pools` the ids of the pools that its scan
        enters, 1 to 32 bytes each. Answers 16 bytes, the text of `scan_id`, then 12 a pool in their order:
        u and v of `draw_pair`, 6 bytes each, big-endian. A revoked kid still answers.
        """

    def __reduce__(self) -> NoReturn:
        """Raises TypeError: keys are not pickled."""
