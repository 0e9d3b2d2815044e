"""How a line of a campaign file says what it expected.

Every problem is told in one form, `path: expected …, got …`. pydantic finds the problems and their
paths; the words come from here, so that they speak of the file and not of Python.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

EXPECTED: Final = "expected"
"""The type of every error whose message completes the sentence "expected …"."""


def expected(phrase: str) -> PydanticCustomError:
    """The error to raise in a validator; `phrase` completes "expected …"."""
    return PydanticCustomError(EXPECTED, "{phrase}", {"phrase": phrase})


@dataclass(frozen=True, slots=True)
class Expected:
    """Annotates a field: whatever is wrong with its value, the file is told this phrase."""

    phrase: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), custom_error_type=EXPECTED, custom_error_message=self.phrase
        )


def some(most: int) -> Any:
    """The bounds of a list. A TOML array comes as a list and is kept as a tuple: hence not strict."""
    return Field(strict=False, min_length=1, max_length=most)


class Absent:
    """Stands in for a required key that is not there, so that its own phrase says what was expected."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands in for the value of a key that is not known here, and brings the keys that are."""

    known: tuple[str, ...]


@dataclass(slots=True)
class Reading:
    """What the lines read so far mean for the lines below them; one object for one reading of a file.

    pydantic validates depth first and in the order of the fields, so a field may rely on what a field
    above it has left here, even when a third field was wrong: that is how all problems are found at once.
    """

    currency: str = ""
    exponent: int = 4
    """Decimals of the currency; until a valid one was read, the most that any currency has."""
    pools: set[str] = field(default_factory=set)
    draw: str = ""
    """The draw of the pool being read, empty when it is not a known one."""
    prizes: set[str] = field(default_factory=set)
    odds: Fraction = field(default_factory=Fraction)
    """The odds of this pool's prizes so far, added up."""
    endless: str = ""
    """The prize of this pool that never runs out, once there is one."""

    def enter_pool(self) -> None:
        self.draw, self.prizes, self.odds, self.endless = "", set(), Fraction(), ""


def reading(info: ValidationInfo) -> Reading:
    """The reading that a validator is part of.

    Raises TypeError for a model validated on its own: `file.parse` and `file.from_canonical` are the doors.
    """
    if not isinstance(info.context, Reading):
        raise TypeError("campaign models are read by scanner.campaigns.parse or from_canonical")
    return info.context


class Table(BaseModel):
    """A table of the file: immutable, no conversions between types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _mark_absent_and_unknown(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = {info.alias or name: info for name, info in cls.model_fields.items()}
        marked = {key: value if key in fields else Unknown(tuple(fields)) for key, value in data.items()}
        absent = [key for key, info in fields.items() if info.is_required() and key not in data]
        return marked | dict.fromkeys(absent, Absent())
