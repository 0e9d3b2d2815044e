"""The page that a campaign publishes: nothing of the file is missing, odds are exact, no text is markup."""

import re
import string
from datetime import UTC, datetime
from fractions import Fraction
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from scanner.campaigns import parse
from scanner.campaigns.disclosure import page
from scanner.campaigns.disclosure.pages import html, markdown
from scanner.campaigns.disclosure.wording import LANGUAGES, words_of
from scanner.campaigns.prizes import Spread

HOSTILE = [
    "<script>alert(1)</script>",
    "</title></main><!-- ]]>",
    "a | b",
    "\\| c \\",
    "*a* **b** _c_ __d__ ~~e~~",
    "`code` ``` ~~~",
    "[x](javascript:alert(1)) ![x](https://x.example/y.png) [y]: z",
    "# heading #",
    "- item",
    "1. item",
    "--- === | --- |",
    "&lt;b&gt; &#60; &amp;",
    "<https://x.example> https://x.example www.x.example a@x.example",
    '" onload="alert(1)',
    "{{ 7 * 7 }} {% raw %} {# x #} {0} {title}",
    "$x$ @all #1",
]


def every_feature(text="text"):
    """A document with every table and key that a file may have, and this text wherever one may stand."""
    windows = [
        {"from": datetime(2027, 3, 1, 12, tzinfo=UTC), "until": datetime(2027, 3, 2, 12, tzinfo=UTC)},
        {"daily": "20:00", "lasts": "90m"},
    ]
    entry = {
        "roles": [text[:32], "worker"],
        "tiers": [text[:32]],
        "products": ["06901234567892"],
        "channels": ["shop"],
        "windows": windows,
    }
    spread = {"min": "1.00", "max": "20.00", "total": "10000.00"}
    small = {"id": "small", "kind": "cash", "amount": "0.88", "stock": 2}
    none = {"id": "none", "kind": "none", "stock": 1}
    return {
        "campaign": {
            "id": "full",
            "title": text,
            "organiser": text,
            "contact": text,
            "claim_rules": f"{text}\n{text}\n\n{text}",
            "currency": "CNY",
            "timezone": "Asia/Shanghai",
            "starts": datetime(2027, 2, 28, 16, tzinfo=UTC),
            "ends": datetime(2027, 5, 31, 15, 59, 59, 999000, tzinfo=UTC),
            "budget": "100000.00",
        },
        "limits": {"per_day": 20, "total": 500},
        "product": [
            {"gtin": "06901234567892", "title": text, "url": 'https://x.example/"><b>(a)_b_|c'},
            {"gtin": "00000000000000", "title": text},
        ],
        "pool": [
            {"id": "deck", "draw": "deck", "game": "wheel", "entry": entry, "budget": "12345.60",
             "limits": {"per_day": 1, "total": 1000},
             "prize": [
                 {"id": "phone", "kind": "physical", "value": "7999.00", "amount": 2, "stock": 3},
                 {"id": "lucky", "kind": "cash", "amount": spread, "stock": 2000},
                 {"id": "go", "kind": "chance", "pool": "paid", "amount": 3, "stock": 1},
                 {"id": "thanks", "kind": "none", "stock": 97_996}]},
            {"id": "paid", "draw": "odds", "entered_by": "draw", "price": {"points": 100},
             "prize": [{"id": "c", "kind": "coupon", "coupon": "SECRET-CODE", "odds": "0.05", "stock": 5000},
                       {"id": "d", "kind": "coupon", "coupon": "SECRET-CODE", "value": "10.00", "amount": 2,
                        "odds": "0.03"},
                       {"id": "no", "kind": "none", "odds": "0.12"}]},
            {"id": "all", "draw": "every", "beneficiary": "seller",
             "prize": [small, {"id": "p", "kind": "points", "amount": 1}]},
            {"id": "invite", "draw": "every", "beneficiary": "inviter", "prize": [small]},
            {"id": "locked", "draw": "locked", "expires_after": "7d", "prize": [small]},
            {"id": "shared", "draw": "shared", "slots": 5, "open_for": "24h", "giver": "last",
             "prize": [small, none]},
        ],
    }  # fmt: skip


