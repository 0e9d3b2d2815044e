"""Throttling: the waits, beside a plain model; crowds and robots behind one address; shared memory."""

import heapq
import mmap
import random
import subprocess
import sys
import tempfile
from struct import Struct

import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.service import throttle as module
from scanner.service.throttle import THROTTLE_BYTES, Throttle

SECRET = bytes(range(32))
NOW = 1_800_000_000.0
MINUTE, HOUR = 60.0, 3600.0


def fresh(kind=Throttle):
    return kind(bytearray(THROTTLE_BYTES), SECRET)


@pytest.fixture
def throttle():
    return fresh()


@pytest.fixture
def alice(throttle):
    return throttle.member_key("alice")


@pytest.fixture
def nat(throttle):
    return throttle.address_key("203.0.113.7")


def fail(throttle, member, address, times, now_s=NOW):
    for _ in range(times):
        throttle.failed(member, address, now_s)


# The policy.


def test_ten_failures_of_a_member_are_free(throttle, alice):
    fail(throttle, alice, 0, 10)
    assert throttle.wait_s(alice, 0, NOW) == 0
    throttle.failed(alice, 0, NOW)
    assert throttle.wait_s(alice, 0, NOW) == 10
    assert throttle.wait_s(throttle.member_key("bob"), 0, NOW) == 0


def test_two_hundred_failures_of_an_address_are_free(throttle, nat):
    fail(throttle, 0, nat, 200)
    assert throttle.wait_s(0, nat, NOW) == 0
    throttle.failed(0, nat, NOW)
    assert throttle.wait_s(0, nat, NOW) == 10
    assert throttle.wait_s(0, throttle.address_key("203.0.113.8"), NOW) == 0


def waits_of_who_never_stops(throttle, member, address, tries):
    """The waits after each failure of somebody who tries again as soon as they may."""
    now_s, waits = NOW, []
    for _ in range(tries):
        throttle.failed(member, address, now_s)
        wait_s = throttle.wait_s(member, address, now_s)
        if wait_s:
            assert throttle.wait_s(member, address, now_s + wait_s - 0.001) == 1
        waits.append(wait_s)
        now_s += wait_s
        assert throttle.wait_s(member, address, now_s) == 0
    return waits


def test_waits_of_a_member_double_up_to_an_hour(throttle, alice):
    waits = waits_of_who_never_stops(throttle, alice, 0, 23)
    assert waits == [0] * 10 + [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600, 3600]


def test_waits_of_an_address_double_up_to_ten_minutes(throttle, nat):
    waits = waits_of_who_never_stops(throttle, 0, nat, 210)
    assert waits == [0] * 200 + [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]


def test_a_wait_does_not_grow_by_being_asked(throttle, alice):
    fail(throttle, alice, 0, 12)
    assert [throttle.wait_s(alice, 0, NOW + s) for s in (0, 0.001, 1, 1, 18.5, 19.999, 20, 21)] == [
        *(20, 20, 19, 19, 2, 1, 0, 0)
    ]


def test_a_failure_of_a_member_is_forgotten_each_minute_that_they_do_not_wait(throttle, alice):
    fail(throttle, alice, 0, 12)
    over = NOW + 20
    throttle.failed(alice, 0, over + 2 * MINUTE)
    assert throttle.wait_s(alice, 0, over + 2 * MINUTE) == 10  # the eleventh
    over += 2 * MINUTE + 10
    fail(throttle, alice, 0, 10, over + 11 * MINUTE)
    assert throttle.wait_s(alice, 0, over + 11 * MINUTE) == 0


def test_a_failure_of_an_address_is_forgotten_each_second_that_it_does_not_wait(throttle, nat):
    fail(throttle, 0, nat, 200)
    fail(throttle, 0, nat, 30, NOW + 30)
    assert throttle.wait_s(0, nat, NOW + 30) == 0
    throttle.failed(0, nat, NOW + 30.9)
    assert throttle.wait_s(0, nat, NOW + 30.9) == 10


def test_a_success_forgives_one(throttle, alice, nat):
    fail(throttle, alice, nat, 10)
    throttle.succeeded(alice, nat)
    throttle.failed(alice, nat, NOW)
    assert throttle.wait_s(alice, nat, NOW) == 0
    throttle.failed(alice, nat, NOW)
    assert throttle.wait_s(alice, nat, NOW) == 10
    fail(throttle, 0, nat, 190)
    assert throttle.wait_s(0, nat, NOW) == 10
    throttle.succeeded(throttle.member_key("bob"), nat)
    assert throttle.wait_s(0, nat, NOW) == 0


