"""A person with a phone: asks, looks at the answer, and asks again where that is the right thing to do."""

from collections.abc import Callable
from typing import NamedTuple

import gevent
import orjson
from locust import FastHttpUser, between
from locust.exception import CatchResponseError, RescheduleTask, StopUser

from loadtests.answers import FIRST, TRY_AGAIN, Told, told
from loadtests.people.stock import OutOfCodesError, Stock

TRIES_MAX = 6
TRY_AGAIN_AFTER_S = 0.25
TIMEOUT_S = 10.0

Check = Callable[[bytes], str]
"""Says what is wrong with an answer's body, or nothing."""


class Reply(NamedTuple):
    """An answer that may be: its outcome by the contract, and its body."""

    outcome: str
    body: bytes


class Person(FastHttpUser):
    """One member. What each of them shares is in ``stock``, set before the first one comes."""

    abstract = True
    stock: Stock
    wait_time = between(0.5, 2.0)
    network_timeout = connection_timeout = TIMEOUT_S

    def on_start(self) -> None:
        self.token = self.stock.token()

    def new_code(self) -> str:
        """A code off a bucket. Whoever finds none goes home."""
        try:
            return self.stock.code()
        except OutOfCodesError:
            raise StopUser from None

    def scan(
        self,
        name: str,
        code: str,
        expected: tuple[str, ...],
        *,
        token: str = "",
        check: Check | None = None,
    ) -> Reply | None:
        """Scans once. None where no answer came or it was refused for now; a wrong one ends the task."""
        with self.client.post(
            "/v1/scans",
            data=orjson.dumps({"code": code, "channel": "load"}).decode(),
            headers=self.headers(token or self.token),
            name=name,
            catch_response=True,
        ) as response:
            status, body = response.status_code, bytes(response.content or b"")
            outcome, scan_id = told(status, body) if status else Told("no answer")
            if not status or outcome in TRY_AGAIN:
                self.stock.errors += 1
                response.failure(f"{outcome} {response.error or ''}".strip())
                return None
            wrong = f"expected {' or '.join(expected)}" if outcome not in expected else ""
            wrong = wrong or (check(body) if check else "")
            if wrong:
                self.stock.is_wrong(f"{name}: {wrong}, got {status} {body[:300].decode(errors='replace')}")
                response.failure(wrong)
                raise RescheduleTask
            response.success()
        if outcome in FIRST:
            self.stock.acknowledge(scan_id)
        return Reply(outcome, body)

    def scan_until_answered(
        self,
        name: str,
        code: str,
        expected: tuple[str, ...],
        *,
        token: str = "",
        check: Check | None = None,
    ) -> Reply:
        """Scans again where it was refused for now, after growing waits. Else the task is over."""
        for no in range(TRIES_MAX):
            reply = self.scan(name, code, expected, token=token, check=check)
            if reply is not None:
                return reply
            gevent.sleep(TRY_AGAIN_AFTER_S * 2**no)
        raise RescheduleTask

    def headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def did(self, what: str) -> None:
        """Counts what was done to its end."""
        self.stock.did[what] += 1

    def found_wrong(self, what: str, wrong: str) -> None:
        """Something that no single answer shows: it stands in Locust's report beside the requests."""
        self.stock.is_wrong(f"{what}: {wrong}")
        self.environment.events.request.fire(
            request_type="CHECK", name=what, response_time=0, response_length=0, response=None, context={},
            exception=CatchResponseError(wrong),
        )  # fmt: skip
