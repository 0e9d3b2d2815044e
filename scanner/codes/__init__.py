"""What is printed: the code and its spellings, the keys that sign it, minting, and verifying.

No I/O in this room. `read` finds the code in what was scanned, `check` asks a `KeyTable` whether it is
genuine, and `CodeId.unpack` says which piece of which lot it is. The KeyTable is native where the extension
was built, else its pure twin (see `engine`); `Keyring` makes one of the brand's master keys, and `ShareKeys`
for the tokens by which friends open a shared packet.
"""

from scanner.codes.carriers import (
    Carrier,
    NoCodeError,
    digital_link,
    gtin_check_digit,
    read,
    url_for,
    valid_gtin14,
)
from scanner.codes.engine import NATIVE, KeyTable
from scanner.codes.format import FORGED, MALFORMED, CodeId, SubKeys, derive, to_gs1, to_pin, to_text
from scanner.codes.keyring import Keyring, KeyState
from scanner.codes.shares import Share, ShareKeys
from scanner.codes.verify import check, pin_matches

__all__ = [
    "FORGED",
    "MALFORMED",
    "NATIVE",
    "Carrier",
    "CodeId",
    "KeyState",
    "KeyTable",
    "Keyring",
    "NoCodeError",
    "Share",
    "ShareKeys",
    "SubKeys",
    "check",
    "derive",
    "digital_link",
    "gtin_check_digit",
    "pin_matches",
    "read",
    "to_gs1",
    "to_pin",
    "to_text",
    "url_for",
    "valid_gtin14",
]
