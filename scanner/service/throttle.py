"""Throttling: who fails too often waits. Counted in memory that all workers of a service share.

A failure is a code, a PIN or a token that is wrong. It counts for the member, and for the address it came
from. What makes good for one failure, on both sides, is a code that is accepted for the first time: nothing
that can be had again with the same code, such as a replay or a question about it, for else one genuine code
would forgive everything.

Tables of a fixed size hold the counts, so no flood can make them grow. There is no lock and no store command:
a cell of 64 bits is read and written whole, and processes that race for a slot may lose a count. They never
charge it to somebody else: a state carries bits of the key it belongs to, and one that does not fit its tag
is nothing. Whatever bits the memory holds, no wait is longer than the longest of the policy.
"""

import mmap
from collections.abc import Callable
from functools import lru_cache, partial
from struct import Struct
from typing import NamedTuple

from blake3 import blake3


class Policy(NamedTuple):
    """How many failures are free; how long it takes, once no wait is left, to forget one; the wait after the
    first that is not free, which each further one doubles; and the longest wait."""

    free: int
    forgotten_ms: int
    wait_first_ms: int
    wait_max_ms: int

    @property
    def waits_ms(self) -> list[int]:
        """The wait by the count, up to the first count that has the longest."""
        waits = [0] * (self.free + 1)
        while waits[-1] < self.wait_max_ms:
            waits.append(min(self.wait_max_ms, self.wait_first_ms << len(waits) - self.free - 1))
        return waits


# People mistype a PIN, photograph a torn label, scan what was never a code: ten in a row may be honest. After
# ten more a robot that keeps trying has a try an hour, and a patient one has a try a minute.
MEMBER = Policy(free=10, forgotten_ms=60_000, wait_first_ms=10_000, wait_max_ms=3_600_000)
# A carrier's NAT shows thousands of people as one address. In a spot some 50 of them scan each second, and
# two or three of these fail; the others succeed, and make good for them many times over. Where nobody can
# succeed, as before a campaign starts, one a second and 200 in reserve last for minutes. Waits are shorter
# than a member's, because people who did nothing wrong may share them.
ADDRESS = Policy(free=200, forgotten_ms=1_000, wait_first_ms=10_000, wait_max_ms=600_000)

_SLOTS = 4
_SETS = 1 << 14
_SET_CELLS = 2 * _SLOTS  # the tags, then the states: one cache line
_TABLE_CELLS = _SETS * _SET_CELLS
_HEADER_CELLS = 8  # the first one says until when something may be kept; the rest fill its cache line
THROTTLE_BYTES = 8 * (_HEADER_CELLS + 2 * _TABLE_CELLS)
"""Size of the shared memory, which starts as zeros: 65,536 members and as many addresses in 2 MiB."""

# A state is `check:13 | end_ms:42 | count:8`. The count stands until `end_ms`, when the wait is over, and
# goes down from then on: a wait that is long must not forget what it is for. A time of 42 bits ends in 2109.
_COUNT_BITS = 8
_END_BITS = 42
_CHECK_SHIFT = _COUNT_BITS + _END_BITS
_COUNT_MASK = (1 << _COUNT_BITS) - 1
_END_MASK = (1 << _END_BITS) - 1
_KEY_MASK = (1 << 63) - 1
_TAGS = Struct(f"{_SLOTS}q")

# The longest that anything is remembered after its last failure.
_KEPT_MAX_MS = max(
    policy.wait_max_ms + len(policy.waits_ms) * policy.forgotten_ms for policy in (MEMBER, ADDRESS)
)
# Keys that a worker need not compute again: about 2 MiB where all of them are in use.
_KEYS_REMEMBERED_MAX = 8192

_NOTHING = 0, 0