@pytest.fixture
def full(read):
    return read(every_feature())


def tables(made):
    return [table for section in made.sections for table in section.tables]


def rows(made, caption):
    """The rows of a table by their first cell."""
    (table,) = (table for table in tables(made) if table.caption == caption)
    return {row[0]: row[1:] for row in table.rows}


def prizes(file, pool, language="en"):
    caption = {"en": f"Prizes of pool {pool}", "zh": f"奖池 {pool} 的奖项"}[language]
    return rows(page(file, language), caption)


def conditions(file, pool):
    return {name: text for name, (text,) in rows(page(file, "en"), f"Conditions of pool {pool}").items()}


# What is said.


def test_the_head_says_who_when_and_by_which_rules(full):
    facts = rows(page(full, "en", "1f2e3d4c5b6a7980"), "At a glance")
    assert facts == {
        "Campaign": ("full",),
        "Organiser": ("text",),
        "Contact": ("text",),
        "Begins": ("1 March 2027, 00:00:00 (UTC+08:00)",),
        "Ends, this moment included": ("31 May 2027, 23:59:59.999 (UTC+08:00)",),
        "Time zone of all times and days here": ("Asia/Shanghai",),
        "Currency": ("CNY",),
        "Accepted scans of a member": ("at most 20 a day; at most 500 in all",),
        "Version of the rules": ("1f2e3d4c5b6a7980",),
    }
    facts = rows(page(full, "zh", "1f2e3d4c5b6a7980"), "概要")
    assert facts["开始时间"] == ("2027年3月1日 00:00:00（UTC+08:00）",)
    assert facts["结束时间（含该时刻）"] == ("2027年5月31日 23:59:59.999（UTC+08:00）",)
    assert facts["每位会员受理的扫码次数"] == ("每天最多 20 次；总共最多 500 次",)


def test_a_file_that_is_not_in_force_is_called_a_draft(full):
    assert page(full, "en").sections[0].paragraphs == ["Draft: these rules are not in force yet."]
    assert page(full, "en", "1f2e").sections[0].paragraphs == []
    assert "草稿" in html(page(full, "zh"))


def test_a_contact_that_is_missing_is_told(base, read):
    assert rows(page(read(base), "en"), "At a glance")["Contact"] == ("not stated",)


def test_times_are_those_of_the_campaigns_zone_with_its_offset_then(base, read):
    base["campaign"] |= {"timezone": "America/New_York"}
    facts = rows(page(read(base), "en"), "At a glance")
    assert facts["Begins"] == ("28 February 2027, 11:00:00 (UTC-05:00)",)
    assert facts["Ends, this moment included"] == ("31 May 2027, 11:59:59 (UTC-04:00)",)


def test_who_enters_a_pool_and_when(full):
    assert conditions(full, "deck") == {
        "Way of drawing": "by chance, without replacement",
        "Entered by": "an accepted scan",
        "Whose the prizes are": "of the member who scans or draws",
        "Roles": "text, worker",
        "Member tiers": "text",
        "Products": "06901234567892 text",
        "Channels": "shop",
        "Times": "from 1 March 2027, 20:00:00 (UTC+08:00) until just before 2 March 2027, 20:00:00 "
        "(UTC+08:00); every day from 20:00:00 for 90 minutes",
        "Entries of a member": "at most 1 a day; at most 1,000 in all",
        "Budget of this pool": "CNY 12,345.60",
        "Shown as": "wheel",
    }


def test_other_ways_in_and_other_winners(full):
    assert conditions(full, "paid")["Entered by"] == (
        "a draw, for a chance won in deck; a draw, for 100 points"
    )
    assert conditions(full, "all")["Whose the prizes are"].startswith("of the seller")
    assert conditions(full, "invite")["Whose the prizes are"].startswith("of the person who invited")
    assert conditions(full, "locked")["A packet can be unlocked for"] == "7 days"
    shared = conditions(full, "shared")
    assert shared["Friends who may open a packet"] == "5"
    assert shared["A packet can be opened for"] == "1 day"
    assert shared["The giver's own draw"] == "one, when the last friend has opened the packet"
    assert shared["Whose the prizes are"].endswith("the member whose scan opened it")


