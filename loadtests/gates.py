"""Gates: what a run must reach, what it reached, and which gate it fails."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from loadtests.errors import LoadTestError

DEFAULTS = Path(__file__).with_name("gates.toml")
T = TypeVar("T")
NAMES = ("spike", "steady", "soak", "staircase", "open")


@dataclass(frozen=True)
class Gates:
    """``p99_ms`` in milliseconds, ``error_share`` of one, ``requests`` at least."""

    p99_ms: float
    error_share: float
    requests: float

    def but(self, **flags: float | None) -> "Gates":
        """With the flags that were given."""
        return replace(self, **{name: value for name, value in flags.items() if value is not None})


@dataclass(frozen=True)
class Reached:
    """What a run came to.

    ``errors`` are requests that were refused for now, timed out or failed; ``wrong`` the answers that were
    not to be; ``missing`` what should have happened and did not; ``ledger`` what does not add up there, None
    where it could not be looked at.
    """

    requests: int
    errors: int
    p99_ms: float
    wrong_count: int
    wrong: Sequence[str] = ()
    missing: Sequence[str] = ()
    ledger: Sequence[str] | None = field(default=None)


class Verdict(NamedTuple):
    """One gate's: its name, what was asked and what came, as texts, and whether it holds."""

    gate: str
    asked: str
    came: str
    holds: bool


def read_gates(name: str, path: Path = DEFAULTS) -> Gates:
    """The gates of one kind of run. Raises as ``read_section``."""
    return read_section(Gates, name, path)


def read_section(kind: type[T], name: str, path: Path) -> T:
    """A section of numbers, as a dataclass that has a field for each.

    Raises:
        LoadTestError: the file cannot be read, has no such section, or something unknown in it.
    """
    try:
        section = tomllib.loads(path.read_text("utf-8"))[name]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LoadTestError(f"the gates cannot be read from {path}: {error}") from None
    except KeyError:
        raise LoadTestError(f"{path} has no section [{name}]") from None
    wanted = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(section, dict) or section.keys() != wanted:
        raise LoadTestError(f"[{name}] in {path} must have {', '.join(sorted(wanted))} and nothing else")
    for key, value in section.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise LoadTestError(f"[{name}] {key} in {path} must be a number of at least 0, not {value!r}")
    return kind(**section)


def judge(gates: Gates, reached: Reached) -> list[Verdict]:
    """A verdict for each gate, the ledger's only where it was looked at."""
    share = reached.errors / max(reached.requests, 1)
    verdicts = [
        Verdict(
            "requests",
            f"at least {gates.requests:,.0f}, of every kind",
            ", ".join([f"{reached.requests:,}", *reached.missing]),
            reached.requests >= gates.requests and not reached.missing,
        ),
        Verdict("answers", "none wrong", f"{reached.wrong_count:,} wrong", reached.wrong_count == 0),
        Verdict(
            "errors",
            f"at most {gates.error_share:.2%}",
            f"{reached.errors:,}, {share:.2%}",
            share <= gates.error_share,
        ),
        Verdict(
            "p99",
            f"at most {gates.p99_ms:,.0f} ms",
            f"{reached.p99_ms:,.1f} ms",
            reached.p99_ms <= gates.p99_ms,
        ),
    ]
    if reached.ledger is not None:
        came = "adds up" if not reached.ledger else f"{len(reached.ledger)} differences"
        verdicts.append(Verdict("ledger", "adds up, and nothing is lost", came, not reached.ledger))
    return verdicts
