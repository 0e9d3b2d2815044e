"""The dispatcher against its promises, with random loads in virtual time; and five bugs that must be found.

Each event is handled until it succeeds or is buried, one at a time and in order for each member, within the
bound of concurrency and the rate, and a member that waits holds nobody else up.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.queue.consuming.answers import RejectedError, TryLaterError
from scanner.queue.consuming.deliveries import Delivery, Source
from scanner.queue.consuming.dispatch import Dispatcher, wait_after
from scanner.queue.consuming.rate import BURST_S, Rate
from scanner.queue.events import Event
from tests.queue.virtual import run

SOURCE = Source("s", partition=0, is_again=False)
WAIT_S = (0.5, 4.0)


@dataclass(frozen=True)
class Plan:
    """What becomes of an event: when it comes, how long each try takes, and how often it fails, in what way.
    ``times`` is how often it was given out before."""

    member: str
    at_s: float = 0.0
    takes_s: float = 0.0
    fails: int = 0
    way: str = "error"
    times: int = 0


@dataclass
class Told:
    """What the dispatcher has told, and when."""

    loop: asyncio.AbstractEventLoop
    finished: dict[str, float] = field(default_factory=dict)
    buried: dict[str, float] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    starts: list[tuple[float, str]] = field(default_factory=list)
    ends: dict[str, list[tuple[float, bool]]] = field(default_factory=lambda: defaultdict(list))
    under_way: set[str] = field(default_factory=set)
    most: int = 0
    suspects_most: int = 0
    waiting: int = 0
    mistakes: list[str] = field(default_factory=list)

    def begin_at_once(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        slow = []
        for one in deliveries:
            if one.is_recorded:
                slow.append(one)
            else:
                one.begun, one.is_recorded = one.begun + 1, True
                self.begun[one.entry.decode()] += 1
        return slow

    async def begin(self, deliveries: Iterable[Delivery]) -> None:
        for one in deliveries:
            await asyncio.sleep(0.001)  # the store is told
            one.begun += 1
            self.begun[one.entry.decode()] += 1

    def is_held(self, one: Delivery) -> bool:
        return one.entry.decode() not in self.finished and one.entry.decode() not in self.buried

    def finish(self, done: Iterable[Delivery]) -> bool:
        for one in done:
            if one.entry.decode() in self.finished or one.entry.decode() in self.buried:
                self.mistakes.append(f"{one.entry.decode()} is finished twice")
            if one.entry.decode() in self.under_way or one.entry.decode() not in self.ends:
                self.mistakes.append(f"{one.entry.decode()} is finished before it is handled")
            self.finished[one.entry.decode()] = self.loop.time()
        return len(self.finished) % 7 == 0

    def waits(self, more: int) -> None:
        self.waiting += more
        if self.waiting < 0:
            self.mistakes.append(f"{self.waiting} wait")

    async def settle(self) -> None:
        await asyncio.sleep(0.001)

    async def bury(self, one: Delivery, reason: str) -> None:
        await asyncio.sleep(0.002)
        self.buried[one.entry.decode()] = self.loop.time()


def delivery(no: int, plan: Plan) -> Delivery:
    entry = f"{no + 1}-0"
    flat = [b"type", b"x.y", b"at", b"1", b"member", plan.member.encode()]
    return Delivery(SOURCE, entry.encode(), plan.times, entry.encode(), flat)


def dispatched(
    plans: list[Plan],
    *,
    concurrency: int = 4,
    rate: float | None = None,
    tries: int | None = 3,
    kind: type[Dispatcher] = Dispatcher,
    until_s: float = 10_000,
) -> Told:
    """What is told while the events of the plans come and are handled, to the end."""

    async def story() -> Told:
        loop = asyncio.get_running_loop()
        told, faults = Told(loop), []
        deliveries = {f"{no + 1}-0": delivery(no, plan) for no, plan in enumerate(plans)}
        by_entry = {f"{no + 1}-0": plan for no, plan in enumerate(plans)}
        tried: Counter[str] = Counter()

        async def handle(event: Event) -> None:
            entry, plan = event.entry, by_entry[event.entry]
            if any(by_entry[other].member == plan.member for other in told.under_way):
                told.mistakes.append(f"{entry}: another one of its member is under way")
            told.under_way.add(entry)
            told.most = max(told.most, len(told.under_way))
            suspects = sum(by_entry[one].times > 1 for one in told.under_way)
            told.suspects_most = max(told.suspects_most, suspects)
            told.starts.append((loop.time(), entry))
            tried[entry] += 1
            try:
                if plan.takes_s:
                    await asyncio.sleep(plan.takes_s)
                if tried[entry] <= plan.fails:
                    raise {
                        "error": ValueError("no"),
                        "later": TryLaterError(2.5),
                        "rejected": RejectedError("never"),
                        "cancelled": asyncio.CancelledError(),
                    }[plan.way]
            except BaseException:
                told.ends[entry].append((loop.time(), False))
                raise
            else:
                told.ends[entry].append((loop.time(), True))
            finally:
                told.under_way.discard(entry)

        dispatcher = kind(
            handle,
            told,
            faults.append,
            concurrency=concurrency,
            rate=Rate(rate),
            tries=tries,
            wait_s=WAIT_S,
        )
        for no in sorted(range(len(plans)), key=lambda no: (plans[no].at_s, no)):
            if (pause_s := plans[no].at_s - loop.time()) > 0:
                await asyncio.sleep(pause_s)
            dispatcher.put([deliveries[f"{no + 1}-0"]])
        for _ in range(int(until_s / 0.25)):
            if len(told.finished) + len(told.buried) == len(plans) or faults:
                break
            await asyncio.sleep(0.25)
        await dispatcher.stop(10)
        assert faults == []
        return told

    return run(story())


def judge(plans: list[Plan], told: Told, *, concurrency: int, tries: int | None) -> list[str]:
    """Every promise that was broken."""
    wrong = list(told.mistakes)
    order = sorted(range(len(plans)), key=lambda no: (plans[no].at_s, no))
    starts = defaultdict(list)
    for at, entry in told.starts:
        starts[entry].append(at)
    if told.most > concurrency:
        wrong.append(f"{told.most} at once, {concurrency} may")
    if told.suspects_most > 1 and tries is not None:
        wrong.append(f"{told.suspects_most} suspects at once")
    over: dict[str, float] = {}
    for no in order:
        entry, plan = f"{no + 1}-0", plans[no]
        gone = max(0, plan.times - 1)
        is_counted = plan.way in ("error", "cancelled")
        has_ended = tries is not None and gone >= tries
        dies = (
            has_ended
            or (plan.way == "rejected" and plan.fails > 0)
            or (tries is not None and is_counted and gone + plan.fails >= tries)
        )
        if dies != (entry in told.buried) or dies == (entry in told.finished):
            wrong.append(
                f"{entry} ({plan}): buried {entry in told.buried}, finished {entry in told.finished}"
            )
            continue
        if has_ended:
            expected = 0
        elif plan.way == "rejected" and plan.fails:
            expected = 1
        elif dies:
            assert tries is not None
            expected = tries - gone
        else:
            expected = plan.fails + 1
        if len(starts[entry]) != expected:
            wrong.append(f"{entry} ({plan}): {len(starts[entry])} tries, not {expected}")
        if starts[entry] and starts[entry][0] < over.get(plan.member, 0):
            wrong.append(f"{entry}: begun before what came before it of {plan.member} was over")
        for n, (end, begin) in enumerate(zip(told.ends[entry], starts[entry][1:], strict=False), 1):
            wait_s = 2.5 if plan.way == "later" else wait_after(gone + n, WAIT_S)
            if begin - end[0] < wait_s - 1e-9:
                wrong.append(f"{entry}: waited {begin - end[0]} s after try {n}, not {wait_s}")
        over[plan.member] = (told.finished | told.buried)[entry]
    if told.waiting and len(told.finished) + len(told.buried) == len(plans):
        wrong.append(f"{told.waiting} wait, and nothing is left")
    return wrong


plans = st.lists(
    st.builds(
        Plan,
        member=st.sampled_from("abcdef"),
        at_s=st.sampled_from([0.0, 0.0, 0.1, 1.0, 7.0]),
        takes_s=st.sampled_from([0.0, 0.0, 0.01, 0.3, 2.0]),
        fails=st.sampled_from([0, 0, 0, 1, 2, 3, 5]),
        way=st.sampled_from(["error", "error", "later", "rejected", "cancelled"]),
        times=st.sampled_from([0, 0, 0, 1, 2, 3, 9]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(plans, st.integers(1, 8), st.sampled_from([None, 1, 2, 3]))
def test_any_load_is_handled_as_promised(plans: list[Plan], concurrency: int, tries: int | None) -> None:
    told = dispatched(plans, concurrency=concurrency, tries=tries)
    assert judge(plans, told, concurrency=concurrency, tries=tries) == []


class TellsBefore(Dispatcher):
    """Planted: acknowledges what it has not handled yet."""

    async def _handle(self, one: Delivery) -> None:
        self._outcomes.finish((one,))
        await super()._handle(one)


class LosesOrder(Dispatcher):
    """Planted: what comes later of a member does not wait."""

    def put(self, deliveries: Iterable[Delivery]) -> None:
        for one in deliveries:
            one.lane = one.id
        super().put(deliveries)


class Forgets(Dispatcher):
    """Planted: what has failed is not tried again."""

    def _put_off(self, one: Delivery, wait_s: float) -> None:
        self._outcomes.finish((one,))
        self._done(one)


class Hurries(Dispatcher):
    """Planted: what has failed is tried again at once."""

    def _put_off(self, one: Delivery, wait_s: float) -> None:
        super()._put_off(one, 0)


class Miscounts(Dispatcher):
    """Planted: who comes behind one that waits is not counted, and goes on with those that were."""

    def put(self, deliveries: Iterable[Delivery]) -> None:
        self._off.clear()
        super().put(deliveries)


BUSY = [Plan("ab"[no % 2], takes_s=0.3, fails=no % 3) for no in range(12)]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (TellsBefore, "before it is handled"),
        (LosesOrder, "another one of its member"),
        (Forgets, "tries, not"),
        (Hurries, "waited 0.0"),
        (Dispatcher, ""),
    ],
)
def test_control_planted_bugs_are_found(kind: type[Dispatcher], said: str) -> None:
    told = dispatched(BUSY, concurrency=4, kind=kind, until_s=100)
    wrong = judge(BUSY, told, concurrency=4, tries=3)
    assert any(said in text for text in wrong) if said else wrong == []


def test_one_who_waits_holds_nobody_else_up() -> None:
    """With one worker only: a try that waits takes none."""
    plans = [
        Plan("poisoned", fails=9),
        *(Plan("poisoned") for _ in range(5)),
        *(Plan(f"m{n}") for n in range(50)),
    ]
    told = dispatched(plans, concurrency=1, tries=5)
    others = [told.finished[f"{no + 1}-0"] for no in range(6, 56)]
    assert max(others) < WAIT_S[0]
    assert told.buried.keys() == {"1-0"}
    assert told.buried["1-0"] >= 0.5 + 1 + 2 + 4
    assert all(told.finished[f"{no + 1}-0"] >= told.buried["1-0"] for no in range(1, 6))


WAITING = [Plan("a", fails=1, way="later"), *(Plan(member, at_s=1) for member in "aab")]


def test_who_waits_is_counted_and_who_waits_behind_them() -> None:
    assert dispatched(WAITING, until_s=0.5).waiting == 1 + 2
    told = dispatched(WAITING)
    assert (told.waiting, told.mistakes, len(told.finished)) == (0, [], 4)


def test_control_a_wrong_count_is_found() -> None:
    assert dispatched(WAITING, kind=Miscounts).mistakes == ["-2 wait"]


def test_a_gateway_that_is_away_for_an_hour_kills_nothing() -> None:
    told = dispatched([Plan("a", fails=1440, way="later")], tries=2)  # 2.5 s each
    assert told.finished["1-0"] == pytest.approx(3600, rel=0.01)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1.0, 7.0, 100.0]), st.integers(20, 300), st.floats(0, 0.2))
def test_the_rate_is_kept_in_any_second(per_s: float, n: int, takes_s: float) -> None:
    told = dispatched([Plan(f"m{no}", takes_s=takes_s) for no in range(n)], concurrency=64, rate=per_s)
    at = [start for start, _ in told.starts]
    assert len(at) == n
    burst = max(1.0, per_s * BURST_S)
    for first, start in enumerate(at):
        within = sum(start <= other < start + 1 for other in at[first:])
        assert within <= per_s + burst + 1e-6
    if takes_s < 64 / per_s / 2:
        assert at[-1] - at[0] == pytest.approx((n - burst) / per_s, rel=0.05, abs=1.5 / per_s)


def test_who_is_done_at_once_costs_no_task_and_lets_others_live() -> None:
    async def story() -> tuple[int, int]:
        made = ticks = 0
        loop = asyncio.get_running_loop()

        def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
            nonlocal made
            made += 1
            return asyncio.Task(work, loop=loop, **options)

        async def nothing(event: Event) -> None: ...

        async def tick() -> None:
            nonlocal ticks
            while len(told.finished) < 1000:
                ticks += 1
                await asyncio.sleep(0)

        told = Told(loop)
        told.finish = lambda done: told.finished.update({one.event.entry: 0 for one in done}) or False
        dispatcher = Dispatcher(
            nothing, told, lambda error: None, concurrency=64, rate=Rate(None), tries=3, wait_s=WAIT_S
        )
        ticking = asyncio.create_task(tick())
        loop.set_task_factory(factory)
        dispatcher.put([delivery(no, Plan(f"m{no}")) for no in range(1000)])
        await ticking
        await dispatcher.stop(1)
        return made, ticks

    made, ticks = run(story())
    assert made == 0
    assert ticks >= 5


@pytest.mark.parametrize("finish_s", [0.5, 60])
def test_at_the_end_what_was_begun_has_its_time_and_nothing_more_is_begun(finish_s: float) -> None:
    async def story() -> tuple[float, list[str], list[str], list[str]]:
        loop = asyncio.get_running_loop()
        told, begun, cancelled = Told(loop), [], []

        async def slow(event: Event) -> None:
            begun.append(event.entry)
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                cancelled.append(event.entry)
                raise
            told.ends[event.entry].append((loop.time(), True))

        dispatcher = Dispatcher(
            slow, told, lambda error: None, concurrency=2, rate=Rate(None), tries=3, wait_s=WAIT_S
        )
        dispatcher.put([delivery(no, Plan(f"m{no}")) for no in range(9)])
        await asyncio.sleep(5)
        asked = loop.time()
        await dispatcher.stop(finish_s)
        return loop.time() - asked, begun, list(told.finished), cancelled

    took, begun, finished, cancelled = run(story())
    assert begun == ["1-0", "2-0"]
    if finish_s == 60:
        assert (took, finished, cancelled) == (15, begun, [])
    else:
        assert (took, finished, cancelled) == (0.5, [], begun)


def test_at_the_end_nobody_waits_for_a_slow_rate() -> None:
    """What is handled has its time all the same."""

    async def story() -> tuple[float, int, list[Exception]]:
        loop, begun, faults = asyncio.get_running_loop(), 0, []

        async def slow(event: Event) -> None:
            nonlocal begun
            begun += 1
            await asyncio.sleep(15)

        dispatcher = Dispatcher(
            slow, Told(loop), faults.append, concurrency=4, rate=Rate(0.05), tries=3, wait_s=WAIT_S
        )
        dispatcher.put([delivery(no, Plan(f"m{no}")) for no in range(9)])
        await asyncio.sleep(10)
        asked = loop.time()
        await dispatcher.stop(60)
        return loop.time() - asked, begun, faults

    assert run(story()) == (5, 1, [])


def test_a_fault_of_ours_ends_the_run() -> None:
    async def story() -> list[Exception]:
        faults: list[Exception] = []
        told = Told(asyncio.get_running_loop())

        async def handle(event: Event) -> None: ...

        def broken(done: Iterable[Delivery]) -> bool:
            raise RuntimeError("a bug")

        told.finish = broken
        dispatcher = Dispatcher(
            handle, told, faults.append, concurrency=1, rate=Rate(None), tries=3, wait_s=WAIT_S
        )
        dispatcher.put([delivery(0, Plan("a"))])
        await asyncio.sleep(1)
        await dispatcher.stop(1)
        return faults

    [fault] = run(story())
    assert str(fault) == "a bug"


@given(st.integers(1, 10_000))
def test_waits_grow_and_are_bounded(tries: int) -> None:
    assert WAIT_S[0] <= wait_after(tries, WAIT_S) <= wait_after(tries + 1, WAIT_S) <= WAIT_S[1]
    assert wait_after(1, WAIT_S) == WAIT_S[0]
