"""Pages of plain text, and how they are written as Markdown and as HTML.

Escaping is done here alone and covers every text that a template writes, whoever wrote it: so no title of a
campaign file can be taken for markup.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jinja2 import Environment


class Table(NamedTuple):
    """Rows under a head. The first cell of a row names it."""

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


class Section(NamedTuple):
    """A part of a page. A paragraph may have several lines."""

    heading: str
    paragraphs: list[str]
    tables: list[Table]


class Page(NamedTuple):
    """A disclosure in one language, as plain text."""

    language: str
    title: str
    sections: list[Section]


def html(page: Page) -> str:
    """The page as one HTML document that needs nothing else."""
    return _written("html", page)


def markdown(page: Page) -> str:
    """The page as Markdown with tables (GitHub's flavour)."""
    return _written("md", page)


# What may begin or end something inside a line; and what may do so at the beginning of a line. `:` and `.`
# count where they would make a link of an address.
_MARKS = re.compile(r"[\\`*_\[\]<>|~&$#@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_FIRST_MARKS = re.compile(r"^([+\-=:])|^([0-9]+)([.)])(?=\s|$)")


def escape_markdown(text: object) -> str:
    """A line of text as Markdown that says just that, wherever in a line it stands."""
    return _FIRST_MARKS.sub(r"\2\\\1\3", _MARKS.sub(r"\\\g<0>", str(text)))


@cache
def templates(form: str, package: str = __package__) -> "Environment":
    """The templates of a package, which may extend those here; they escape whatever they write."""
    # Imported here: the service, which never writes a page, should not have to load it.
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    # Both escape whatever a template writes: autoescape as HTML, finalize as Markdown.
    rules: dict[str, Any] = {"autoescape": True} if form == "html" else {"finalize": escape_markdown}
    return Environment(  # noqa: S701  # Markdown is escaped as Markdown
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(__package__, "")]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **rules,
    )


def _written(form: str, page: Page) -> str:
    return templates(form).get_template(f"page.{form}.jinja").render(page=page).rstrip("\n") + "\n"