def test_what_a_prize_gives_and_is_worth(full):
    def given(pool, prize, language="en"):
        return prizes(full, pool, language)[prize][:4]

    assert given("deck", "phone") == ("goods", "2 pieces", "CNY 7,999.00", "3")
    assert given("deck", "lucky") == (
        "cash",
        "CNY 1.00 to CNY 20.00, CNY 10,000.00 in all",
        "–",
        "2,000",
    )
    assert given("deck", "go") == ("chance to draw", "3 draws in pool paid", "–", "1")
    assert given("deck", "thanks") == ("no prize", "–", "–", "97,996")
    assert given("paid", "c") == ("coupon", "1 coupon", "not stated", "5,000")
    assert given("paid", "d") == ("coupon", "2 coupons", "CNY 10.00", "no limit")
    assert given("all", "p") == ("points", "1 point", "–", "no limit")
    assert given("deck", "phone", "zh") == ("实物", "2 件", "¥7,999.00", "3")
    assert given("deck", "lucky", "zh") == ("现金", "¥1.00 至 ¥20.00，总额 ¥10,000.00", "—", "2,000")


@pytest.mark.parametrize(
    ("currency", "amount", "zh", "en"),
    [
        ("USD", "1234.50", "USD 1,234.50", "USD 1,234.50"),
        ("JPY", "1234", "JPY 1,234", "JPY 1,234"),
        ("KWD", "0.001", "KWD 0.001", "KWD 0.001"),
        ("CNY", "10000000000000.00", "¥10,000,000,000,000.00", "CNY 10,000,000,000,000.00"),
    ],
)
def test_money_in_any_currency(base, read, currency, amount, zh, en):
    base["campaign"]["currency"] = currency
    base["pool"] = [
        {"id": "a", "draw": "every", "prize": [{"id": "m", "kind": "cash", "amount": amount}]},
    ]
    assert prizes(read(base), "a", "zh")["m"][1] == zh
    assert prizes(read(base), "a", "en")["m"][1] == en


def test_budgets_and_what_happens_when_they_are_used_up(full, base, read):
    assert rows(page(full, "en"), "Budgets") == {
        "all pools together": ("CNY 100,000.00",),
        "pool deck": ("CNY 12,345.60",),
    }
    assert "once a budget has been used up" in markdown(page(full, "en"))
    assert "预算用完后" in markdown(page(full, "zh"))
    assert "Budget" not in markdown(page(read(base), "en"))


def test_a_coupons_code_is_not_published(full):
    for language in LANGUAGES:
        assert "SECRET-CODE" not in html(page(full, language)) + markdown(page(full, language))


def test_records_are_kept_for_two_years(full):
    assert "at least two years" in html(page(full, "en"))
    assert "至少保存两年" in html(page(full, "zh"))


def test_claim_rules_keep_their_lines_and_paragraphs(base, read):
    base["campaign"]["claim_rules"] = "\r\n  one\r\n\ttwo \n \n\n- three\r"
    (claims,) = (part for part in page(read(base), "en").sections if part.heading == "Claiming prizes")
    assert claims.paragraphs == ["one\ntwo", "- three"]
    assert "<p>one<br>two</p>" in html(page(read(base), "en"))
    assert "one\\\ntwo\n\n\\- three\n" in markdown(page(read(base), "en"))


# Odds.


def odds(file, pool):
    return {name: row[-2:] for name, row in prizes(file, pool).items()}


