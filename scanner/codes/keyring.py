"""The master keys of a brand: which one mints, which ones still verify, which ones are revoked.

A keyring is a value: rotating and revoking give a new one, and whoever holds the file writes it. Its form
is JSON, with the kids in the order in which they came:

    {"keys": [{"kid": 1, "state": "live", "created": "2027-03-01T09:30:00Z", "key": "<64 hex digits>"}]}
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Any, Literal, NamedTuple, Self, get_args

from scanner.codes.engine import KeyTable
from scanner.codes.format import KEY_BYTES, KID_MAX, derive
from scanner.codes.shares import ShareKeys
from scanner.errors import ConfigurationError

State = Literal["live", "revoked"]

FILE_BYTES_MAX = 64 * 1024

_MEMBERS = ("kid", "state", "created", "key")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_HEX_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class KeyState(NamedTuple):
    """A key as it may be shown: without its material. `mints` is true of one key, the newest live one."""

    kid: int
    state: State
    created: datetime
    mints: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A master key, 32 bytes. `created` is in UTC."""

    kid: int
    state: State
    created: datetime
    master: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys in the order in which they came, at least one of them live. Repr hides the material."""

    keys: tuple[Key, ...]

    def __post_init__(self) -> None:
        kids = [key.kid for key in self.keys]
        if len(set(kids)) < len(kids):
            raise ConfigurationError("keys: two of them have the same kid; each kid must be given once")
        if len({key.master for key in self.keys}) < len(kids):
            raise ConfigurationError(
                "keys: two of them are the same key under different kids; rotate instead"
            )
        if not any(key.state == "live" for key in self.keys):
            raise ConfigurationError("keys: none is live, so nothing could be minted; keep one live")

    @classmethod
    def new(cls) -> Self:
        """A keyring with one fresh key, kid 1."""
        return cls((_fresh(1),))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads a key file. ConfigurationError names the place, and never repeats what stands there."""
        entries = _members(_json(data), ("keys",), "the key file")["keys"]
        if not isinstance(entries, list):
            raise ConfigurationError("keys: must be an array")
        return cls(tuple(_key(entry, f"keys[{index}]") for index, entry in enumerate(entries)))

    def dump(self) -> bytes:
        """The key file, with the key material: write it with mode 0600."""
        keys = [
            {"kid": key.kid, "state": key.state, "created": _rfc3339(key.created), "key": key.master.hex()}
            for key in self.keys
        ]
        return json.dumps({"keys": keys}, indent=2).encode("ascii") + b"\n"

    @property
    def minting_kid(self) -> int:
        """The newest live key: new codes are minted with it."""
        return next(key.kid for key in reversed(self.keys) if key.state == "live")

    def rotate(self) -> Self:
        """Adds a key, which mints from now on. The others stay as they are, and their codes valid.

        Kids go from 1 up, and 0 comes last. ConfigurationError when all 64 are used.
        """
        used = {key.kid for key in self.keys}
        kid = next((kid for kid in (*range(1, KID_MAX + 1), 0) if kid not in used), None)
        if kid is None:
            raise ConfigurationError(f"all {KID_MAX + 1} kids are used: there is no room for another key")
        return replace(self, keys=(*self.keys, _fresh(kid)))

    def revoke(self, kid: int) -> Self:
        """From now on every code of this key is refused. Revoking twice is the same as once.

        ConfigurationError if there is no such key, or if it is the last live one.
        """
        if kid not in {key.kid for key in self.keys}:
            raise ConfigurationError(f"there is no key with kid {kid}")
        if not any(key.state == "live" and key.kid != kid for key in self.keys):
            raise ConfigurationError(f"kid {kid} is the last live key: rotate first, then revoke it")
        return replace(
            self,
            keys=tuple(replace(key, state="revoked") if key.kid == kid else key for key in self.keys),
        )

    def states(self) -> list[KeyState]:
        """What may be shown of each key, in the order in which they came."""
        mints = self.minting_kid
        return [KeyState(key.kid, key.state, key.created, key.kid == mints) for key in self.keys]

    def table(self) -> KeyTable:
        """The keys ready for use; a new table each time, so keep it."""
        return KeyTable({key.kid: derive(key.master) for key in self.keys}, self._revoked())

    def share_keys(self) -> ShareKeys:
        """The keys that seal and open share tokens; new ones each time, so keep them."""
        return ShareKeys({key.kid: key.master for key in self.keys}, self._revoked())

    def _revoked(self) -> list[int]:
        return [key.kid for key in self.keys if key.state == "revoked"]


def _fresh(kid: int) -> Key:
    return Key(kid, "live", datetime.now(UTC).replace(microsecond=0), token_bytes(KEY_BYTES))


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _json(data: bytes) -> Any:
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(f"the key file must be at most {FILE_BYTES_MAX} bytes, not {len(data)}")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
    # Out of the handler: a decoder's error carries the whole document, and a chained one would be kept.
    raise ConfigurationError(f"the key file is not JSON in UTF-8{place}")


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ConfigurationError("the key file: an object has a member twice")
    return members


def _members(value: Any, names: Sequence[str], path: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != set(names):
        raise ConfigurationError(f"{path}: must be an object with exactly {', '.join(names)}")
    return value


def _key(entry: Any, path: str) -> Key:
    members = _members(entry, _MEMBERS, path)
    kid, state, created, key = (members[name] for name in _MEMBERS)
    if type(kid) is not int or not 0 <= kid <= KID_MAX:
        raise ConfigurationError(f"{path}.kid: must be a whole number from 0 to {KID_MAX}")
    if state not in get_args(State):
        raise ConfigurationError(f'{path}.state: must be "live" or "revoked"')
    if not isinstance(key, str) or not _HEX_KEY.fullmatch(key):
        raise ConfigurationError(f"{path}.key: must be {2 * KEY_BYTES} hexadecimal digits")
    return Key(kid, state, _time(created, f"{path}.created"), bytes.fromhex(key))


def _time(value: Any, path: str) -> datetime:
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ConfigurationError(f"{path}: must be a time with its offset, as in 2027-03-01T09:30:00Z (RFC 3339)")
