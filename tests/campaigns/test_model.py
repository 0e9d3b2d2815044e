"""Every line of a campaign file: what is missing, of a wrong type or out of bounds is told with its path."""

from datetime import date, datetime, time, timedelta

import pytest

from scanner.campaigns import CampaignFileError
from scanner.campaigns.entry import Daily, Entry, Limits, Window
from scanner.campaigns.expected import Table
from scanner.campaigns.fields import duration_text
from scanner.campaigns.model import Campaign, CampaignFile, Pool, Price, Product
from scanner.campaigns.prizes import Blank, Cash, Chance, Coupon, Physical, Points, Prize, Spread

GONE = object()
HOUR_MS = 3_600_000
TABLES = [CampaignFile, Campaign, Limits, Product, Pool, Price, Entry, Window, Daily, Spread]
TABLES += [Cash, Points, Coupon, Physical, Chance, Blank]
NAME = "expected 1 to 32 of a-z, 0-9 and hyphen, in quotes, got "
TITLE = "expected 1 to 200 characters on one line, in quotes, got "
RULES = "expected 1 to 4000 characters of text in quotes, got "
LABEL = "expected 1 to 32 characters of text in quotes, got "
CURRENCY = 'expected an ISO 4217 code of three letters, such as "CNY", got '
ZONE = 'expected a time zone of the IANA database, such as "Asia/Shanghai", got '
TIME = "expected a date and time with an offset, such as 2027-03-01T00:00:00+08:00, without quotes, got "
LOCAL = (
    "expected a time with its offset from UTC, such as 2027-03-01T00:00:00+08:00,"
    " because a local time says no moment, got "
)
MONEY = 'expected an amount of money in quotes, such as "0.88", got '
UNITS = "expected a whole number of units, 1 to 1000000000000000, without quotes, got "
STOCK = "expected a whole number of pieces, 1 to 1000000000000, got "
SCANS = "expected a whole number of scans, 1 to 1000000000, got "
TURNS = "expected a whole number of draws, 1 to 1000, got "
SLOTS = "expected a whole number of slots, 1 to 100, got "
LASTS = 'expected a duration in quotes, such as "5m", "24h" or "7d", got '
CLOCK = 'expected a time of day in quotes, such as "20:00", got '
URL = "expected an https URL of at most 508 characters, in quotes, got "
DRAW = 'expected one of "every", "deck", "odds", "locked" and "shared", got '
KIND = 'expected one of "cash", "points", "coupon", "physical", "chance", "none", got '
COUPON = "expected a coupon code of 1 to 64 characters without spaces, in quotes, got "
ODDS = 'expected odds in quotes, such as "0.05", above 0, at most 1 and with at most 18 decimals, got '
GTIN = 'expected a GTIN of 14 digits in quotes, such as "06901234567892", got '
CHECK = "expected a GTIN whose last digit is the check digit of the others, got "

POINTS, CASH, PHONE, BLANK = "pool[0].prize[1]", "pool[1].prize[1]", "pool[1].prize[0]", "pool[1].prize[2]"
WHEEL, TURN = "pool[2].prize[0]", "pool[3].prize[0]"
WINDOWS = "pool[3].entry.windows"


@pytest.fixture
def base(base):
    """The base with a product, and a pool whose entry and prize have what the others lack."""
    base["product"] = [{"gtin": "06901234567892", "title": "White"}]
    moment = base["campaign"]["starts"]
    base["pool"] += [
        {
            "id": "rain",
            "draw": "every",
            "entry": {
                "windows": [
                    {"from": moment, "until": moment + timedelta(hours=1)},
                    {"daily": "20:00", "lasts": "5m"},
                ]
            },
            "prize": [{"id": "turn", "kind": "chance", "pool": "paid"}],
        },
        {
            "id": "paid",
            "draw": "odds",
            "entered_by": "draw",
            "price": {"points": 100},
            "prize": [{"id": "p", "kind": "points", "amount": 500, "odds": "0.1"}],
        },
    ]
    return base


