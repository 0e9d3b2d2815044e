"""What became of each request of a run, kept by a generator while it sends thousands a second."""

from array import array
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

# Beside the end in a request's byte: all connections were busy when it fell due.
FOUND_NO_CONNECTION = 0x80


class End(IntEnum):
    """How a request ended."""

    ACCEPTED = 0
    REFUSED = 1
    """Refused for now: it may be sent again."""
    WRONG = 2
    """An answer that was not to be."""
    NEVER_ANSWERED = 3
    """No answer in time, or its connection ended."""
    NEVER_SENT = 4
    """It waited for a free connection until it was given up."""


@dataclass
class Records:
    """Seconds since the run began, request by request, in the order of their ends.

    A request that was never sent has the moment at which it was given up in ``sent_s`` too.
    """

    due_s: "array[float]" = field(default_factory=lambda: array("d"))
    sent_s: "array[float]" = field(default_factory=lambda: array("d"))
    ended_s: "array[float]" = field(default_factory=lambda: array("d"))
    ends: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.ends)

    def add(self, due_s: float, sent_s: float, ended_s: float, end: int) -> None:
        """``end`` is an :class:`End`, with FOUND_NO_CONNECTION where that was so."""
        self.due_s.append(due_s)
        self.sent_s.append(sent_s)
        self.ended_s.append(ended_s)
        self.ends.append(end)

    def extend(self, other: "Records") -> None:
        self.due_s.extend(other.due_s)
        self.sent_s.extend(other.sent_s)
        self.ended_s.extend(other.ended_s)
        self.ends.extend(other.ends)

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            file.write(len(self).to_bytes(8, "little"))
            for column in (self.due_s, self.sent_s, self.ended_s):
                column.tofile(file)
            file.write(self.ends)

    @classmethod
    def read(cls, path: Path) -> "Records":
        records = cls()
        with path.open("rb") as file:
            count = int.from_bytes(file.read(8), "little")
            for column in (records.due_s, records.sent_s, records.ended_s):
                column.fromfile(file, count)
            records.ends += file.read()
        return records
