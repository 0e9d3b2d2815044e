"""What others read: the events of the stream, and the means to consume them.

``Consumer`` is imported when it is asked for: most commands, and the service, read events only.
"""

from typing import TYPE_CHECKING, Any

from scanner.queue.consuming.answers import RejectedError, TryLaterError
from scanner.queue.events import Award, Event, ScanAccepted, UnreadableError

if TYPE_CHECKING:
    from scanner.queue.consuming.consumer import Consumer

__all__ = [
    "Award",
    "Consumer",
    "Event",
    "RejectedError",
    "ScanAccepted",
    "TryLaterError",
    "UnreadableError",
]


def __getattr__(name: str) -> Any:
    if name == "Consumer":
        from scanner.queue.consuming.consumer import Consumer

        return Consumer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