def test_successes_are_not_saved_up(throttle, alice, nat):
    throttle.failed(alice, nat, NOW)
    for _ in range(500):
        throttle.succeeded(alice, nat)
    fail(throttle, alice, nat, 11)
    assert throttle.wait_s(alice, nat, NOW) == 10


def test_at_an_address_that_waits_a_member_has_one_free_failure(throttle, alice, nat):
    bob = throttle.member_key("bob")
    throttle.failed(bob, 0, NOW)
    fail(throttle, 0, nat, 205)  # 160 s
    assert throttle.wait_s(alice, nat, NOW) == 0
    assert throttle.wait_s(bob, nat, NOW) == 60  # until his own is forgotten, which is sooner
    throttle.failed(alice, nat, NOW)  # also counts for the address: 320 s
    assert throttle.wait_s(alice, nat, NOW) == throttle.wait_s(0, nat, NOW) == 320
    assert throttle.wait_s(alice, 0, NOW) == 0  # elsewhere the ten are used up, and no more
    throttle.failed(alice, 0, NOW)
    assert throttle.wait_s(alice, 0, NOW) == 10


def test_that_failure_takes_as_long_to_be_forgotten_as_the_ten(throttle, alice, nat):
    fail(throttle, 0, nat, 210)
    throttle.failed(alice, nat, NOW)
    fail(throttle, 0, nat, 1, NOW + 500)
    assert throttle.wait_s(alice, nat, NOW + 599) == 1
    assert throttle.wait_s(alice, nat, NOW + 600) == 0


def test_a_key_of_nobody_never_waits(throttle):
    assert throttle.address_key("") == 0
    fail(throttle, 0, 0, 1000)
    throttle.succeeded(0, 0)
    assert throttle.wait_s(0, 0, NOW) == 0


def test_nothing_is_kept_until_somebody_fails_and_again_when_all_is_forgotten(throttle, alice, nat):
    assert throttle.is_quiet
    throttle.wait_s(alice, nat, NOW)
    throttle.succeeded(alice, nat)
    assert throttle.is_quiet
    throttle.failed(0, nat, NOW)
    fail(throttle, alice, 0, 30)
    clean = HOUR + 20 * MINUTE  # the longest wait, and then twenty failures
    assert throttle.wait_s(alice, 0, NOW + clean) == 0
    assert not throttle.is_quiet
    assert throttle.wait_s(alice, 0, NOW + clean + 2 * MINUTE) == 0
    assert throttle.is_quiet


# The same, beside a model of it: a dictionary, and time that goes on step by step.


