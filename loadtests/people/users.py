"""Who is there while a television spot runs, and what each of them expects of the service."""

import random
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import gevent
import orjson
from locust import between, task
from locust.exception import RescheduleTask

from loadtests.answers import FIRST, fault_of_rivals, is_same
from loadtests.people.person import Person, Reply

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_CHARS = 24
EITHER = (*FIRST, "claimed")
PATIENCE_MAX_S = 0.05
CONNECT_TIMEOUT_S = 2.0

dice = random.Random(2027)  # a crowd that repeats, not a secret


class SameAs:
    """A check: the answer is the first one, byte for byte, but for ``replayed``."""

    def __init__(self, first: bytes) -> None:
        self._first = first

    def __call__(self, body: bytes) -> str:
        return "" if is_same(self._first, body) else f"not the same as {self._first.decode(errors='replace')}"


class Viewer(Person):
    """One of the crowd after the spot: bucket after bucket, with hardly a pause."""

    weight = 10
    wait_time = between(0.2, 1.0)

    @task
    def scan_at_once(self) -> None:
        self.scan_until_answered("scan (crowd)", self.new_code(), FIRST)
        self.did("crowd")


class Honest(Person):
    """A painter who thinks between scans, and sometimes looks again what was won."""

    weight = 5

    @task
    def scan_and_look_again(self) -> None:
        code = self.new_code()
        first = self.scan_until_answered("scan", code, FIRST)
        if dice.random() < 0.3:
            gevent.sleep(dice.uniform(0.2, 1.0))
            self.scan_until_answered("scan again", code, ("replayed",), check=SameAs(first.body))
        self.did("honest")


class Impatient(Person):
    """A phone that hangs up before the answer and tries again: it must get the one true answer."""

    weight = 2

    @task
    def hang_up_and_try_again(self) -> None:
        code = self.new_code()
        self._send_and_hang_up(code)
        first = self.scan_until_answered("scan (after giving up)", code, FIRST)
        self.scan_until_answered("scan again", code, ("replayed",), check=SameAs(first.body))
        self.did("gave up")

    def _send_and_hang_up(self, code: str) -> None:
        body = orjson.dumps({"code": code, "channel": "load"})
        lines = [f"{name}: {value}" for name, value in self.headers(self.token).items()]
        head = "\r\n".join(
            ["POST /v1/scans HTTP/1.1", "Host: load.test", *lines, f"Content-Length: {len(body)}", "", ""]
        )
        where = urlsplit(self.host or "")
        try:
            with socket.create_connection((where.hostname, where.port), timeout=CONNECT_TIMEOUT_S) as line:
                line.sendall(head.encode() + body)
                gevent.sleep(dice.uniform(0, PATIENCE_MAX_S))
        except OSError:
            self.stock.errors += 1


class Rivals(Person):
    """Two members who scan one code at the same moment: one wins, the other is told when."""

    weight = 1

    @task
    def scan_one_code_at_once(self) -> None:
        code, tokens = self.new_code(), (self.token, self.stock.another_token(self.token))
        both = [gevent.spawn(self._try, code, token) for token in tokens]
        gevent.joinall(both)
        replies = [
            one.value or self.scan_until_answered("scan (two members)", code, EITHER, token=token)
            for one, token in zip(both, tokens, strict=True)
        ]
        wrong = fault_of_rivals([(reply.outcome, reply.body) for reply in replies])
        if wrong:
            self.found_wrong("two members, one code", wrong)
        self.did("two members")

    def _try(self, code: str, token: str) -> Reply | None:
        with suppress(RescheduleTask):  # a wrong answer; whoever waits for both asks once more
            return self.scan("scan (two members)", code, EITHER, token=token)
        return None


class Forger(Person):
    """Makes codes up, and changes real ones."""

    weight = 2
    wait_time = between(0.2, 1.0)

    @task
    def try_a_forgery(self) -> None:
        code = "".join(dice.choices(ALPHABET, k=CODE_CHARS))
        self.scan_until_answered("scan (forged)", code, ("unknown_code",))
        self.did("forged")
