"""The small types that an entry's fields are made of, each with its bounds.

What an entry holds comes from a store that others may write into, so nothing here is without a bound. Bounds
are part of what readers rely on: their columns are as long.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidatorFunctionWrapHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

NUMBER_MAX = 2**53 - 1
"""What a double holds exactly: the store's functions count in doubles, and so do many readers of JSON."""

AT_MS_MAX = 253_402_300_799_999
"""The end of the year 9999."""

JSON_CHARS_MAX = 1 << 20
FILE_CHARS_MAX = 1 << 22
REMEMBERED_CHARS_MAX = 2048
MISSED_MAX = 16
_DECIMAL = "^(0|[1-9][0-9]{0,15})$"


class _Decimal:
    """A number as text, in the one form in which it can be written; read in the validator's own code."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        text = core_schema.str_schema(pattern=_DECIMAL)
        return core_schema.chain_schema([text, core_schema.int_schema(ge=0, le=self._most)])


class InJson:
    """A value that stands as JSON in a text.

    With ``remembered``, what was read of so many texts is kept, for values that cannot be changed and are
    mostly the same: reading them is half of what an event costs.
    """

    def __init__(self, *, remembered: int = 0) -> None:
        self._remembered = remembered

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        text = core_schema.str_schema(max_length=JSON_CHARS_MAX)
        value: core_schema.CoreSchema = core_schema.json_schema(handler(source))
        if self._remembered:
            value = core_schema.no_info_wrap_validator_function(_memory(self._remembered), value)
        return core_schema.chain_schema([text, value])

    def __get_pydantic_json_schema__(
        self, schema: core_schema.ChainSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        if handler.mode == "serialization":
            return handler(schema)
        return handler(schema["steps"][-1]) | {"maxLength": JSON_CHARS_MAX}


def _memory(most: int) -> Callable[[str, ValidatorFunctionWrapHandler], Any]:
    """Validates a text once. What is too long to come often is not kept; and once it is full, nothing more is
    until so much was not found that it is of no use any more: texts that never come again only cost."""
    known: dict[str, Any] = {}
    missed = 0

    def read(text: str, validate: ValidatorFunctionWrapHandler) -> Any:
        nonlocal missed
        value = known.get(text)
        if value is None:
            value = validate(text)
            if len(known) < most:
                if len(text) <= REMEMBERED_CHARS_MAX:
                    known[text] = value
            else:
                missed += 1
                if missed >= most * MISSED_MAX:
                    known.clear()
                    missed = 0
        return value

    return read


Number = Annotated[int, _Decimal(NUMBER_MAX)]
Moment = Annotated[int, _Decimal(AT_MS_MAX)]
Count = Annotated[int, Field(strict=True, ge=0, le=NUMBER_MAX)]
"""A number that is one in JSON, too."""

Name = Annotated[str, Field(min_length=1, max_length=64)]
"""Of a person, a campaign, a pool, a prize, a channel."""

Text = Annotated[str, Field(min_length=1, max_length=256)]
# A reader takes what is shorter or longer, too; the schemas say what it is.
Id = Annotated[
    str, Field(min_length=1, max_length=64, json_schema_extra={"pattern": "^[0-9A-HJKMNP-TV-Z]{16}$"})
]
Gtin = Annotated[str, Field(min_length=1, max_length=64, json_schema_extra={"pattern": "^[0-9]{14}$"})]
Prizes = Annotated[tuple[Text, ...], InJson()]
"""Each as ``pool/prize``."""