class Model:
    def __init__(self):
        self.kept = {}

    def standing(self, key, forgotten_ms, now_ms):
        count, end_ms = self.kept.get(key, (0, 0))
        while count and now_ms - end_ms >= forgotten_ms:
            count, end_ms = count - 1, end_ms + forgotten_ms
        return count, end_ms

    def held_ms(self, address, now_ms):
        count, end_ms = self.standing(address, 1000, now_ms)
        return end_ms - now_ms if address and count > 200 and end_ms > now_ms else 0

    def wait_s(self, member, address, now_ms):
        held_ms = self.held_ms(address, now_ms)
        if not member:
            return -(-held_ms // 1000)
        count, end_ms = self.standing(member, 60_000, now_ms)
        own_ms = max(0, end_ms - now_ms) if count > 10 else 0
        clean_ms = end_ms - now_ms + count * 60_000 if count else 0
        return -(-max(own_ms, min(held_ms, clean_ms)) // 1000)

    def failed(self, member, address, now_ms):
        least = 10 if self.held_ms(address, now_ms) else 1
        self._count(address, 1000, 200, 207, 600_000, 1, now_ms)
        self._count(member, 60_000, 10, 20, 3_600_000, least, now_ms)

    def _count(self, key, forgotten_ms, free, most, longest_ms, least, now_ms):
        before, end_ms = self.standing(key, forgotten_ms, now_ms)
        count = min(most, max(before + 1, least))
        if count > free:
            end_ms = now_ms + min(longest_ms, 10_000 * 2 ** (count - free - 1))
        elif not before:
            end_ms = now_ms
        if key:
            self.kept[key] = count, end_ms

    def succeeded(self, member, address):
        for key in (member, address):
            count, end_ms = self.kept.get(key, (0, 0))
            self.kept[key] = max(0, count - 1), end_ms


who = st.sampled_from(["", "a", "b", "c"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("failed"), who, who, st.integers(1, 12)),
        st.tuples(st.just("failed"), st.just(""), who, st.sampled_from([100, 195, 201, 208])),
        st.tuples(st.just("succeeded"), who, who, st.sampled_from([1, 2, 8])),
        st.tuples(st.just("later"), st.just(""), st.just(""), st.integers(1, 90_000)),
        st.tuples(st.just("later"), st.just(""), st.just(""), st.integers(1, 5_000_000)),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(steps)
@example(
    [("failed", "", "a", 208), ("failed", "a", "a", 1), ("succeeded", "b", "a", 8), ("failed", "a", "a", 3)]
)
def test_waits_are_those_of_the_model(steps):
    throttle, model, now_ms = fresh(), Model(), int(NOW * 1000)
    for step, member, address, n in steps:
        members, addresses = throttle.member_key(member) if member else 0, throttle.address_key(address)
        if step == "later":
            now_ms += n
        for _ in range(n if step != "later" else 0):
            if step == "failed":
                throttle.failed(members, addresses, now_ms / 1000)
                model.failed(member and "m" + member, address, now_ms)
            else:
                throttle.succeeded(members, addresses)
                model.succeeded(member and "m" + member, address)
        for m in ("", "a", "b", "c"):
            for a in ("", "a", "b", "c"):
                m_key = throttle.member_key(m) if m else 0
                waits_s = throttle.wait_s(m_key, throttle.address_key(a), now_ms / 1000)
                assert waits_s == model.wait_s(m and "m" + m, a, now_ms)
        if throttle.is_quiet:
            assert not any(model.standing("m" + m, 60_000, now_ms)[0] for m in "abc")
            assert not any(model.standing(a, 1000, now_ms)[0] for a in "abc")


# Crowds and robots behind one address.


class WithoutForgiveness(Throttle):
    def succeeded(self, member_key, address_key):
        pass


class ShutsOutTheHonest(Throttle):
    def wait_s(self, member_key, address_key, now_s):
        return max(super().wait_s(member_key, address_key, now_s), super().wait_s(0, address_key, now_s))


def crowd(throttle, forgeries_per_s=0):
    """Two minutes of 10,000 people who scan twice, one time in twenty in vain, and come back when told to.

    Returns how often somebody had to wait: who had failed, who had not, and who forges.
    """
    chance = random.Random(7)
    nat = throttle.address_key("203.0.113.7")
    scans = [(chance.uniform(0, 120), throttle.member_key(f"member-{n % 10_000}")) for n in range(20_000)]
    scans += [(n / forgeries_per_s, 0) for n in range(120 * forgeries_per_s)]
    heapq.heapify(scans)
    failed, waited = set(), {"some": 0, "none": 0, "forgers": 0}
    while scans:
        at_s, member = heapq.heappop(scans)
        if wait_s := throttle.wait_s(member, nat, NOW + at_s):
            waited["forgers" if not member else "some" if member in failed else "none"] += 1
            if member:
                heapq.heappush(scans, (at_s + wait_s, member))
        elif not member or chance.random() < 0.05:
            throttle.failed(member, nat, NOW + at_s)
            failed.add(member)
        else:
            throttle.succeeded(member, nat)
    return waited


def test_nobody_of_an_honest_crowd_behind_one_address_waits():
    assert crowd(fresh()) == {"some": 0, "none": 0, "forgers": 0}


def test_without_forgiveness_an_honest_crowd_is_hit():
    assert crowd(fresh(WithoutForgiveness))["some"] > 100


def test_with_forgers_among_them_nobody_waits_who_has_not_failed():
    waited = crowd(fresh(), forgeries_per_s=250)
    assert waited["none"] == 0
    assert waited["forgers"] > 5000


def test_an_address_that_shuts_everybody_out_hits_who_has_not_failed():
    assert crowd(fresh(ShutsOutTheHonest), forgeries_per_s=250)["none"] > 1000


class ByMemberAlone(Throttle):
    def wait_s(self, member_key, address_key, now_s):
        return super().wait_s(member_key, 0, now_s)

    def failed(self, member_key, address_key, now_s):
        super().failed(member_key, 0, now_s)


def stolen(throttle, accounts, patience_s):
    """Failures judged in an hour, of accounts behind one address: each tries again when it may, but not
    sooner than `patience_s` after it failed."""
    nat = throttle.address_key("203.0.113.7")
    tries = [(0.0, n, throttle.member_key(f"stolen-{n}")) for n in range(accounts)]
    judged = 0
    while tries[0][0] < HOUR:
        at_s, n, member = tries[0]
        wait_s = throttle.wait_s(member, nat, NOW + at_s)
        if not wait_s:
            throttle.failed(member, nat, NOW + at_s)
            judged += 1
        heapq.heapreplace(tries, (at_s + (wait_s or patience_s), n, member))
    return judged


@pytest.mark.parametrize("patience_s", [0.0, 0.5, 60.0, 300.0, 600.0])
def test_a_thousand_stolen_accounts_behind_one_address_are_bounded(patience_s):
    # While the address does not wait: the 200, one a second, and those that lead to its longest wait; while
    # it does: one failure of each account in ten minutes.
    assert stolen(fresh(), 1000, patience_s) <= 200 + 7 + 3600 + 7 * 1000


def test_without_the_address_they_are_not():
    assert stolen(fresh(ByMemberAlone), 1000, 60.0) > 4 * (200 + 7 + 3600 + 7 * 1000)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1800), min_size=1, max_size=20))
