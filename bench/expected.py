"""What each figure is expected to be: ``expected.toml``, read and written."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bench.suites import BenchError, Figure

EXPECTED: Final = Path(__file__).with_name("expected.toml")
TOLERANCE: Final = 0.3
"""Of a figure that is new; people widen or narrow it in the file."""


class Expected(BaseModel):
    """What a figure's ratio to its yardstick should be, and how far above is still no regression."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    yardstick: str
    ratio: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    tolerance: Annotated[float, Field(gt=0, le=3)]

    @property
    def limit(self) -> float:
        """The highest ratio that is no regression."""
        return self.ratio * (1 + self.tolerance)

    @property
    def improved(self) -> float:
        """A ratio below this one should be kept: by ``--update``."""
        return self.ratio / (1 + self.tolerance)


_TABLES: Final = TypeAdapter(dict[str, dict[str, Expected]])


def load(path: Path) -> dict[str, Expected]:
    """By the figure's name.

    Raises:
        BenchError: the file cannot be read, or says something else than it should; the message says where.
    """
    try:
        tables = _TABLES.validate_python(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BenchError(f"{path}: {_reason(error)}") from None
    return {f"{suite}.{bench}": one for suite, benches in tables.items() for bench, one in benches.items()}


def _reason(error: ValueError) -> str:
    """TOML's own words, which have line and column; or the first entry that is wrong."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}"


def renewed(before: Mapping[str, Expected], runs: Iterable[Iterable[Figure]]) -> dict[str, Expected]:
    """What several runs measured, as medians; tolerances stay as they were."""
    figures: dict[str, list[Figure]] = {}
    for run in runs:
        for figure in run:
            figures.setdefault(figure.name, []).append(figure)
    return {
        name: Expected(
            yardstick=measured[0].yardstick,
            ratio=round(median(figure.ratio for figure in measured), 3),
            tolerance=before[name].tolerance if name in before else TOLERANCE,
        )
        for name, measured in figures.items()
    }


def write(path: Path, expected: Mapping[str, Expected]) -> None:
    """Writes the file anew; the comment at its head stays."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    head = [line for line in lines if line.startswith("#")]
    suites: dict[str, list[str]] = {}
    for name, one in sorted(expected.items()):
        suite, _, bench = name.partition(".")
        said = f'yardstick = "{one.yardstick}", ratio = {one.ratio}, tolerance = {one.tolerance}'
        suites.setdefault(suite, []).append(f'"{bench}" = {{ {said} }}')
    text = "\n".join([*head, *(line for suite, rows in suites.items() for line in ("", f"[{suite}]", *rows))])
    path.write_text(text.lstrip("\n") + "\n", "utf-8")