MISSING = [
    ("campaign.id", NAME),
    ("campaign.title", TITLE),
    ("campaign.organiser", TITLE),
    ("campaign.claim_rules", RULES),
    ("campaign.currency", CURRENCY),
    ("campaign.timezone", ZONE),
    ("campaign.starts", TIME),
    ("campaign.ends", TIME),
    ("pool[0].id", NAME),
    ("pool[0].draw", DRAW),
    ("pool[0].prize", "expected a list, got "),
    (f"{POINTS}.id", NAME),
    (f"{POINTS}.kind", KIND),
    (f"{POINTS}.amount", UNITS),
    (f"{CASH}.amount", MONEY),
    (f"{CASH}.stock", "expected a stock, because a deck pool holds exactly what it is given, got "),
    (f"{PHONE}.value", MONEY),
    (f"{WHEEL}.coupon", COUPON),
    (f"{WHEEL}.odds", 'expected odds in quotes, such as "0.05", because the pool draws by odds, got '),
    ("product[0].gtin", GTIN),
    ("product[0].title", TITLE),
    (f"{WINDOWS}[0].from", TIME),
    (f"{WINDOWS}[0].until", TIME),
    (f"{WINDOWS}[1].lasts", LASTS),
    (f"{TURN}.pool", NAME),
    ("pool[4].price.points", UNITS),
    ("campaign", "expected a table, got "),
    ("pool", "expected a list, got "),
]


@pytest.mark.parametrize(("path", "expected"), MISSING)
def test_missing(base, read, path, expected):
    put(base, path, GONE)
    assert problems(read, base) == [f"{path}: {expected}nothing"]


def test_every_required_key_has_a_case():
    # A window without its time of day is no daily one; `total` is among the spreads below.
    cases = {path.rpartition(".")[2] for path, _ in MISSING} | {"daily", "min", "max", "total"}
    required = {
        info.alias or name
        for table in TABLES
        for name, info in table.model_fields.items()
        if info.is_required()
    }
    assert required <= cases