def test_one_account_has_at_most_eighty_failures_judged_in_an_hour(pauses):
    throttle, now_s, judged = fresh(), 0.0, 0
    member = throttle.member_key("stolen")
    while now_s < HOUR:
        wait_s = throttle.wait_s(member, 0, NOW + now_s)
        if not wait_s:
            throttle.failed(member, 0, NOW + now_s)
            judged += 1
        now_s += wait_s or pauses[judged % len(pauses)]
    assert judged <= 10 + 10 + 60


# The memory: bounded, shared, and never in doubt.


def test_a_million_addresses_take_no_more_memory_and_evict_nobody_who_waits(throttle):
    chance = random.Random(11)
    waiting = [throttle.address_key(f"waits-{n}") for n in range(500)]
    many = [throttle.address_key(f"many-{n}") for n in range(500)]
    for key in waiting:
        fail(throttle, 0, key, 207)
    for key in many:
        fail(throttle, 0, key, 150)
    process = psutil.Process()
    before = process.memory_info().rss
    for n in range(50_000):
        throttle.failed(0, throttle.address_key(f"flood-{n}"), NOW)
    for _ in range(950_000):
        throttle.failed(0, chance.getrandbits(63) or 1, NOW)
    assert process.memory_info().rss - before < 16 << 20
    assert throttle.address_key.cache_info().currsize <= 8192
    assert {throttle.wait_s(0, key, NOW) for key in waiting} == {600}
    for key in many:
        fail(throttle, 0, key, 51)
        assert throttle.wait_s(0, key, NOW) == 10


def in_one_set(n):
    """Keys that share a set of four slots."""
    return [(k << 30) | (k << 52) | 77 for k in range(1, n + 1)]


def test_a_full_set_gives_up_the_lowest_count(throttle):
    *four, fifth, sixth = in_one_set(6)
    for key, times in zip(four, (9, 8, 3, 10), strict=True):
        fail(throttle, key, 0, times)
    throttle.failed(fifth, 0, NOW)  # in place of the third
    throttle.failed(sixth, 0, NOW)  # in place of the fifth
    for key, kept in zip(four, (9, 8, 0, 10), strict=True):
        fail(throttle, key, 0, 11 - kept)
        assert throttle.wait_s(key, 0, NOW) == 10


def test_a_full_set_of_those_who_wait_gives_up_nobody_until_a_wait_is_over(throttle):
    *four, fifth = in_one_set(5)
    for key, times in zip(four, (12, 13, 11, 14), strict=True):
        fail(throttle, key, 0, times)
    fail(throttle, fifth, 0, 30)
    assert [throttle.wait_s(key, 0, NOW) for key in (*four, fifth)] == [20, 40, 10, 80, 0]
    fail(throttle, fifth, 0, 11, NOW + 10)
    assert [throttle.wait_s(key, 0, NOW + 10) for key in (*four, fifth)] == [10, 30, 0, 70, 10]


