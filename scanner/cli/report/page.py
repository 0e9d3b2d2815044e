"""The page of an audit for people: one HTML document with every figure, its sums, and pictures.

Everything here is plain text and shapes; ``page.html.jinja`` writes it, and escapes every text. The frame
and the look are those of the pages that ``scanner.campaigns.disclosure.pages`` writes.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from scanner.campaigns.disclosure.pages import templates
from scanner.campaigns.disclosure.wording import Wording
from scanner.cli.report.chart import COLOURS, DayChart, PoolChart, day_chart, pool_chart
from scanner.cli.report.figures import Campaign, Day, figures_of
from scanner.cli.report.tables import (
    Table,
    Writer,
    budget_tables,
    day_table,
    event_tables,
    money_tables,
    pool_tables,
)
from scanner.ledger.audit import AuditReport
from scanner.ledger.audit.replay import Difference

Facts = list[tuple[str, str]]


class PoolPart(NamedTuple):
    pool: str
    tables: list[Table]


class CampaignPart(NamedTuple):
    """What is shown of a campaign, in this order."""

    no: int
    title: str
    verdict: str
    good: bool
    facts: Facts
    bars: PoolChart
    sums: list[Table]
    pools: list[PoolPart]
    charts: list[DayChart]
    days: Table


class ReportPart(NamedTuple):
    """What is shown of the whole audit, and then its campaigns."""

    verdict: str
    good: bool
    facts: Facts
    differences: list[Difference]
    campaigns: list[CampaignPart]


def page_of(report: AuditReport, brand: str, made: datetime, only: str | None = None) -> str:
    """The page of a report that was made at a moment; `only` is the campaign to which it was narrowed."""
    figures = figures_of(report)
    good, verdict = _verdict(len(report.differences), sum(one.wrong_sums for one in figures.values()))
    drawn = "every one recomputed" if report.draws_recomputed else "not recomputed: no key file was at hand"
    facts = [
        ("Brand", brand),
        ("Made", Wording("en", "XXX", "UTC").moment(made.replace(microsecond=0))),
        ("Campaigns", f"{only} only" if only else f"all, {len(figures):,}"),
        ("Entries replayed", f"{report.entries:,}"),
        ("Claims", f"{report.claims:,}"),
        ("Draws", drawn),
    ]
    parts = [
        _campaign(no, id, one, sum(found.campaign == id for found in report.differences), made)
        for no, (id, one) in enumerate(figures.items(), 1)
    ]
    template = templates("html", __package__).get_template("page.html.jinja")
    return template.render(
        title=f"Audit of brand {brand}",
        report=ReportPart(verdict, good, facts, report.differences, parts),
    )


def _verdict(differences: int, wrong_sums: int) -> tuple[bool, str]:
    found = []
    if differences:
        found.append("1 difference" if differences == 1 else f"{differences:,} differences")
    if wrong_sums:
        found.append("1 wrong sum" if wrong_sums == 1 else f"{wrong_sums:,} wrong sums")
    return not found, f"It does not add up: {' and '.join(found)}" if found else "It adds up"


def _campaign(no: int, id: str, one: Campaign, differences: int, made: datetime) -> CampaignPart:
    write = Writer(one)
    good, verdict = _verdict(differences, one.wrong_sums)
    return CampaignPart(
        no=no,
        title=one.title,
        verdict=verdict,
        good=good,
        facts=_facts(id, one, write, made),
        bars=pool_chart("Pieces given and left in each pool", one.sheets),
        sums=[
            *money_tables(one, write),
            *budget_tables(one.budgets, write),
            *event_tables(one, write),
        ],
        pools=[PoolPart(pool.pool, list(pool_tables(pool, write))) for pool in one.sheets],
        charts=list(_charts(one.days, write)),
        days=day_table(one, write),
    )


def _facts(id: str, one: Campaign, write: Writer, made: datetime) -> Facts:
    starts, ends = datetime.fromisoformat(one.starts), datetime.fromisoformat(one.ends)
    state = "over" if made > ends else "running" if made >= starts else "not started yet"
    return [
        ("Campaign", id),
        ("Organiser", one.organiser),
        ("Begins", write.words.moment(starts)),
        ("Ends, this moment included", write.words.moment(ends)),
        ("State", f"{state}, but paused" if one.paused else state),
        ("Version of the rules", one.rules),
        ("Time zone of times and days here", one.timezone),
        ("Currency", one.currency),
        ("Accepted scans", f"{one.scans:,}"),
    ]


def _charts(days: Sequence[Day], write: Writer) -> Iterator[DayChart]:
    """Prizes by kind, and cash. Draws without a prize are left out: they would make all else small."""
    kinds = {kind: write.kind(kind) for kind in COLOURS}
    pieces = {day.day: {kind: one.pieces for kind, one in day.kinds.items()} for day in days}
    money = {day.day: {"cash": day.kinds["cash"].money} for day in days if "cash" in day.kinds}
    charts = (
        day_chart("Prizes given by day and kind", "prizes", kinds, pieces, lambda n: f"{n:,}"),
        day_chart("Cash given by day", write.currency, {"cash": kinds["cash"]}, money, write.axis),
    )
    return (chart for chart in charts if chart is not None)