WRONG = [
    ("campaign", 3, "expected a table, got 3"),
    ("limits", [], "expected a table, got a list"),
    ("pool", {}, "expected a list, got a table"),
    ("pool", [], "expected at least one, got an empty list"),
    ("pool[1]", "lucky", 'expected a table, got "lucky"'),
    ("pool[1].prize", [], "expected at least one, got an empty list"),
    ("pool[1].prize[2]", 3, "expected a table, got 3"),
    ("campaign.id", "", NAME + '""'),
    ("campaign.id", "Spring", NAME + '"Spring"'),
    ("campaign.id", "spring_1", NAME + '"spring_1"'),
    ("campaign.id", "spring\n", NAME + '"spring\\n"'),
    ("campaign.id", "a" * 33, NAME + f'"{"a" * 33}"'),
    ("campaign.id", 7, NAME + "7"),
    ("campaign.id", 2**70, NAME + "a number beyond 64 bits"),
    ("campaign.title", "", TITLE + '""'),
    ("campaign.title", " \t", TITLE + '" \\t"'),
    ("campaign.title", "a\nb", TITLE + '"a\\nb"'),
    ("campaign.title", "x" * 201, TITLE + '"' + "x" * 59 + "…"),
    ("campaign.title", True, TITLE + "true"),
    ("campaign.organiser", "", TITLE + '""'),
    ("campaign.organiser", 1.5, TITLE + "1.5"),
    ("campaign.claim_rules", "\n", RULES + '"\\n"'),
    ("campaign.claim_rules", "x" * 4001, RULES + '"' + "x" * 59 + "…"),
    ("campaign.claim_rules", "a\x07", RULES + '"a\\u0007"'),
    ("campaign.currency", "cny", CURRENCY + '"cny"'),
    ("campaign.currency", "YUAN", CURRENCY + '"YUAN"'),
    ("campaign.currency", 156, CURRENCY + "156"),
    ("campaign.timezone", "", ZONE + '""'),
    ("campaign.timezone", "Asia", ZONE + '"Asia"'),
    ("campaign.timezone", "Asia/Nowhere", ZONE + '"Asia/Nowhere"'),
    ("campaign.timezone", "../UTC", ZONE + '"../UTC"'),
    ("campaign.timezone", "\x00", ZONE + '"\\u0000"'),
    ("campaign.timezone", "+08:00", ZONE + '"+08:00"'),
    ("campaign.timezone", 8, ZONE + "8"),
    ("campaign.starts", datetime(2027, 3, 1), LOCAL + "2027-03-01T00:00:00"),  # noqa: DTZ001
    ("campaign.starts", date(2027, 3, 1), TIME + "2027-03-01"),
    ("campaign.starts", "2027-03-01T00:00:00+08:00", TIME + '"2027-03-01T00:00:00+08:00"'),
    ("campaign.starts", 1803859200, TIME + "1803859200"),
    ("limits", {"per_day": 0}, ("limits.per_day", SCANS + "0")),
    ("limits", {"per_day": True}, ("limits.per_day", SCANS + "true")),
    ("limits", {"total": "500"}, ("limits.total", SCANS + '"500"')),
    ("limits", {"total": 10**9 + 1}, ("limits.total", SCANS + "1000000001")),
    ("pool[1].id", "points", 'expected an id that no other pool has, got "points"'),
    ("pool[1].id", "Lucky", NAME + '"Lucky"'),
    ("limits", {"per_hour": 3}, ("limits.per_hour", "expected one of per_day, total, got an unknown key")),
    ("campaign.contact", "", TITLE + '""'),
    ("campaign.contact", "a\nb", TITLE + '"a\\nb"'),
    ("campaign.budget", 38000, MONEY + "38000"),
    ("campaign.budget", "0", 'expected more than 0 and at most 10000000000000.00, got "0"'),
    ("product", {}, "expected a list, got a table"),
    ("product", [], "expected at least one, got an empty list"),
    ("product[0].gtin", "9" * 14, CHECK + f'"{"9" * 14}"'),
    ("product[0].title", "", TITLE + '""'),
    ("product[0].url", "http://example.com", URL + '"http://example.com"'),
    ("product[0].url", "https://", URL + '"https://"'),
    ("product[0].url", "https://example.com/a b", URL + '"https://example.com/a b"'),
    ("product[0].url", "https://" + "a" * 501, URL + '"https://' + "a" * 51 + "…"),
    ("pool[1].draw", "chance", DRAW + '"chance"'),
    ("pool[1].entered_by", "friend", 'expected one of "scan" and "draw", got "friend"'),
    ("pool[4].price", 100, "expected a table, got 100"),
    ("pool[4].price.points", 0, UNITS + "0"),
    ("pool[1].slots", 0, SLOTS + "0"),
    ("pool[1].slots", 101, SLOTS + "101"),
    ("pool[1].giver", "middle", 'expected one of "first" and "last", got "middle"'),
    ("pool[1].open_for", 24, LASTS + "24"),
    ("pool[1].open_for", "24", LASTS + '"24"'),
    ("pool[1].open_for", "1.5h", LASTS + '"1.5h"'),
    ("pool[1].open_for", "0m", LASTS + '"0m"'),
    ("pool[1].open_for", "05m", LASTS + '"05m"'),
    ("pool[1].open_for", "5 m", LASTS + '"5 m"'),
    ("pool[1].open_for", "5w", LASTS + '"5w"'),
    ("pool[1].open_for", "٣m", LASTS + '"٣m"'),
    ("pool[1].open_for", "1h30m", LASTS + '"1h30m"'),
    ("pool[1].expires_after", "367d", 'expected at most "366d", got "367d"'),
    ("pool[1].expires_after", "9999999h", 'expected at most "366d", got "9999999h"'),
    ("pool[1].limits", [], "expected a table, got a list"),
    ("pool[1].limits", {"per_day": 0}, ("pool[1].limits.per_day", SCANS + "0")),
    (WINDOWS, [], "expected at least one, got an empty list"),
    (f"{WINDOWS}[1]", "20:00", 'expected a table, got "20:00"'),
    (f"{WINDOWS}[1].daily", time(20), CLOCK + "20:00:00"),
    (f"{WINDOWS}[1].daily", "8pm", CLOCK + '"8pm"'),
    (f"{WINDOWS}[1].daily", "8:00", CLOCK + '"8:00"'),
    (f"{WINDOWS}[1].daily", "24:00", CLOCK + '"24:00"'),
    (f"{WINDOWS}[1].daily", "20:60", CLOCK + '"20:60"'),
    (f"{WINDOWS}[1].daily", "20:00:60", CLOCK + '"20:00:60"'),
    (f"{WINDOWS}[1].daily", "20:00+08:00", CLOCK + '"20:00+08:00"'),
    (f"{WINDOWS}[1].lasts", 300, LASTS + "300"),
    (
        f"{WINDOWS}[1].lasts",
        "79201s",
        'expected at most "22h", so that a window ends before the next one begins, got "79201s"',
    ),
    (f"{TURN}.amount", 0, TURNS + "0"),
    (f"{TURN}.amount", 1001, TURNS + "1001"),
    (f"{TURN}.pool", "Paid", NAME + '"Paid"'),
    (f"{WHEEL}.value", 5, MONEY + "5"),
    ("pool[1].draw", 1, DRAW + "1"),
    ("pool[1].game", "", NAME + '""'),
    ("pool[1].game", "Scratch card", NAME + '"Scratch card"'),
    ("pool[1].beneficiary", "dealer", 'expected one of "member", "seller" and "inviter", got "dealer"'),
    ("pool[1].beneficiary", ["seller"], 'expected one of "member", "seller" and "inviter", got a list'),
    ("pool[1].budget", "0.00", 'expected more than 0 and at most 10000000000000.00, got "0.00"'),
    ("pool[1].budget", 38000, MONEY + "38000"),
    ("pool[1].entry", "worker", 'expected a table, got "worker"'),
    ("pool[1].entry", {"roles": "worker"}, ("pool[1].entry.roles", 'expected a list, got "worker"')),
    ("pool[1].entry", {"roles": []}, ("pool[1].entry.roles", "expected at least one, got an empty list")),
    ("pool[1].entry", {"roles": ["r"] * 101}, ("pool[1].entry.roles", "expected at most 100, got more")),
    ("pool[1].entry", {"roles": ["a", ""]}, ("pool[1].entry.roles[1]", LABEL + '""')),
    ("pool[1].entry", {"tiers": ["x" * 33]}, ("pool[1].entry.tiers[0]", LABEL + f'"{"x" * 33}"')),
    ("pool[1].entry", {"tiers": [3]}, ("pool[1].entry.tiers[0]", LABEL + "3")),
    ("pool[1].entry", {"channels": ["WeiXin"]}, ("pool[1].entry.channels[0]", NAME + '"WeiXin"')),
    ("pool[1].entry", {"products": ["690"]}, ("pool[1].entry.products[0]", GTIN + '"690"')),
    ("pool[1].entry", {"products": [6901234567892]}, ("pool[1].entry.products[0]", GTIN + "6901234567892")),
    ("pool[1].entry", {"products": ["9" * 14]}, ("pool[1].entry.products[0]", CHECK + f'"{"9" * 14}"')),
    ("pool[1].entry", {"windows": [{}]}, ("pool[1].entry.windows[0].from", TIME + "nothing")),
    ("pool[1].prize[1].id", "phone", 'expected an id that no other prize of this pool has, got "phone"'),
    ("pool[1].prize[1].id", "CASH", NAME + '"CASH"'),
    (f"{CASH}.kind", "voucher", KIND + '"voucher"'),
    (f"{CASH}.kind", ["cash"], KIND + "a list"),
    (f"{CASH}.stock", 0, STOCK + "0"),
    (f"{CASH}.stock", -1, STOCK + "-1"),
    (f"{CASH}.stock", 1.0, STOCK + "1.0"),
    (f"{CASH}.stock", "200", STOCK + '"200"'),
    (f"{CASH}.stock", 10**12 + 1, STOCK + "1000000000001"),
    (f"{CASH}.odds", "0.5", 'expected no odds with draw = "deck", got "0.5"'),
    ("pool[0].prize[0].odds", "0.5", 'expected no odds with draw = "every", got "0.5"'),
    (f"{POINTS}.amount", 0, UNITS + "0"),
    (f"{POINTS}.amount", "50", UNITS + '"50"'),
    (f"{POINTS}.amount", "0.88", UNITS + '"0.88"'),
    (f"{POINTS}.amount", 10**15 + 1, UNITS + "1000000000000001"),
    (f"{PHONE}.amount", 0, UNITS + "0"),
    (f"{PHONE}.value", 7999, MONEY + "7999"),
    (f"{WHEEL}.amount", 0, UNITS + "0"),
    (f"{WHEEL}.coupon", "", COUPON + '""'),
    (f"{WHEEL}.coupon", "SPRING 10", COUPON + '"SPRING 10"'),
    (f"{WHEEL}.coupon", "x" * 65, COUPON + '"' + "x" * 59 + "…"),
    (f"{WHEEL}.odds", 0.05, ODDS + "0.05"),
    (f"{WHEEL}.odds", 1, ODDS + "1"),
    (f"{WHEEL}.odds", "5%", ODDS + '"5%"'),
    (f"{WHEEL}.odds", "-0.1", ODDS + '"-0.1"'),
    (f"{WHEEL}.odds", "1e-3", ODDS + '"1e-3"'),
    (f"{WHEEL}.odds", "0." + "0" * 18 + "1", ODDS + '"0.0000000000000000001"'),
    (f"{WHEEL}.odds", "1.01", 'expected odds of at most 1, got "1.01"'),
    (f"{WHEEL}.odds", "0", 'expected odds of at least 1 in 2^48, the finest step of a draw, got "0"'),
    (
        f"{WHEEL}.odds",
        "0.000000000000003",
        'expected odds of at least 1 in 2^48, the finest step of a draw, got "0.000000000000003"',
    ),
    (
        "pool[2].prize[1].odds",
        "0.950000000000000001",
        'expected odds that add up to at most 1 in a pool, got "0.950000000000000001"',
    ),
    (
        "pool[0].prize[0]",
        {"id": "thanks", "kind": "none", "stock": 5},
        (
            "pool[0].prize[0].kind",
            'expected a kind that gives something, because draw = "every" has no losers, got "none"',
        ),
    ),
    (
        "pool[0].prize[0].stock",
        GONE,
        (
            "pool[0].prize[1].id",
            'expected no prize behind "cash", which never runs out and so is always won first, got "p50"',
        ),
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), WRONG)
def test_wrong(base, read, path, value, expected):
    put(base, path, value)
    where, sentence = expected if isinstance(expected, tuple) else (path, expected)
    found = problems(read, base)
    assert f"{where}: {sentence}" in found
    assert len(found) == 1 or where.endswith(".from")