def test_what_is_forgotten_makes_room_first(throttle):
    *four, fifth = in_one_set(5)
    for key in four[:3]:
        fail(throttle, key, 0, 2, NOW + 3 * MINUTE)
    fail(throttle, four[3], 0, 3)
    throttle.failed(fifth, 0, NOW + 3 * MINUTE)
    for key in four[:3]:
        fail(throttle, key, 0, 9, NOW + 3 * MINUTE)
        assert throttle.wait_s(key, 0, NOW + 3 * MINUTE) == 10


@settings(max_examples=50, deadline=None)
@given(st.integers(0), st.floats(-1e9, 4e9), st.integers(0, 1 << 64))
def test_whatever_the_memory_holds_no_wait_is_too_long(seed, now_s, header):
    shared = bytearray(random.Random(seed).randbytes(THROTTLE_BYTES))
    shared[:8] = (header % (1 << 64)).to_bytes(8, sys.byteorder)
    throttle = Throttle(shared, SECRET)
    tags = [abs(tag) for tag in memoryview(shared)[64:4096].cast("q")]
    for member, address in zip(tags, reversed(tags), strict=True):
        assert 0 <= throttle.wait_s(member, address, now_s) <= HOUR
        throttle.failed(member, address, now_s)
        assert 0 <= throttle.wait_s(member, address, now_s) <= HOUR
        throttle.succeeded(member, address)


@pytest.mark.parametrize("back_s", [0.5, 30, HOUR, 2 * HOUR, 24 * HOUR, 20 * 365 * 24 * HOUR])
def test_a_clock_that_steps_back_locks_nobody_out_for_longer_than_the_longest_wait(
    throttle, alice, nat, back_s
):
    fail(throttle, alice, nat, 30)
    fail(throttle, 0, nat, 300)
    now_s = NOW - back_s
    for member, address, longest_s in ((alice, 0, HOUR), (0, nat, 600)):
        wait_s = throttle.wait_s(member, address, now_s)
        assert wait_s <= longest_s
        assert throttle.wait_s(member, address, now_s + wait_s) == 0
    fail(throttle, throttle.member_key("bob"), 0, 11, now_s)
    assert throttle.wait_s(throttle.member_key("bob"), 0, now_s) == 10


def test_a_clock_that_steps_back_a_little_lets_nobody_go(throttle, alice):
    fail(throttle, alice, 0, 12)
    assert throttle.wait_s(alice, 0, NOW - 5) == 25
    assert not throttle.is_quiet


def test_a_clock_that_steps_back_keeps_nobody_busy_until_the_old_time_comes_again(throttle, alice):
    fail(throttle, alice, 0, 12)
    now_s = NOW - 24 * HOUR
    throttle.wait_s(alice, 0, now_s)
    throttle.wait_s(alice, 0, now_s + HOUR + 30 * MINUTE)
    assert throttle.is_quiet


def test_a_clock_that_stepped_ahead_and_back_leaves_counts_that_are_void(throttle, alice):
    fail(throttle, alice, 0, 20, NOW + 24 * HOUR)
    assert throttle.wait_s(alice, 0, NOW) == 0
    fail(throttle, alice, 0, 10)
    assert throttle.wait_s(alice, 0, NOW) == 0


def test_the_keys_need_the_secret(throttle):
    other = Throttle(bytearray(THROTTLE_BYTES), bytes(32))
    names = [f"name-{n}" for n in range(1000)]
    keys = {kind(name) for kind in (throttle.member_key, throttle.address_key) for name in names}
    assert len(keys) == 2000
    assert all(0 < key < 1 << 63 for key in keys)
    assert not keys & {kind(name) for kind in (other.member_key, other.address_key) for name in names}
    assert keys == {kind(name) for kind in (fresh().member_key, fresh().address_key) for name in names}


@pytest.mark.parametrize(("size", "secret"), [(THROTTLE_BYTES - 1, SECRET), (THROTTLE_BYTES, b"short")])
def test_too_little_memory_or_secret_is_refused(size, secret):
    with pytest.raises(ValueError, match="bytes"):
        Throttle(bytearray(size), secret)


# Processes that share it.


class Interrupted:
    """The cells of a table, where another process runs just before the n-th access."""

    def __init__(self, cells, before, other):
        self.cells, self.left, self.other = cells, before, other

    def touch(self):
        self.left -= 1
        if self.left == -1:
            self.other()
        return self.cells

    def __getitem__(self, at):
        return self.touch()[at]

    def __setitem__(self, at, value):
        self.touch()[at] = value