def test_odds_of_an_odds_pool_are_those_of_the_file_and_the_rest(full):
    assert odds(full, "paid") == {
        "c": ("0.05 (5%)", "1 in 20"),
        "d": ("0.03 (3%)", "about 1 in 33.34"),
        "no": ("0.12 (12%)", "about 1 in 8.334"),
        "the rest of the draws": ("0.8 (80%)", "1 in 1.25"),
    }


def test_odds_that_leave_nothing_have_no_rest(base, read):
    base["pool"] = [
        {"id": "a", "draw": "odds", "prize": [{"id": "m", "kind": "points", "amount": 1, "odds": "1"}]}
    ]
    assert odds(read(base), "a") == {"m": ("1 (100%)", "1 in 1")}


def test_the_smallest_odds_are_written_out(base, read):
    base["pool"] = [
        {"id": "a", "draw": "odds",
         "prize": [{"id": "m", "kind": "points", "amount": 1, "odds": "0.000000000000004"}]}
    ]  # fmt: skip
    assert odds(read(base), "a") == {
        "m": ("0.000000000000004 (0.0000000000004%)", "1 in 250,000,000,000,000"),
        "the rest of the draws": ("0.999999999999996 (99.9999999999996%)", "about 1 in 1.001"),
    }


def test_odds_of_a_deck_are_its_pieces(full):
    assert odds(full, "deck") == {
        "phone": ("3/100,000 (0.003%)", "about 1 in 33,333.34"),
        "lucky": ("2,000/100,000 (2%)", "1 in 50"),
        "go": ("1/100,000 (0.001%)", "1 in 100,000"),
        "thanks": ("97,996/100,000 (97.996%)", "about 1 in 1.021"),
    }
    assert odds(full, "shared") == {
        "small": ("2/3 (about 66.66%)", "1 in 1.5"),
        "none": ("1/3 (about 33.33%)", "1 in 3"),
    }
    assert odds(full, "locked") == {"small": ("2/2 (100%)", "1 in 1")}


def test_an_entry_that_always_wins_has_no_odds(full):
    assert odds(full, "all") == {
        "small": ("every entry while there is any left", "–"),
        "p": ("every entry once those above have run out", "–"),
    }


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=12))
def test_a_decks_odds_are_exact_and_a_decimal_is_never_more_than_they_are(read, stocks):
    document = every_feature()
    prize = [{"id": f"p{at}", "kind": "points", "amount": 1, "stock": n} for at, n in enumerate(stocks)]
    document["pool"] = [{"id": "a", "draw": "deck", "prize": prize}]
    document["campaign"].pop("budget")
    told = odds(read(document), "a")
    total = Fraction()
    for at, n in enumerate(stocks):
        exact, percent = re.fullmatch(r"([0-9,/]+) \((.+)%\)", told[f"p{at}"][0]).groups()
        wins, draws = (int(part.replace(",", "")) for part in exact.split("/"))
        assert (wins, draws) == (n, sum(stocks))
        total += Fraction(wins, draws)
        shown = Fraction(percent.removeprefix("about ")) / 100
        if percent.startswith("about "):
            assert 0 < shown < Fraction(wins, draws)
            assert Fraction(wins, draws) - shown < Fraction(1, 1000) * Fraction(wins, draws)
        else:
            assert shown == Fraction(wins, draws)
        n_shown = Fraction(told[f"p{at}"][1].replace("about ", "").removeprefix("1 in ").replace(",", ""))
        assert 1 / n_shown <= Fraction(wins, draws)
    assert total == 1


# Nothing is missing, in either language.


def yuan(fen):
    return f"{fen // 100:,}.{fen % 100:02}"