POOL_KEYS = (
    "id, draw, entered_by, price, slots, open_for, giver, expires_after, game, beneficiary, entry, limits,"
    " budget, prize"
)


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("colour", "campaign, limits, product, pool"),
        (
            "campaign.colour",
            "id, title, organiser, contact, claim_rules, currency, timezone, starts, ends, budget",
        ),
        ("limits.colour", "per_day, total"),
        ("product[0].colour", "gtin, title, url"),
        ("pool[1].colour", POOL_KEYS),
        ("pool[1].cash", POOL_KEYS),
        ("pool[1].limits.colour", "per_day, total"),
        ("pool[4].price.colour", "points"),
        (f"{WINDOWS}[0].lasts", "from, until"),
        (f"{WINDOWS}[1].until", "daily, lasts"),
        ("pool[1].entry.colour", "roles, tiers, products, channels, windows"),
        (f"{CASH}.value", "id, title, stock, odds, kind, amount"),
        (f"{CASH}.cash", "id, title, stock, odds, kind, amount"),
        (f"{CASH}.coupon", "id, title, stock, odds, kind, amount"),
        (f"{POINTS}.value", "id, title, stock, odds, kind, amount"),
        (f"{WHEEL}.colour", "id, title, stock, odds, kind, coupon, value, amount"),
        (f"{TURN}.coupon", "id, title, stock, odds, kind, pool, amount"),
        (f"{PHONE}.coupon", "id, title, stock, odds, kind, value, amount"),
        (f"{BLANK}.amount", "id, title, stock, odds, kind"),
        (f"{BLANK}.value", "id, title, stock, odds, kind"),
    ],
)
def test_unknown_keys_are_refused_with_the_known_ones(base, read, path, known):
    base["limits"] = {"per_day": 20}
    base["pool"][1] |= {"entry": {"roles": ["worker"]}, "limits": {"per_day": 20}}
    put(base, path, 1)
    assert problems(read, base) == [f"{path}: expected one of {known}, got an unknown key"]


