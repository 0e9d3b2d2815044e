from pathlib import Path

import pytest

from scanner.campaigns import parse
from scanner.campaigns.law import concerns
from scanner.cli.campaign import FILE_MAX_BYTES
from tests.brand import campaign_toml

PAINT = Path(__file__).parents[2] / "examples" / "paint.toml"
DECK = """
[[pool]]
id = "lucky"
draw = "deck"
[[pool.prize]]
id = "phone"
kind = "physical"
value = "7999.00"
stock = {phones}
[[pool.prize]]
id = "thanks"
kind = "none"
stock = 9000
"""


@pytest.fixture
def file(tmp_path):
    """Writes a campaign file."""

    def write(text, name="campaign.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_check_needs_no_store_and_no_keys(typed, file, tmp_path):
    done = typed("--data-dir", tmp_path / "none", "campaign", "check", file(campaign_toml("summer")))
    assert (done.code, done.err) == (0, "")
    assert "campaign summer is well formed, with 1 pools" in done.out
    assert "\nlaw: campaign.contact: " in done.out
    assert not (tmp_path / "none").exists()


def test_check_warns_of_the_law_and_refuses_nothing(typed):
    done = typed("campaign", "check", PAINT)
    assert (done.code, done.err) == (0, "")
    head, *told = done.out.splitlines()
    assert "campaign spring-2027 is well formed, with" in head
    law = concerns(parse(PAINT.read_text("utf-8")))
    assert told == [f"law: {concern.path}: {concern.text} ({concern.rule})" for concern in law]
    assert law
    data = typed("campaign", "check", PAINT, "--json").json
    assert (data["campaign"], data["valid"]) == ("spring-2027", True)
    assert data["law"] == [concern._asdict() for concern in law]


def test_check_tells_that_another_currency_was_not_checked(typed, file):
    path = file(campaign_toml("abroad").replace('"CNY"', '"USD"'))
    (concern,) = typed("campaign", "check", path, "--json").json["law"]
    assert (concern["path"], concern["rule"]) == ("campaign.currency", "规范促销行为暂行规定")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (campaign_toml("Summer!"), "campaign.id: expected"),
        (campaign_toml(pools=""), "pool: expected"),
        (campaign_toml(pools=DECK.format(phones=-3)), "pool[0].prize[0].stock: expected"),
        (campaign_toml() + "[[pool]\n", "syntax error"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "campaign: expected"),
        (b"#" * (FILE_MAX_BYTES + 1), "at most"),
    ],
    ids=["id", "no pool", "stock", "syntax", "encoding", "empty", "large"],
)
@pytest.mark.parametrize("verb", ["check", "apply"])
def test_a_bad_file_is_refused_by_its_path_and_the_lines_path(scanner, file, verb, text, where):
    path = file(text)
    assert scanner("campaign", verb, path).refused(str(path), where)


def test_every_problem_of_a_file_is_told(typed, file):
    done = typed("campaign", "check", file(campaign_toml("A!", DECK.format(phones='"x"'))))
    assert done.refused("campaign.id: ", "pool[0].prize[0].stock: ")


def test_a_file_that_is_not_there_is_refused_by_its_path(typed, tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        assert typed("campaign", "check", path).refused(f"{path} cannot be read: ")


def test_a_bad_file_as_json_is_refused_too(typed, file):
    assert typed("campaign", "check", file(b"x"), "--json").refused("campaign.toml")


def test_what_the_law_warns_of_can_be_applied(scanner):
    assert scanner("campaign", "apply", PAINT) == (0, "campaign spring-2027 is new\n", "")
    assert scanner("campaign", "show", "spring-2027", "--json").json["title"] == "Spring renovation"


def test_apply_puts_a_file_in_force_once(scanner, file):
    path = file(campaign_toml("once", DECK.format(phones=3)))
    assert scanner("campaign", "apply", path) == (0, "campaign once is new\n", "")
    shown = scanner("campaign", "show", "once", "--json").json
    assert "nothing to change" in scanner("campaign", "apply", path).out
    assert scanner("campaign", "show", "once", "--json").json == shown


def test_a_dry_run_changes_nothing(scanner, file):
    path = file(campaign_toml("dry", DECK.format(phones=3)))
    assert scanner("campaign", "apply", path, "--dry-run").out == "campaign dry would be new\n"
    assert scanner("campaign", "show", "dry").refused("no campaign dry")


def test_apply_adds_stock_and_says_so(scanner, file):
    scanner("campaign", "apply", file(campaign_toml("more", DECK.format(phones=3))))
    larger = file(campaign_toml("more", DECK.format(phones=5)))
    dry = scanner("campaign", "apply", larger, "--dry-run")
    assert dry.out.endswith("campaign more would be changed\n")
    done = scanner("campaign", "apply", larger)
    assert done.out == dry.out.replace("would be", "is")
    assert "pool[0].prize[0].stock: from 3 to 5" in done.out
    (prize, _) = scanner("campaign", "show", "more", "--json").json["pools"][0]["prizes"]
    assert prize == {"prize": "phone", "stock": 5, "left": 5}


def test_apply_refuses_what_takes_away(scanner, file):
    scanner("campaign", "apply", file(campaign_toml("less", DECK.format(phones=3))))
    done = scanner("campaign", "apply", file(campaign_toml("less", DECK.format(phones=2))))
    assert done.refused("stock")
    assert scanner("campaign", "show", "less", "--json").json["pools"][0]["prizes"][0]["left"] == 3


def test_show_is_for_people_and_for_programs(scanner, file):
    scanner("campaign", "apply", file(campaign_toml("shown", DECK.format(phones=3))))
    data = scanner("campaign", "show", "shown", "--json").json
    assert (data["id"], data["title"], data["organiser"]) == ("shown", "A test", "Example Paints Co., Ltd.")
    assert (data["starts"], data["pools"][0]["draw"]) == ("2026-01-01T00:00:00+08:00", "deck")
    lines = scanner("campaign", "show", "shown").out.splitlines()
    assert lines[0].split() == ["id", "shown"]
    assert lines[-3:] == [
        "pool\tdraw\tprize\tstock\tleft",
        "lucky\tdeck\tphone\t3\t3",
        "lucky\tdeck\tthanks\t9,000\t9,000",
    ]


def test_a_prize_without_end_is_shown_as_such(scanner, campaign):
    campaign("endless")
    assert scanner("campaign", "show", "endless").out.endswith("points\tevery\tp50\tno limit\tno limit\n")
    (prize,) = scanner("campaign", "show", "endless", "--json").json["pools"][0]["prizes"]
    assert (prize["stock"], prize["left"]) == (None, None)


def test_list_has_every_campaign(scanner, campaign):
    for id in ("zeta", "alpha"):
        campaign(id)
    listed = [row["campaign"] for row in scanner("campaign", "list", "--json").json]
    assert listed == sorted(listed)
    assert {"alpha", "zeta"} <= set(listed)
    rows = [line.split("\t") for line in scanner("campaign", "list").out.splitlines()]
    assert rows[0] == ["campaign", "title", "starts", "ends"]
    assert [row[0] for row in rows[1:]] == listed


def test_a_brand_has_its_own_campaigns(typed, data_dir, campaign):
    campaign("ours")
    assert typed("--data-dir", data_dir, "--brand", "other", "campaign", "list", "--json").json == []
