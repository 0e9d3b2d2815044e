"""Who may do what in the store: one user a role, with the commands and the keys that it needs and no others.

A command that a function calls is checked against the user who called the function, so a role holds those
too. Nobody here may replace a function: code that a service could swap would run with the rights of whoever
calls it next. ``docs/security.md`` says what each role could do in the wrong hands.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from scanner.errors import ConfigurationError
from scanner.ledger.keys import Keys

PASSWORD_CHARS_MIN = 16
USER_CHARS_MAX = 64
# No character of it means more in a key's pattern than itself.
_GROUP = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A group's own keys, and those of its parts (`points.0of4`).
_OF_GROUP = ("{group}", "{group}.[0-9]*of[0-9]*")


class Grant(NamedTuple):
    """Commands on keys. A key stands without what all keys of the brand begin with."""

    keys: tuple[str, ...]
    commands: tuple[str, ...]


class Role(NamedTuple):
    """The first of the ``grants`` is the user's own, the others are selectors beside it."""

    purpose: str
    grants: tuple[Grant, ...]

    @property
    def commands(self) -> frozenset[str]:
        return frozenset(command for grant in self.grants for command in grant.commands)


# fmt: off
# What every connection of ours asks once: may this store be trusted, and does it have our functions?
_OPENING = ("config|get", "function|list", "info")
# What the service reads by itself and in the claim function, and where that writes what. Could it write
# anywhere, one SET would be the end of the stream.
_SERVICE = (
    Grant(("*",), (
        *_OPENING, "fcall", "get", "hget", "hgetall", "hlen", "hmget", "time", "xinfo|stream", "xlen",
        "xrange", "zcard", "zrangebyscore",
    )),
    Grant(("budget:*", "claims:*", "pool:*", "requests:*", "share:*", "wallet:*"), ("hset",)),
    Grant(("wallet:*",), ("hdel",)),
    Grant(("counts:*", "tries:*"), ("set",)),
    Grant(("events",), ("memory|usage", "xadd", "xinfo|consumers", "xinfo|groups", "xpending")),
    Grant(("expiries",), ("zadd", "zrem")),
)
# Reading what there is, and the functions of all changes that people make.
_CHANGES = (
    "del", "exists", "fcall", "function|load", "hdel", "hget", "hgetall", "hincrby", "hlen", "hmget", "hset",
    "time", "xadd", "xlen", "zadd", "zcard", "zrange",
)
# What became of the stream's groups, their dead letters, and groups that nobody reads any more.
_QUEUE = ("memory|usage", "xdel", "xgroup|destroy", "xinfo|consumers", "xinfo|groups", "xpending")
# The audit reads all of a brand, some of it at one moment.
_AUDIT = (
    "exec", "get", "hkeys", "multi", "pexpiretime", "scan", "xrange", "xrevrange", "zscan", "zscore",
)
# Rebuilding the brand from an export (restore/), where those above have not all of it.
_RESTORE = ("pexpire", "rename", "set", "type", "unlink", "watch", "xinfo|stream")
# The stream, by one reader or by a group of them, who add to its dead letters. What is sent back to a group
# is handled as an entry of the ledger is: only an operator adds that.
_READER = (
    Grant(("again:*", "dead:*", "events"), (
        "exec", "info", "memory|usage", "multi", "time", "xack", "xautoclaim", "xclaim", "xgroup|create",
        "xgroup|delconsumer", "xinfo|consumers", "xinfo|groups", "xinfo|stream", "xlen", "xpending", "xrange",
        "xread", "xreadgroup",
    )),
    Grant(("again:*",), ("xdel",)),
    Grant(("dead:*",), ("xadd",)),
)
# The stream's archive: what is in it may be trimmed, by a function that looks at all groups.
_KEEPER = (
    Grant(("events", "keeper", "resting"), (
        *_OPENING, "exists", "fcall", "get", "time", "xgroup|create", "xgroup|delconsumer", "xgroup|setid",
        "xinfo|consumers", "xinfo|groups", "xinfo|stream", "xlen", "xpending", "xrange", "xtrim",
    )),
    Grant(("keeper", "resting"), ("pexpire", "set")),
)
# fmt: on

ROLES = {
    "service": Role("`scanner serve`", _SERVICE),
    "operator": Role(
        "the commands that change, audit or restore the brand",
        (
            Grant(("*",), (*_OPENING, *_CHANGES, *_AUDIT, *_RESTORE, *_QUEUE)),
            Grant(("rebuilt",), ("xsetid",)),  # what a stream that is restored in part was given before
        ),
    ),
    "reader": Role("who reads the stream: consumers, bridges, `scanner stream`", _READER),
    "keeper": Role("`scanner queue keep`", _KEEPER),
}
# Nobody comes in without saying who they are.
DEFAULT_USER_OFF = "user default reset off"


def user_line(role: str, user: str, password_sha256: str, keys: Keys, *, groups: Sequence[str] = ()) -> str:
    """The line of an ACL file for a user of this role; ``groups`` are those of the stream's groups to whose
    dead letters, and what is sent back of them, it keeps; none given, all.

    Raises:
        ConfigurationError: no store would take such a name, or no group has it.
    """
    if not user.isascii() or not user.isprintable() or " " in user or not 1 <= len(user) <= USER_CHARS_MAX:
        raise ConfigurationError(f"a user has 1 to {USER_CHARS_MAX} ASCII characters and no space: {user!r}")
    if user == "default":
        raise ConfigurationError("the user `default` is switched off; name another one")
    for group in groups:
        if not _GROUP.fullmatch(group):
            raise ConfigurationError(f"a group has 1 to 64 of A-Z a-z 0-9 . _ - in its name: {group!r}")
    own, *others = (_rules(grant, keys, groups) for grant in ROLES[role].grants)
    selectors = "".join(f" ({rules})" for rules in others)
    return f"user {user} reset on #{password_sha256} resetchannels {own}{selectors}"


def _rules(grant: Grant, keys: Keys, groups: Sequence[str]) -> str:
    patterns = [f"~{keys.prefix}{pattern}" for key in grant.keys for pattern in _patterns(key, groups)]
    return " ".join([*patterns, "-@all", *(f"+{command}" for command in sorted(grant.commands))])


def _patterns(key: str, groups: Sequence[str]) -> list[str]:
    if not groups or key not in ("again:*", "dead:*"):
        return [key]
    kind = key.removesuffix("*")
    return [kind + form.format(group=group) for group in groups for form in _OF_GROUP]


def digest_of(password: str) -> str:
    """The password as an ACL file has it: 64 hex digits.

    The store takes a plain SHA-256, which a short password would not withstand.

    Raises:
        ConfigurationError: the password is short, or has characters that are easily lost on the way.
    """
    if len(password) < PASSWORD_CHARS_MIN or not password.isascii() or not password.isprintable():
        raise ConfigurationError(
            f"a password of the store has {PASSWORD_CHARS_MIN} or more printable ASCII characters"
        )
    return hashlib.sha256(password.encode()).hexdigest()