def test_ends_lie_after_the_start(base, read):
    base["campaign"]["ends"] = base["campaign"]["starts"]
    assert problems(read, base) == [
        "campaign.ends: expected a time after campaign.starts, got 2027-03-01T00:00:00+08:00"
    ]
    base["campaign"]["ends"] += timedelta(milliseconds=1)
    assert read(base)


def test_times_are_whole_milliseconds_of_this_millennium(base, read):
    starts = base["campaign"]["starts"]
    base["campaign"]["starts"] = starts.replace(microsecond=1500)
    assert problems(read, base) == [
        "campaign.starts: expected a time in whole milliseconds, got 2027-03-01T00:00:00.001500+08:00"
    ]
    base["campaign"]["starts"] = starts.replace(year=1)
    assert problems(read, base) == [
        "campaign.starts: expected a year from 2000 to 2999, got 0001-03-01T00:00:00+08:00"
    ]


def test_windows_end_after_they_begin(base, read):
    starts = base["campaign"]["starts"]
    good, bad = {"from": starts, "until": starts + timedelta(hours=1)}, {"from": starts, "until": starts}
    base["pool"][1]["entry"] = {"windows": [good, bad]}
    assert problems(read, base) == [
        "pool[1].entry.windows[1].until: expected a time after this window's from,"
        " got 2027-03-01T00:00:00+08:00"
    ]
    base["pool"][1]["entry"] = {"windows": [good]}
    (window,) = read(base).pool[1].entry.windows
    assert (window.from_, window.until) == (good["from"], good["until"])