def amounts(prize):
    """What must stand in the row of a prize, as one win gives it."""
    match prize.kind:
        case "none":
            return []
        case "cash" if isinstance(prize.amount, Spread):
            return [yuan(fen) for fen in (prize.amount.min, prize.amount.max, prize.amount.total)]
        case "cash":
            return [yuan(prize.amount)]
    return [f"{prize.amount:,}"]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_prize_is_there_with_its_amount_and_quantity(any_document, read, data):
    file = read(data.draw(any_document))
    for language in LANGUAGES:
        made = page(file, language, "1f2e")
        shown = [table for table in tables(made) if len(table.head) == 7]
        assert len(shown) == len(file.pool)
        for pool, table in zip(file.pool, shown, strict=True):
            assert pool.id in table.caption
            for prize, row in zip(pool.prize, table.rows, strict=False):
                assert row[0] == prize.id
                assert row[4] == (f"{prize.stock:,}" if prize.stock else words_of(language)["prize.no_stock"])
                assert all(amount in row[2] for amount in amounts(prize))
                if prize.kind in ("physical", "coupon") and prize.value:
                    assert yuan(prize.value) in row[3]
        text = Strict.read(html(made)).text()
        for said in (file.campaign.title, file.campaign.organiser, *file.campaign.claim_rules.split("\n")):
            assert said.strip(" \t") in text


def test_both_languages_have_the_same_tables(full, paint):
    for file in (full, parse(paint)):
        zh, en = (page(file, language) for language in LANGUAGES)
        assert len(zh.sections) == len(en.sections)
        for ours, theirs in zip(zh.sections, en.sections, strict=True):
            assert len(ours.paragraphs) == len(theirs.paragraphs)
            assert [(len(table.head), len(table.rows)) for table in ours.tables] == [
                (len(table.head), len(table.rows)) for table in theirs.tables
            ]
        for ours, theirs in zip(tables(zh), tables(en), strict=True):
            assert len(ours.head) == len(set(ours.head))
            assert all(len(row) == len(ours.head) for row in (*ours.rows, *theirs.rows))
            if len(ours.head) == 7:
                numbers = [[re.findall("[0-9][0-9.,/]*", cell) for cell in row[4:6]] for row in ours.rows]
                assert numbers == [
                    [re.findall("[0-9][0-9.,/]*", cell) for cell in row[4:6]] for row in theirs.rows
                ]


def test_both_languages_have_the_same_words_and_names():
    zh, en = words_of("zh"), words_of("en")
    assert zh.keys() - en.keys() == {"number.yuan"}
    assert en.keys() <= zh.keys()

    def names(word):
        forms = [word] if isinstance(word, str) else word
        return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}

    for key, word in en.items():
        assert names(zh[key]) == names(word), key
        assert isinstance(zh[key], list) == isinstance(word, list), key


# No text is markup.


class Strict(HTMLParser):
    """Reads a page, every tag of which must be closed in its turn, and keeps its tables and paragraphs."""

    VOID = ("meta", "br")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []
        self.cells, self.paragraphs, self.title, self.words = [], [], "", []

    @classmethod
    def read(cls, text):
        parser = cls()
        parser.feed(text)
        parser.close()
        assert parser.open == []
        return parser

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag == "table":
            self.cells.append([])
        elif tag == "tr":
            self.cells[-1].append([])
        elif tag in ("th", "td"):
            self.cells[-1][-1].append("")
        elif tag == "p":
            self.paragraphs.append("")
        elif tag == "br":
            self.paragraphs[-1] += "\n"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag not in self.VOID
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        raise AssertionError(f"<{tag}/>")

    def handle_comment(self, data):
        raise AssertionError(f"<!--{data}-->")

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if self.open and self.open[-1] in ("th", "td"):
            self.cells[-1][-1][-1] += data
        elif self.open and self.open[-1] == "p":
            self.paragraphs[-1] += data
        elif self.open and self.open[-1] == "title":
            self.title += data

    def text(self):
        return "\n".join(self.words)


