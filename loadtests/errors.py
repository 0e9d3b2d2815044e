"""What a load test refuses."""

from scanner.errors import ScannerError


class LoadTestError(ScannerError):
    """The load test cannot be run as it was asked for; the message says what to change."""
