"""Files of codes and of tokens: one a line."""

from pathlib import Path

from loadtests.errors import LoadTestError


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a file, one code or token each.

    Raises:
        LoadTestError: it cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise LoadTestError(f"the {what} cannot be read from {path}: {error}") from None
    lines = [line for line in lines if line]
    if not lines:
        raise LoadTestError(f"{path} is empty: one of the {what} a line is expected")
    return lines