class Throttle:
    """Failures of members and addresses, in memory that all workers of a service share.

    A key of 0 stands for nobody: the member of a request without a valid token, an address that is not known.
    ``now_s`` is in Unix seconds; where the clock steps back, waits that would be longer than any are void.
    """

    __slots__ = ("_addresses", "_cells", "_members", "address_key", "member_key")

    member_key: Callable[[str], int]
    """The key of a member's id, never 0. Nobody can choose an id for its place without the secret."""
    address_key: Callable[[str], int]
    """The key of an address; 0 for an empty one."""

    def __init__(self, shared: mmap.mmap | bytearray | memoryview, secret: bytes) -> None:
        """`shared` is the memory: :data:`THROTTLE_BYTES`, zeros at first, aligned to 8 bytes; `secret` is 32
        bytes, the same in all workers. ValueError where they fall short."""
        if len(secret) != 32:
            raise ValueError(f"the secret must be 32 bytes, not {len(secret)}")
        if len(shared) < THROTTLE_BYTES:
            raise ValueError(f"{len(shared)} bytes are too few: {THROTTLE_BYTES} are needed")
        self._cells = memoryview(shared)[:THROTTLE_BYTES].cast("q")
        middle = _HEADER_CELLS + _TABLE_CELLS
        self._members = _Table(self._cells[_HEADER_CELLS:middle], MEMBER)
        self._addresses = _Table(self._cells[middle:], ADDRESS)
        remember = lru_cache(_KEYS_REMEMBERED_MAX)
        self.member_key = remember(partial(_member_key, secret))
        self.address_key = remember(partial(_address_key, secret))

    @property
    def kept(self) -> memoryview:
        """One integer, for native code: 0 while ``is_quiet``."""
        return self._cells[:1]

    @property
    def is_quiet(self) -> bool:
        """Nothing is kept of anybody.

        It turns True a good hour after the last failure. A worker that finds so at the very moment of a
        failure in another hides that one until the next failure, no longer.
        """
        return not self._cells[0]

    def wait_s(self, member_key: int, address_key: int, now_s: float) -> int:
        """Whole seconds until the next try is judged, at least 1; 0 is now. To ask changes nothing.

        An address that waits holds back requests without a valid token, and members who failed lately. Those
        who did not are judged, whoever else is behind that address.
        """
        cells = self._cells
        kept_until_ms = cells[0]
        if not kept_until_ms:
            return 0
        now_ms = int(now_s * 1000)
        if not now_ms <= kept_until_ms <= now_ms + _KEPT_MAX_MS:
            # All is forgotten; or the clock has stepped back, and what is later than this is void.
            cells[0] = 0 if kept_until_ms < now_ms else now_ms + _KEPT_MAX_MS
        wait_ms = clean_ms = 0
        if member_key:
            count, end_ms = self._members.standing(member_key, now_ms)
            if count:
                if count > MEMBER.free and end_ms > now_ms:
                    wait_ms = end_ms - now_ms
                clean_ms = end_ms + count * MEMBER.forgotten_ms - now_ms
        if address_key and (clean_ms or not member_key):
            count, end_ms = self._addresses.standing(address_key, now_ms)
            if count > ADDRESS.free and end_ms > now_ms:
                held_ms = end_ms - now_ms
                wait_ms = max(wait_ms, min(held_ms, clean_ms)) if member_key else held_ms
        return -(-wait_ms // 1000)

    def failed(self, member_key: int, address_key: int, now_s: float) -> None:
        """Counts what was judged and found wrong.

        At an address that waits, one failure uses up all that a member has free, and takes as long to be
        forgotten: else many stolen accounts behind one address would have a try a minute each.
        """
        now_ms = int(now_s * 1000)
        address_waits = bool(address_key) and self._addresses.add(address_key, now_ms, 1)
        if member_key:
            self._members.add(member_key, now_ms, MEMBER.free if address_waits else 1)
        # Always the longest, also for a short one: whoever writes last in a race then leaves no less.
        self._cells[0] = now_ms + _KEPT_MAX_MS

    def succeeded(self, member_key: int, address_key: int) -> None:
        """Forgives one failure of each: a code was accepted, and not before."""
        if self._cells[0]:
            self._members.forgive(member_key)
            self._addresses.forgive(address_key)


class _Table:
    """Counts by key: sets of four slots, each a tag and a state."""

    __slots__ = ("_cells", "_policy", "_waits_ms")

    def __init__(self, cells: memoryview, policy: Policy) -> None:
        self._cells = cells
        self._policy = policy
        self._waits_ms = policy.waits_ms
        assert len(self._waits_ms) - 1 <= _COUNT_MASK

    def _state_of(self, key: int) -> int:
        """The cell of the key's state; -1 where it has none."""
        first = (key & (_SETS - 1)) * _SET_CELLS
        tags = _TAGS.unpack_from(self._cells, first * 8)
        return first + _SLOTS + tags.index(key) if key in tags else -1

    def standing(self, key: int, now_ms: int) -> tuple[int, int]:
        """The count as it is now, and from when on it goes down further; (0, 0) where nothing is kept."""
        at = self._state_of(key)
        return self._read(key, self._cells[at], now_ms) if at >= 0 else _NOTHING

    def _read(self, key: int, state: int, now_ms: int) -> tuple[int, int]:
        if state >> _CHECK_SHIFT != key >> _CHECK_SHIFT:
            return _NOTHING  # another key's, written in a race, or never written
        count, end_ms = state & _COUNT_MASK, state >> _COUNT_BITS & _END_MASK
        policy = self._policy
        if end_ms - now_ms > policy.wait_max_ms:
            return _NOTHING  # the clock was ahead then
        forgotten = max(0, now_ms - end_ms) // policy.forgotten_ms
        if forgotten >= count:
            return _NOTHING
        return count - forgotten, end_ms + forgotten * policy.forgotten_ms

    def add(self, key: int, now_ms: int, least: int) -> bool:
        """Counts a failure, and at least so many; whether the key waited before it.

        Where all four slots are taken by others who wait, nothing is counted.
        """
        cells, at = self._cells, self._state_of(key)
        is_new = at < 0
        before, end_ms = _NOTHING if is_new else self._read(key, cells[at], now_ms)
        if is_new and (at := self._least(key, now_ms)) < 0:
            return False
        waits = before > self._policy.free and end_ms > now_ms
        count = min(max(before + 1, least), len(self._waits_ms) - 1)
        wait_ms = self._waits_ms[count]
        if wait_ms or not before:
            end_ms = now_ms + wait_ms
        cells[at] = key >> _CHECK_SHIFT << _CHECK_SHIFT | (end_ms & _END_MASK) << _COUNT_BITS | count
        if is_new:
            cells[at - _SLOTS] = key
        return waits

    def _least(self, key: int, now_ms: int) -> int:
        """The state of the slot in the key's set that matters least; -1 where all of them wait.

        A flood of new keys takes a set's lowest count again and again: its own, as a rule.
        """
        cells, free = self._cells, self._policy.free
        first = (key & (_SETS - 1)) * _SET_CELLS + _SLOTS
        lowest, least = (True, 0, 0), -1
        for at in range(first, first + _SLOTS):
            count, end_ms = self._read(cells[at - _SLOTS], cells[at], now_ms)
            rank = count > free and end_ms > now_ms, count, end_ms
            if rank < lowest:
                lowest, least = rank, at
        return least

    def forgive(self, key: int) -> None:
        """Takes one off the key's count, if it has any."""
        at = self._state_of(key) if key else -1
        if at >= 0:
            state = self._cells[at]
            if state & _COUNT_MASK and state >> _CHECK_SHIFT == key >> _CHECK_SHIFT:
                self._cells[at] = state - 1


def _member_key(secret: bytes, member: str) -> int:
    return _key(secret, "m" + member)


def _address_key(secret: bytes, address: str) -> int:
    return _key(secret, "a" + address) if address else 0


def _key(secret: bytes, text: str) -> int:
    return int.from_bytes(blake3(text.encode(), key=secret).digest(8)) & _KEY_MASK or 1
