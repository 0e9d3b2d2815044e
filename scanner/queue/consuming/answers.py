"""What a handler may say of an event, other than that it is done or has failed: by raising one of these."""

from math import isfinite

from scanner.errors import ScannerError


class TryLaterError(ScannerError):
    """Not now: the event comes again after so many seconds, and no try is counted. Its member's later events
    wait behind it; nobody else does."""

    def __init__(self, after_s: float) -> None:
        if not (isfinite(after_s) and after_s >= 0):
            raise ValueError(f"an event can be tried again in 0 seconds or more, not in {after_s}")
        super().__init__(f"not now, but in {after_s:g} s")
        self.after_s = after_s


class RejectedError(ScannerError):
    """Never: the event is a dead letter at once, with this reason."""