def test_daily_windows_are_read_in_ms(base, read):
    _, window = read(base).pool[3].entry.windows
    assert (window.daily, window.lasts) == (time(20), 300_000)
    put(base, f"{WINDOWS}[1]", {"daily": "23:59:59", "lasts": "22h"})
    _, window = read(base).pool[3].entry.windows
    assert (window.daily, window.lasts) == (time(23, 59, 59), 22 * HOUR_MS)


@pytest.mark.parametrize(
    ("written", "ms"),
    [("1s", 1000), ("90s", 90_000), ("5m", 300_000), ("24h", 24 * HOUR_MS), ("366d", 366 * 24 * HOUR_MS)],
)
def test_durations_are_read_in_ms(base, read, written, ms):
    base["pool"][1] |= {"draw": "locked", "expires_after": written}
    base["pool"][1]["prize"].pop()
    assert read(base).pool[1].expires_after == ms


def test_a_duration_is_written_in_its_largest_whole_unit():
    written = {1000: "1s", 61_000: "61s", 60_000: "1m", 5_400_000: "90m", HOUR_MS: "1h", 172_800_000: "2d"}
    assert {ms: duration_text(ms) for ms in written} == written


@pytest.mark.parametrize(
    ("spread", "stock", "problem"),
    [
        ({"min": "1.00", "max": "20.00", "total": "10000.00"}, 2000, None),
        ({"min": "1.00", "max": "1.01", "total": "3.01"}, 3, None),
        ({"min": "1.00", "max": "1.01", "total": "1.00"}, 1, None),
        ({"min": "1.00", "max": "20.00"}, 9, (".total", MONEY + "nothing")),
        ({"min": "1.00", "max": "20.00", "total": 90}, 9, (".total", MONEY + "90")),
        (
            {"min": "1.00", "max": "1.00", "total": "9.00"},
            9,
            (".max", 'expected more than min; write a plain amount if all are alike, got "1.00"'),
        ),
        (
            {"min": "1.00", "max": "2.00", "total": "8.99"},
            9,
            ("", "expected a total that 9 amounts between min and max can add up to, got a table"),
        ),
        (
            {"min": "1.00", "max": "2.00", "total": "18.01"},
            9,
            ("", "expected a total that 9 amounts between min and max can add up to, got a table"),
        ),
        (
            {"min": "1.00", "max": "2.00", "total": "5.00", "mean": "1.00"},
            4,
            (".mean", "expected one of min, max, total, got an unknown key"),
        ),
    ],
)
def test_a_total_is_checked_against_its_bounds(base, read, spread, stock, problem):
    base["pool"][1]["prize"][1] |= {"amount": spread, "stock": stock}
    expected = [] if problem is None else [f"{CASH}.amount{problem[0]}: {problem[1]}"]
    assert problems(read, base) == expected


