"""Who may ask; and the way to the store and back, as often as it takes, and not oftener."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from scanner.errors import StoreUnavailableError
from scanner.identity import UnauthorizedError
from scanner.ledger.claims import Answer, Verdict
from scanner.service.desk import JUDGED_AGAIN_MAX, Desk, trace_of
from scanner.service.refusals import RefusedError, answer_to, refusal
from tests.brand import Brand

NOW_MS = 1_772_357_400_123


class Lane:
    """Answers each claim with the next of these verdicts; ``asked`` are the claims."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = iter(answers)
        self.asked: list[Any] = []

    def submit(self, claim: Any) -> asyncio.Future[Answer]:
        self.asked.append(claim)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.set_result(next(self._answers))
        return future


class Known:
    """A directory that counts how often it is refreshed."""

    def __init__(self, loaded: bool = True) -> None:
        self.loaded, self.looks = loaded, 0

    async def refresh(self) -> None:
        self.looks += 1
        self.loaded = True


def desk_with(brand: Brand, lane: Lane, known: Known) -> Desk:
    desk = brand.scanner().desks.desk
    return replace(desk, lane=lane, directory=known, clock=lambda: NOW_MS / 1000)


STALE, DONE = Answer(Verdict.STALE), Answer(Verdict.BLOCKED)


def other_time(at_ms: int) -> Answer:
    return Answer(Verdict.OTHER_TIME, at_ms)


@pytest.mark.parametrize(
    ("answers", "moments", "looks"),
    [
        ([DONE], [NOW_MS], 0),
        ([STALE, DONE], [NOW_MS, NOW_MS], 1),
        ([other_time(7), DONE], [NOW_MS, 7], 0),
        ([STALE, other_time(7), STALE, DONE], [NOW_MS, NOW_MS, 7, 7], 2),
    ],
)
async def test_a_claim_is_judged_anew(
    brand: Brand, answers: list[Answer], moments: list[int], looks: int
) -> None:
    lane, known = Lane(*answers), Known()
    assert await desk_with(brand, lane, known).settle(lambda at_ms: at_ms) == DONE
    assert (lane.asked, known.looks) == (moments, looks)


async def test_the_first_time_may_have_been_asked_before(brand: Brand) -> None:
    lane, known = Lane(DONE), Known()
    desk = desk_with(brand, lane, known)
    assert await desk.settle(lambda at_ms: at_ms, DONE) == DONE
    assert lane.asked == []
    assert await desk.settle(lambda at_ms: at_ms, other_time(7)) == DONE
    assert lane.asked == [7]


async def test_what_keeps_changing_is_given_up_on(brand: Brand) -> None:
    lane, known = Lane(*[STALE] * 99), Known()
    with pytest.raises(StoreUnavailableError):
        await desk_with(brand, lane, known).settle(lambda at_ms: at_ms)
    assert len(lane.asked) == JUDGED_AGAIN_MAX


async def test_what_is_not_known_is_looked_for_once(brand: Brand) -> None:
    lane, known = Lane(DONE), Known()
    desk = desk_with(brand, lane, known)
    with pytest.raises(RefusedError) as caught:
        await desk.settle(lambda _: None, unknown="unknown_pool")
    assert (caught.value.answer.outcome, known.looks, lane.asked) == ("unknown_pool", 1, [])
    assert await desk.settle(lambda at_ms: at_ms if known.looks == 2 else None) == DONE


async def test_nothing_is_asked_before_the_store_was_seen(brand: Brand) -> None:
    lane, known = Lane(DONE), Known(loaded=False)
    assert await desk_with(brand, lane, known).settle(lambda at_ms: at_ms) == DONE
    assert known.looks == 1


async def test_members_and_services_are_told_apart(brand: Brand) -> None:
    desk = brand.scanner().desks.desk
    member, service = (f"Bearer {token}" for token in (brand.token("alice"), brand.service_token()))
    assert desk.member(member).id == desk.sender(member).id == "alice"
    assert desk.service(service).id == desk.sender(service).id == "crm"
    for ask, token in ((desk.member, service), (desk.service, member)):
        with pytest.raises(RefusedError) as caught:
            ask(token)
        assert caught.value.answer.outcome == "forbidden"
    for ask in (desk.member, desk.service, desk.sender):
        for wrong in ("", "Bearer", "Bearer x", member[7:], member.replace("Bearer", "Basic")):
            with pytest.raises(UnauthorizedError):
                ask(wrong)


def test_a_trace_is_one_or_nothing() -> None:
    good = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    assert trace_of(good) == good
    for wrong in ("", good + " ", good.upper(), good[:-1], good + "-x", f"{good}\n", "0" * 4000):
        assert trace_of(wrong) == ""


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict.name not in (
    "ACCEPTED", "REPLAYED", "STALE", "OTHER_TIME", "DONE", "NOTHING_LEFT"
)])  # fmt: skip
@pytest.mark.parametrize("at_ms", [0, NOW_MS])
def test_every_verdict_has_an_answer(verdict: Verdict, at_ms: int) -> None:
    answer = refusal(Answer(verdict, at_ms), now_s=NOW_MS / 1000)
    assert 400 <= answer.status <= 503


@pytest.mark.parametrize(
    ("wait_ms", "seconds"), [(0, "1"), (200, "1"), (1000, "1"), (1001, "2"), (61_500, "62"), (-5000, "1")]
)
def test_how_long_to_wait_is_rounded_up(wait_ms: int, seconds: str) -> None:
    at_ms = NOW_MS + wait_ms
    for verdict in (Verdict.WAIT, Verdict.WRONG_PIN):
        answer = refusal(Answer(verdict, at_ms), now_s=NOW_MS / 1000)
        assert answer.headers["Retry-After"] == seconds


def test_what_the_store_could_not_answer_is_unavailable() -> None:
    assert answer_to(StoreUnavailableError("x")).outcome == "unavailable"