class Tags:
    @staticmethod
    def unpack_from(cells, offset):
        return Struct("4q").unpack_from(cells.touch() if isinstance(cells, Interrupted) else cells, offset)


def charged_to_the_wrong_one(monkeypatch, is_kept, before):
    """Whether somebody has more than their failures, once two processes want one slot at the same time."""
    monkeypatch.setattr(module, "_TAGS", Tags)
    throttle = fresh()
    *waiting, old, mine, theirs = in_one_set(6)
    for key in waiting:
        fail(throttle, key, 0, 20)
    fail(throttle, mine if is_kept else old, 0, 14)
    now_s, now_ms = NOW + 80, int(NOW + 80) * 1000  # the fourth slot's wait is over
    table, cells = throttle._members, throttle._members._cells
    table._cells = Interrupted(cells, before, lambda: fresh_view(throttle).failed(theirs, 0, now_s))
    throttle.failed(mine, 0, now_s)
    assert table._cells.left < 0  # the other one did come between
    table._cells = cells
    assert [throttle.wait_s(key, 0, now_s) for key in waiting] == [3520] * 3
    return table.standing(mine, now_ms)[0] > (15 if is_kept else 1) or table.standing(theirs, now_ms)[0] > 1


def fresh_view(throttle):
    return Throttle(throttle._cells.obj, SECRET)


# Whether the key has the slot or wants it, and before which of its accesses to the memory the other one runs.
MOMENTS = [*((True, before) for before in range(3)), *((False, before) for before in range(11))]


@pytest.mark.parametrize(("is_kept", "before"), MOMENTS)
def test_processes_that_race_for_a_slot_charge_nobody_else(monkeypatch, is_kept, before):
    assert not charged_to_the_wrong_one(monkeypatch, is_kept, before)


def test_without_the_check_they_do(monkeypatch):
    monkeypatch.setattr(module, "_CHECK_SHIFT", 63)
    assert any(charged_to_the_wrong_one(monkeypatch, *moment) for moment in MOMENTS)


CHILD = """
import mmap, sys
from scanner.service.throttle import Throttle
throttle = Throttle(mmap.mmap(int(sys.argv[1]), 0), bytes(range(32)))
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Other:
    """A process with the same memory, which evaluates a line at a time."""

    def __init__(self, descriptor):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(descriptor)],
            pass_fds=(descriptor,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().strip()

    def ask(self, line):
        self.send(line)
        return self.answer()


@pytest.fixture
def others():
    with tempfile.TemporaryFile() as file:
        file.truncate(THROTTLE_BYTES)
        others = [Other(file.fileno()) for _ in range(2)]
        try:
            yield others, Throttle(mmap.mmap(file.fileno(), 0), SECRET)
        finally:
            for other in others:
                other.process.communicate(timeout=30)


def test_processes_see_each_others_failures(others):
    (one, two), throttle = others
    alice = throttle.member_key("alice")
    assert one.ask("throttle.is_quiet") == two.ask("throttle.is_quiet") == "True"
    assert one.ask(f"[throttle.failed(throttle.member_key('alice'), 0, {NOW}) for _ in range(6)]")
    assert two.ask("throttle.is_quiet") == "False"
    assert two.ask(f"[throttle.failed(throttle.member_key('alice'), 0, {NOW}) for _ in range(6)]")
    assert (
        one.ask(f"throttle.wait_s({alice}, 0, {NOW})")
        == two.ask(f"throttle.wait_s({alice}, 0, {NOW})")
        == "20"
    )
    assert throttle.wait_s(alice, 0, NOW) == 20
    throttle.succeeded(alice, 0)
    assert two.ask(f"throttle.failed({alice}, 0, {NOW})") == "None"
    assert throttle.wait_s(alice, 0, NOW) == 20


def test_processes_that_hammer_one_set_charge_nobody_more_than_their_failures(others):
    both, throttle = others
    keys = in_one_set(12)
    for other in both:
        other.send(f"[throttle.failed(k, 0, {NOW}) for _ in range(2500) for k in {keys[:8]}][:0]")
    for other in both:
        assert other.answer() == "[]"
    standing = [throttle._members.standing(key, int(NOW * 1000))[0] for key in keys]
    assert sum(count > 0 for count in standing[:8]) <= 4  # slots
    assert max(standing) <= 20
    assert standing[8:] == [0] * 4