def test_a_total_needs_a_stock(base, read):
    spread = {"min": "1.00", "max": "2.00", "total": "9.00"}
    base["pool"][2]["prize"][1] = {"id": "money", "kind": "cash", "amount": spread, "odds": "0.1"}
    assert problems(read, base) == [
        "pool[2].prize[1].amount: expected a stock beside min, max and total,"
        " because it says how many amounts there are, got a table"
    ]


def test_odds_add_up_to_at_most_one_exactly(base, read):
    tenths = [{"id": f"p{n}", "kind": "none", "odds": "0.1"} for n in range(10)]
    base["pool"][2]["prize"] = tenths
    assert read(base)
    base["pool"][2]["prize"] = [*tenths, {"id": "more", "kind": "none", "odds": "0.000000000000004"}]
    assert problems(read, base) == [
        'pool[2].prize[10].odds: expected odds that add up to at most 1 in a pool, got "0.000000000000004"'
    ]


def test_numbers_of_pools_and_prizes_are_bounded(base, read):
    def prizes(count):
        return [{"id": f"p{n}", "kind": "points", "amount": 1, "stock": 1} for n in range(count)]

    base["pool"] = [{"id": f"p{n}", "draw": "every", "prize": prizes(1)} for n in range(50)]
    base["pool"][0]["prize"] = prizes(200)
    assert read(base)
    base["pool"][0]["prize"] = prizes(201)
    assert problems(read, base) == ["pool[0].prize: expected at most 200, got more"]
    base["pool"] = [{"id": f"p{n}", "draw": "every", "prize": prizes(1)} for n in range(51)]
    assert problems(read, base) == ["pool: expected at most 50, got more"]


def test_all_problems_are_told_at_once_and_each_once(base, read):
    del base["campaign"]["title"]
    base["pool"][0]["prize"][0]["amount"] = 0.2
    base["pool"][1] |= {"draw": "lottery", "budget": 1}
    base["pool"][1]["prize"][0] |= {"stock": 0, "kind": "voucher"}
    base["pool"][2]["id"] = "points"
    del base["pool"][2]["prize"][0]["odds"]
    assert [problem.partition(":")[0] for problem in problems(read, base)] == [
        "campaign.title",
        "pool[0].prize[0].amount",
        "pool[1].draw",
        "pool[1].budget",
        "pool[1].prize[0].kind",
        "pool[2].id",
        "pool[2].prize[0].odds",
    ]


def test_defaults(base, read):
    file = read(base)
    assert file.limits is None
    pool = file.pool[0]
    assert (pool.game, pool.beneficiary, pool.entry, pool.budget) == (None, "member", None, None)
    assert (pool.entered_by, pool.price, pool.slots, pool.open_for) == (None, None, None, None)
    assert (pool.giver, pool.expires_after, pool.limits) == (None, None, None)
    assert (file.campaign.contact, file.campaign.budget, file.product[0].url) == (None, None, None)
    assert pool.prize[1].stock is None
    assert file.pool[3].prize[0].amount == 1
    assert file.pool[1].prize[0].amount == file.pool[2].prize[0].amount == 1
    assert Entry().roles is None


def test_a_model_is_not_validated_on_its_own():
    with pytest.raises(TypeError, match=r"scanner\.campaigns\.parse"):
        Pool.model_validate({"id": "p"})


def test_no_table_accepts_unknown_keys():
    tables = Table.__subclasses__()
    for table in tables:
        tables += table.__subclasses__()
    assert set(tables) == {*TABLES, Prize}
    assert all(table.model_config["extra"] == "forbid" for table in tables)


def put(document, path, value):
    """Sets the value at a path such as `pool[1].prize[2].amount`, or takes it away."""
    steps = [
        int(step) if step.isdigit() else step for step in path.replace("]", "").replace("[", ".").split(".")
    ]
    *way, last = steps
    for step in way:
        document = document[step]
    if value is GONE:
        del document[last]
    else:
        document[last] = value


def problems(read, document):
    """The problems found in a document, [] if there are none."""
    try:
        read(document)
    except CampaignFileError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize("total", ["9.00", "18.00"], ids=["all-min", "all-max"])
def test_a_total_may_be_that_of_a_bound(base, read, total):
    amount = {"min": "1.00", "max": "2.00", "total": total}
    base["pool"][1]["prize"][1] |= {"amount": amount, "stock": 9}
    assert read(base).pool[1].prize[1].stock == 9
