"""Scans travel in batches. The store is not in these tests: ``Link`` is what the batcher sends by, and every
batch that it takes stays away until the test lets it land."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import StoreLostError
from scanner.ledger.claims import Answer, Verdict
from scanner.ledger.frames import WrongPin
from scanner.service.batcher import OverloadedError
from scanner.service.metrics import ROW_BYTES, Cells
from tests.brand import batcher_for
from tests.running import PATIENCE_S


def claim(n):
    return WrongPin(1, n, "alice")  # one of the kinds is as good as another


def answer_to(sent):
    return Answer(Verdict.CLAIMED, at_ms=sent.serial)


def reply_to(sent):
    return b"C" + sent.serial.to_bytes(6, "big")


class Link:
    """A ``Send``: serials of the batches in the order they left, and a way to end each."""

    def __init__(self):
        self.batches = []
        self._ends = []

    async def __call__(self, batch):
        self.batches.append([sent.serial for sent in batch])
        end = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        outcome = await end
        if isinstance(outcome, Exception):
            raise outcome
        return [reply_to(sent) for sent in batch][:outcome]

    @property
    def away(self):
        return [n for n, end in enumerate(self._ends) if not end.done()]

    def land(self, n, outcome=None):
        """Ends batch ``n``: with an exception, or with its answers, at most ``outcome`` of them."""
        self._ends[n].set_result(outcome)


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def batcher(link, cells):
    return batcher_for(link, cells, batch_max=4, away_max=2, waiting_max=6)


async def settle():
    """Lets the loop turn until what is due has been done."""
    for _ in range(10):
        await asyncio.sleep(0)


async def submitted(batcher, numbers):
    """Submits in one turn, and lets what may leave do so."""
    futures = [batcher.submit(claim(n)) for n in numbers]
    await settle()
    return futures


async def test_what_arrives_in_one_turn_travels_together(batcher, link):
    for n in range(3):
        batcher.submit(claim(n))
    assert link.batches == []  # nothing leaves on arrival
    await settle()
    assert link.batches == [[0, 1, 2]]


async def test_a_lone_claim_waits_for_nobody(batcher, link):
    await submitted(batcher, [0])
    await submitted(batcher, [1])
    assert link.batches == [[0], [1]]


async def test_while_batches_are_away_the_next_one_fills(batcher, link):
    await submitted(batcher, [0])
    await submitted(batcher, [1])
    for n in (2, 3, 4):
        await submitted(batcher, [n])
    assert link.batches == [[0], [1]]  # two are away, and no more may be
    link.land(1)
    await settle()
    assert link.batches == [[0], [1], [2, 3, 4]]


async def test_a_batch_has_a_most(batcher, link):
    await submitted(batcher, [0])
    await submitted(batcher, [1])
    await submitted(batcher, range(2, 8))
    link.land(0)
    await settle()
    assert link.batches[2:] == [[2, 3, 4, 5]]
    link.land(1)
    await settle()
    assert link.batches[3:] == [[6, 7]]


async def test_two_full_batches_may_leave_at_once(batcher, link):
    await submitted(batcher, range(6))
    assert link.batches == [[0, 1, 2, 3], [4, 5]]


async def test_past_the_bound_a_claim_is_refused_at_once(batcher, link):
    await submitted(batcher, [0])
    await submitted(batcher, [1])
    futures = await submitted(batcher, range(2, 8))
    with pytest.raises(OverloadedError):
        batcher.submit(claim(8))
    link.land(0)
    await settle()
    futures += await submitted(batcher, [8])  # there is room again
    link.land(1)
    await settle()
    link.land(2)
    link.land(3)
    assert [answer.at_ms for answer in await asyncio.gather(*futures)] == [2, 3, 4, 5, 6, 7, 8]


async def test_whoever_hangs_up_does_not_cancel_the_batch(batcher, link):
    async def phone(n):
        return await batcher.submit(claim(n))

    phones = [asyncio.create_task(phone(n)) for n in range(3)]
    await settle()
    phones[1].cancel()
    await settle()
    assert link.away == [0]
    link.land(0)
    replies = await asyncio.gather(*phones, return_exceptions=True)
    assert [replies[0].at_ms, replies[2].at_ms] == [0, 2]
    assert isinstance(replies[1], asyncio.CancelledError)


async def test_whoever_hangs_up_while_waiting_holds_up_nobody(batcher, link):
    await submitted(batcher, [0])
    await submitted(batcher, [1])
    waiting = await submitted(batcher, [2, 3])
    waiting[0].cancel()
    link.land(0)
    await settle()
    link.land(2)
    assert (await waiting[1]).at_ms == 3


async def test_a_store_that_does_not_answer_fails_the_batch_and_all_that_wait(batcher, link):
    first, second = await submitted(batcher, [0]), await submitted(batcher, [1])
    waiting = await submitted(batcher, [2, 3])
    link.land(0, StoreLostError("no answer"))
    for future in [*first, *waiting]:
        with pytest.raises(StoreLostError, match="no answer"):
            await future
    assert not second[0].done()  # it is away: its own answer may come yet
    link.land(1)
    assert (await second[0]).at_ms == 1
    assert link.batches == [[0], [1]]


async def test_after_a_failure_the_next_claims_try_again(batcher, link):
    failed = await submitted(batcher, [0])
    link.land(0, StoreLostError("no answer"))
    with pytest.raises(StoreLostError):
        await failed[0]
    (again,) = await submitted(batcher, [0])
    link.land(1)
    assert (await again).at_ms == 0


async def test_a_fault_of_ours_reaches_those_of_the_batch_only(batcher, link):
    first, second = await submitted(batcher, [0]), await submitted(batcher, [1])
    waiting = await submitted(batcher, [2])
    link.land(0, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        await first[0]
    await settle()
    assert link.batches[-1] == [2]
    link.land(1)
    link.land(2)
    assert [(await future).at_ms for future in (*second, *waiting)] == [1, 2]


@pytest.mark.parametrize("answers", [0, 1])
async def test_too_few_answers_leave_nobody_waiting(batcher, link, answers):
    futures = await submitted(batcher, [0, 1])
    link.land(0, answers)
    await batcher.drain()
    assert [future.done() for future in futures] == [True, True]


async def test_who_is_gone_need_not_look_at_the_failure(batcher, link):
    # An exception that nobody fetched would be logged, and a log line each is no way through an outage.
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    futures = await submitted(batcher, range(3))
    link.land(0, StoreLostError("no answer"))
    await settle()
    assert all(future.done() for future in futures)
    del futures
    await settle()
    assert reported == []


async def test_drain_returns_when_all_have_their_answers(batcher, link):
    futures = await submitted(batcher, range(6))
    futures += await submitted(batcher, [6, 7])
    drained = asyncio.create_task(batcher.drain())
    for n in range(3):
        await settle()
        assert not drained.done()
        link.land(n)
    await drained
    assert [future.result().at_ms for future in futures] == list(range(8))


async def test_what_travels_is_counted(batcher, link, cells):
    await submitted(batcher, range(3))
    await submitted(batcher, [3])
    assert [cells.get(name) for name in ("batches", "claims", "away")] == [2, 4, 2]
    link.land(0)
    link.land(1)
    await settle()
    assert [cells.get(name) for name in ("batches", "claims", "away", "waiting")] == [2, 4, 0, 0]


async def test_what_waits_is_counted_while_all_batches_are_away(batcher, link, cells):
    await submitted(batcher, [0])
    await submitted(batcher, [1])
    await submitted(batcher, [2, 3, 4])
    assert cells.get("waiting") == 3


STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 5)),
    st.tuples(st.sampled_from(["land", "fail", "break", "hang up"]), st.integers(0, 99)),
    st.tuples(st.just("turn"), st.just(0)),
)


@given(st.lists(STEPS, max_size=60), st.integers(1, 4), st.integers(1, 3), st.integers(1, 12), st.booleans())
async def test_in_any_order_each_claim_gets_exactly_its_own_answer(
    steps, batch_max, away_max, waiting_max, turn_after_each
):
    link = Link()
    batcher = batcher_for(
        link, Cells(bytearray(ROW_BYTES), 0), batch_max=batch_max, away_max=away_max, waiting_max=waiting_max
    )
    futures = []

    def submit(count):
        for _ in range(count):
            try:
                futures.append(batcher.submit(claim(len(futures))))
            except OverloadedError:
                assert len(batcher._waiting) == waiting_max

    for step, n in steps:
        away = link.away
        if step == "submit":
            submit(n)
        elif step == "hang up" and futures:
            futures[n % len(futures)].cancel()
        elif away and step in ("land", "fail", "break"):
            ends = {"land": None, "fail": StoreLostError("away"), "break": ZeroDivisionError()}
            link.land(away[n % len(away)], ends[step])
        if turn_after_each or step == "turn":
            await settle()
        assert len(link.away) <= away_max
    drained = asyncio.create_task(batcher.drain())
    await settle()
    while link.away:
        link.land(link.away[-1])
        await settle()
    await drained

    sent = [n for batch in link.batches for n in batch]
    assert sent == sorted(set(sent))  # each at most once, in the order they came
    assert all(1 <= len(batch) <= batch_max for batch in link.batches)
    for n, future in enumerate(futures):
        assert future.done()
        if not future.cancelled() and future.exception() is None:
            assert n in sent
            assert future.result() == answer_to(claim(n))
    if not {step for step, _ in steps} & {"fail", "break", "hang up"}:
        assert sent == list(range(len(futures)))
        assert all(future.exception() is None for future in futures)


async def test_a_reply_that_is_none_leaves_nobody_waiting(cells):
    async def send(batch):
        return [b"D", ValueError("an error among the replies"), b"D"]

    batcher = batcher_for(send, cells, batch_max=4, away_max=1, waiting_max=6)
    futures = [batcher.submit(claim(n)) for n in range(3)]
    for future in futures:
        with pytest.raises(RuntimeError, match="replies"):
            await asyncio.wait_for(future, PATIENCE_S)
    await batcher.drain()
