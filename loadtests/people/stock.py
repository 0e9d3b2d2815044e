"""What the people of a Locust process share: codes to scan, tokens to be somebody, and what they saw."""

from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import IO

from loadtests.lines import read_lines
from loadtests.people.plan import Plan

WRONG_SHOWN = 5


class OutOfCodesError(Exception):
    """Every code of the file was scanned."""


class Stock:
    """Each code is handed out once; the members take turns."""

    def __init__(self, plan: Plan) -> None:
        self._codes = Path(plan.codes).open(encoding="utf-8")  # noqa: SIM115 (open until the process ends)
        self._tokens = read_lines(Path(plan.tokens), "tokens")
        self._members = cycle(range(len(self._tokens)))
        self._acknowledged: IO[str] = Path(plan.acknowledged).open("w", encoding="ascii")  # noqa: SIM115
        self.errors = self.wrong_count = self.codes_sent = 0
        self.wrong: list[str] = []
        self.did: Counter[str] = Counter()
        self.ran_out = False

    def code(self) -> str:
        """A code that nobody has scanned. Raises OutOfCodesError where none is left."""
        for line in self._codes:
            if line.strip():
                self.codes_sent += 1
                return line.strip()
        self.ran_out = True
        raise OutOfCodesError

    def token(self) -> str:
        return self._tokens[next(self._members)]

    def another_token(self, token: str) -> str:
        """Some other member's; the same where the file has one only."""
        return next((other for other in (self.token() for _ in self._tokens) if other != token), token)

    def acknowledge(self, scan_id: str) -> None:
        self._acknowledged.write(scan_id + "\n")

    def is_wrong(self, what: str) -> None:
        self.wrong_count += 1
        if len(self.wrong) < WRONG_SHOWN:
            self.wrong.append(what)

    def close(self) -> None:
        self._codes.close()
        self._acknowledged.close()
