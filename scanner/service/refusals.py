"""Every way of saying no: what is refused before the store is asked, and what its verdicts mean."""

from collections.abc import Mapping
from math import ceil

from scanner.errors import ScannerError, StoreUnavailableError
from scanner.identity import UnauthorizedError
from scanner.ledger.claims import Answer as StoreAnswer
from scanner.ledger.claims import Verdict
from scanner.service.answers import timestamp
from scanner.service.batcher import OverloadedError
from scanner.service.problems import Answer, problem
from scanner.service.requests import MalformedError


class RefusedError(ScannerError):
    """A request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.outcome)
        self.answer = answer


# What an endpoint turns into an answer; everything else is a fault of ours.
REFUSED = (RefusedError, MalformedError, UnauthorizedError, OverloadedError, StoreUnavailableError)


def answer_to(error: Exception) -> Answer:
    """The answer to one of :data:`REFUSED`."""
    match error:
        case RefusedError():
            return error.answer
        case MalformedError():
            return problem("malformed", detail=str(error))
        case UnauthorizedError():
            return problem("unauthorized")
        case OverloadedError():
            return problem("overloaded")
    return problem("unavailable")


_OUTCOMES = {
    Verdict.BLOCKED: "blocked",
    Verdict.NOT_ACTIVE: "not_active",
    Verdict.OVER: "campaign_over",
    Verdict.MISMATCH: "request_reused",
    Verdict.NO_ENTRY: "no_entry",
    Verdict.OWN_SHARE: "own_share",
    Verdict.NOT_READY: "unavailable",
}


def refusal(
    answer: StoreAnswer,
    *,
    now_s: float,
    starts_ms: int = 0,
    outcomes: Mapping[Verdict, str] | None = None,
) -> Answer:
    """The refusal of a claim. `now_s` is this process's clock, for how long to wait; `starts_ms` is the
    campaign's; `outcomes` are those of verdicts that mean something of their own where it was asked."""
    verdict, at_ms = answer.verdict, answer.at_ms
    match verdict:
        case Verdict.CLAIMED:
            return problem("claimed", first_scanned_at=timestamp(at_ms))
        case Verdict.NOT_STARTED:
            return problem("not_active", starts_at=timestamp(starts_ms))
        case Verdict.PAUSED:
            return problem("not_active", detail="the campaign is paused")
        case Verdict.LIMIT_REACHED if at_ms:
            return problem("limit_reached", resets_at=timestamp(at_ms))
        case Verdict.LIMIT_REACHED:
            return problem("limit_reached")
        case Verdict.WAIT:
            return problem("throttled", headers=retry_after(at_ms, now_s))
        case Verdict.WRONG_PIN if at_ms:
            return problem("pin_wrong", headers=retry_after(at_ms, now_s))
        case Verdict.WRONG_PIN:
            return problem("pin_wrong")
    return problem((outcomes or _OUTCOMES).get(verdict) or _OUTCOMES[verdict])


def retry_after(until_ms: int, now_s: float) -> dict[str, str]:
    """The header that says when to come again, in whole seconds, at least one."""
    return {"Retry-After": str(max(1, ceil(until_ms / 1000 - now_s)))}
