"""Reading a campaign file's text, and the canonical form in which a campaign is kept.

The canonical form is compact JSON with sorted keys: money and odds as decimals in strings, times as
ISO 8601, defaults written out, absent values left out. Two files that differ only in layout, comments
or the order of keys have the same canonical form. The order of pools and prizes is part of it.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scanner.campaigns.consistency import inconsistencies
from scanner.campaigns.expected import EXPECTED, Absent, Reading, Unknown
from scanner.campaigns.model import CampaignFile
from scanner.campaigns.money import exponent
from scanner.errors import CampaignError

FILE_BYTES_MAX: Final = 1024 * 1024
_SHOWN_CHARS_MAX: Final = 60
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")


class CampaignFileError(CampaignError):
    """What is wrong with a campaign file, one problem a line; `problems` has them one by one."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def parse(text: str) -> CampaignFile:
    """Reads and checks a campaign file's TOML text, at most FILE_BYTES_MAX in UTF-8.

    Raises CampaignFileError with every problem found, each as
    `pool[1].prize[2].amount: expected …, got …`; with one problem and its line if the text is not TOML.
    """
    try:
        if len(text.encode()) > FILE_BYTES_MAX:
            raise CampaignFileError([f"expected a campaign file of at most {FILE_BYTES_MAX} bytes"])
        document = tomllib.loads(text)
    except UnicodeEncodeError:
        raise CampaignFileError(["expected a campaign file in UTF-8"]) from None
    except RecursionError:
        raise CampaignFileError(["expected TOML, got brackets nested too deeply"]) from None
    except ValueError as error:
        # tomllib says the line and column itself.
        raise CampaignFileError([f"expected TOML, got a syntax error: {error}"]) from None
    try:
        return _consistent(CampaignFile.model_validate(document, context=Reading()))
    except ValidationError as error:
        raise CampaignFileError(list(_problems(error))) from None


def plain(file: CampaignFile) -> dict[str, Any]:
    """The file as JSON values: what `canonical` writes, before it is bytes."""
    return file.model_dump(
        mode="json", by_alias=True, exclude_none=True, context=exponent(file.campaign.currency)
    )


def canonical(file: CampaignFile) -> bytes:
    """The file in its canonical form, UTF-8."""
    return json.dumps(plain(file), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def from_canonical(data: bytes) -> CampaignFile:
    """The file whose canonical form this is: `from_canonical(canonical(file)) == file`.

    Raises CampaignFileError if it is not one.
    """
    try:
        return _consistent(CampaignFile.model_validate_json(data, context=Reading()))
    except ValidationError as error:
        raise CampaignFileError(list(_problems(error))) from None


def _consistent(file: CampaignFile) -> CampaignFile:
    if problems := list(inconsistencies(file)):
        raise CampaignFileError(problems)
    return file


def _problems(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # not empty: every item was wrong, and each has been told about
        path, sentence = _path(detail["loc"]), _sentence(detail)
        if detail["type"].startswith("union_tag"):
            path += ".kind"
        yield f"{path}: {sentence}" if path else sentence


def _path(location: tuple[int | str, ...]) -> str:
    # Below pool[i].prize[j] pydantic also names the member of the union that it chose: the prize's kind
    # (place 4), and whether an amount is money or a spread (place 6). The file has no such keys.
    if location[2:3] == ("prize",):
        location = tuple(part for at, part in enumerate(location) if at not in (4, 6))
    # Likewise below pool[i].entry.windows[j]: whether the window is a daily one.
    if location[2:4] == ("entry", "windows"):
        location = tuple(part for at, part in enumerate(location) if at != 5)
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in location)
    return path.removeprefix(".")


def _key(name: str) -> str:
    # A key in quotes may be any text; it must not break the line that tells of it.
    return name if _BARE_KEY.fullmatch(name) else _shown(name)


def _sentence(detail: ErrorDetails) -> str:
    value, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden" if isinstance(value, Unknown):
            return f"expected one of {', '.join(value.known)}, got an unknown key"
        case "union_tag_invalid" | "union_tag_not_found":
            kinds = context.get("expected_tags", "'cash', 'points', 'coupon', 'physical', 'chance', 'none'")
            wanted, value = "one of " + kinds.replace("'", '"'), value.get("kind")
        case "model_type" | "model_attributes_type":
            wanted = "a table"
        case "tuple_type":
            wanted = "a list"
        case "json_invalid":
            return f"expected a campaign in its canonical form, got broken JSON: {context['error']}"
        case "too_short":
            return "expected at least one, got an empty list"
        case "too_long":
            return f"expected at most {context['max_length']}, got more"
        case _:
            wanted = detail["msg"] if detail["type"] == EXPECTED else f"another value ({detail['msg']})"
    return f"expected {wanted}, got {_shown(value)}"


def _shown(value: Any) -> str:
    """A value in one short line, roughly as TOML writes it."""
    match value:
        case None | Absent():
            return "nothing"
        case dict():
            return "a table"
        case list():
            return "a list"
        case datetime() | date() | time():
            return value.isoformat()
        case int() if value.bit_length() > 64:
            # Python refuses to write out integers of thousands of digits.
            return "a number beyond 64 bits"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…"
