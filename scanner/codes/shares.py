"""The token of a shared packet: whoever has it may open the packet, and it is checked without a look-up.

A token is 33 bytes, `kid:1 | tag:16 | masked payload:16`, as 44 characters of base64url. The payload says
which code's packet it is: `packed code:7 | campaign_no:2 | pool_no:1 | at_ms:6`, big-endian (the code as in
`CodeId.pack`). The formulas stand in docs/contract.md, section 1.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from hmac import compare_digest
from secrets import token_bytes
from typing import NamedTuple, final

from blake3 import blake3

from scanner.codes.format import KEY_BYTES, KID_MAX, CodeId

CAMPAIGN_NO_MAX = (1 << 16) - 1
POOL_NO_MAX = (1 << 8) - 1
AT_MS_MAX = (1 << 48) - 1

SHARE_CONTEXT = "scanner v1 share"

_TAG_BYTES = 16
# 44 characters of 6 bits are 33 bytes with no bit to spare: there is one spelling of each token.
_TOKEN = re.compile(r"[0-9A-Za-z_-]{44}")


class Share(NamedTuple):
    """A shared packet: the code it came from, the campaign's and the pool's numbers, and when.

    `campaign_no` is 1 to 65,535, `pool_no` 1 to 255, `at_ms` milliseconds since 1970, below 2^48.
    """

    code: CodeId
    campaign_no: int
    pool_no: int
    at_ms: int


@final
class ShareKeys:
    """Seals and opens share tokens with the keys of every kid. Never shows them.

    Tokens of a revoked kid are refused, yet can still be sealed, as a `KeyTable` does with codes. It does
    not change, so it may be used from several threads at once.
    """

    __slots__ = ("_keys", "_known", "_usable")

    def __init__(self, masters: Mapping[int, bytes], revoked: Collection[int] = ()) -> None:
        """Master keys by kid. ValueError for a kid out of range or a key that is not 32 bytes."""
        # As in a KeyTable, unknown kids hold random keys: they take as long as a wrong tag.
        self._keys = [token_bytes(KEY_BYTES) for _ in range(KID_MAX + 1)]
        for kid, master in masters.items():
            if not 0 <= kid <= KID_MAX:
                raise ValueError(f"kid must be 0 to {KID_MAX}, not {kid}")
            if len(master) != KEY_BYTES:
                raise ValueError(f"a master key must be {KEY_BYTES} bytes, not {len(master)}")
            self._keys[kid] = blake3(master, derive_key_context=SHARE_CONTEXT).digest()
        self._known = frozenset(masters)
        self._usable = self._known.difference(revoked)

    def __repr__(self) -> str:
        return f"ShareKeys(live={sorted(self._usable)}, revoked={sorted(self._known - self._usable)})"

    def seal(self, share: Share) -> str:
        """The token, 44 characters. The same share gives the same token, so an answer can be repeated.

        ValueError if a field is out of range or the code's kid unknown.
        """
        payload, kid = _pack(share), share.code.kid
        if kid not in self._known:
            raise ValueError(f"kid {kid} is unknown")
        tag = self._tag(kid, payload)
        return urlsafe_b64encode(bytes([kid]) + tag + self._masked(kid, tag, payload)).decode("ascii")

    def open(self, token: str) -> Share | None:
        """What a genuine token says, else None: another form, a wrong tag, a key unknown or revoked.

        All but another form take the same time.
        """
        if not _TOKEN.fullmatch(token):
            return None
        raw = urlsafe_b64decode(token)
        kid, tag, masked = raw[0], raw[1 : 1 + _TAG_BYTES], raw[1 + _TAG_BYTES :]
        if kid > KID_MAX:
            return None
        payload = self._masked(kid, tag, masked)
        share = _unpack(payload)
        genuine = compare_digest(self._tag(kid, payload), tag)
        # Not `and`: a key that is not usable must take as long as one that is. The tag covers the payload
        # alone, so the kid in front counts only if it is the one inside.
        return share if genuine & (share.code.kid == kid) & (kid in self._usable) else None

    # One key serves both: the payload's 16 bytes and the mask's 4 + 16 never meet.

    def _tag(self, kid: int, payload: bytes) -> bytes:
        return blake3(payload, key=self._keys[kid]).digest(_TAG_BYTES)

    def _masked(self, kid: int, tag: bytes, payload: bytes) -> bytes:
        """Masks a payload, or unmasks it: friends must not read lot and serial, which tell how much is
        produced."""
        mask = blake3(b"mask" + tag, key=self._keys[kid]).digest(len(payload))
        return (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(len(payload))


def _pack(share: Share) -> bytes:
    code, campaign_no, pool_no, at_ms = share
    if not 1 <= campaign_no <= CAMPAIGN_NO_MAX:
        raise ValueError(f"campaign_no must be 1 to {CAMPAIGN_NO_MAX}, not {campaign_no}")
    if not 1 <= pool_no <= POOL_NO_MAX:
        raise ValueError(f"pool_no must be 1 to {POOL_NO_MAX}, not {pool_no}")
    if not 0 <= at_ms <= AT_MS_MAX:
        raise ValueError(f"at_ms must be 0 to {AT_MS_MAX}, not {at_ms}")
    return code.pack().to_bytes(7) + campaign_no.to_bytes(2) + pool_no.to_bytes(1) + at_ms.to_bytes(6)


def _unpack(payload: bytes) -> Share:
    return Share(
        CodeId.unpack(int.from_bytes(payload[:7])),
        int.from_bytes(payload[7:9]),
        payload[9],
        int.from_bytes(payload[10:]),
    )