def said_in_html(made):
    """An HTML page's title, paragraphs and tables, after what must hold of every page."""
    text = html(made)
    read = Strict.read(text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert set(read.seen) <= {
        "html", "head", "meta", "title", "style", "body", "main", "section", "div",
        "h1", "h2", "p", "br", "table", "caption", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert not {name for name, _ in read.attributes} & {"src", "href", "style", "srcset", "action"}
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    return read.title, read.paragraphs, read.cells


def said_in_markdown(made):
    """The same of the Markdown page: nothing in it may be more than text in paragraphs and tables."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown(made))
    title, paragraphs, cells = "", [], []
    for before, token in pairwise(tokens):
        if before.type == "table_open":
            cells.append([])
        if before.type == "tr_open":
            cells[-1].append([])
        if token.type != "inline":
            continue
        assert {child.type for child in token.children} <= {"text", "hardbreak"}, token.content
        text = "".join("\n" if child.type == "hardbreak" else child.content for child in token.children)
        if before.type in ("th_open", "td_open"):
            cells[-1][-1].append(text)
        elif before.type == "paragraph_open":
            paragraphs.append(text)
        elif before.tag == "h1":
            title = text
    kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}
    assert kinds <= {"heading", "paragraph", "inline", "table", "thead", "tbody", "tr", "th", "td"}
    return title, paragraphs, cells


def trimmed(text):
    """Without the spaces at the ends of lines, which Markdown does not keep."""
    return "\n".join(line.strip() for line in text.strip().split("\n"))


def is_said_by_both(made):
    expected_cells = [[list(table.head), *map(list, table.rows)] for table in tables(made)]
    paragraphs = [text for section in made.sections for text in section.paragraphs]
    assert said_in_html(made) == (made.title, paragraphs, expected_cells)
    title, said, cells = said_in_markdown(made)
    captions = [table.caption for table in tables(made)]
    assert trimmed(title) == trimmed(made.title)
    assert [trimmed(text) for text in said if text not in captions] == [trimmed(text) for text in paragraphs]
    assert [[[trimmed(cell) for cell in row] for row in table] for table in cells] == [
        [[trimmed(cell) for cell in row] for row in table] for table in expected_cells
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text(read, text):
    for language in LANGUAGES:
        is_said_by_both(page(read(every_feature(text)), language))


LINE = st.text(
    st.sampled_from(string.punctuation + " \u3000\xa0\u2028ab1www.")
    | st.characters(exclude_categories=["C"]),
    min_size=1,
    max_size=40,
).filter(lambda text: text[:32].strip())


@settings(max_examples=50, deadline=None)
@given(LINE, st.lists(LINE | st.sampled_from(["", " ", "\t", "    code", "---", "===", "| - |", ": x"])))
def test_any_text_stays_text(read, text, lines):
    document = every_feature(text)
    document["campaign"]["claim_rules"] = "\n".join(["x", *lines])
    is_said_by_both(page(read(document), "en"))


def test_addresses_are_no_links(full):
    text = markdown(page(full, "en"))
    assert "https\\://x.example" in text
    assert "https://" not in text


def test_the_html_is_for_everybody(full):
    for language, tag in (("zh", "zh-CN"), ("en", "en")):
        text = html(page(full, language))
        assert f'<html lang="{tag}">' in text
        assert text.count("<table>") == text.count("<caption>") == text.count("<thead>")
        assert "<th>" not in text  # each says whether it heads a row or a column
        assert text.count("<h1>") == 1
        assert "@media print" in text
        assert "default-src 'none'" in text


def test_pages_end_with_one_newline(full):
    for text in (html(page(full, "en")), markdown(page(full, "zh"))):
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


@pytest.mark.parametrize(
    ("game", "language", "shown"),
    [
        ("wheel", "en", "wheel"),
        ("wheel", "zh", "大转盘"),
        ("scratch-card", "zh", "刮刮卡"),
        ("own", "zh", "own"),
    ],
)
def test_a_game_has_its_name_in_each_language(base, read, game, language, shown):
    base["pool"][1]["game"] = game
    tables = [table for section in page(read(base), language).sections for table in section.tables]
    assert shown in [row[1] for table in tables for row in table.rows]


def test_a_prizes_title_stands_on_the_page(base, read):
    base["pool"][1]["prize"][0]["title"] = "A phone | <b>"
    tables = [table for section in page(read(base), "en").sections for table in section.tables]
    assert "A phone | <b> (phone)" in [row[0] for table in tables for row in table.rows]
