import csv
import json
import stat

import pytest

from scanner.codes import Keyring, read
from scanner.settings import read_key_file
from tests.brand import PRODUCT


@pytest.fixture
def genuine(data_dir):
    """The (lot, serial) of a code's text, which must be genuine."""

    def ids(texts):
        table = Keyring.parse(read_key_file(data_dir / "keys.json")).table()
        numbers = [table.verify(text.encode()) for text in texts]
        assert min(numbers) >= 0
        return [(number >> 26 & 0xFFFFFF, number & 0x3FFFFFF) for number in numbers]

    return ids


def lots(scanner):
    return [lot["lot"] for lot in scanner("lot", "list", "--json").json]


def minting_kid(scanner):
    return next(key["kid"] for key in scanner("keys", "list", "--json").json if key["mints"])


def test_mint_registers_a_lot_and_writes_its_codes(scanner, mint, genuine, data_dir):
    no, file = mint(count=50)
    assert genuine(file.read_text().splitlines()) == [(no, serial) for serial in range(50)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir() if "codes" in path.name] == [file.name]
    assert scanner("lot", "show", no, "--json").json == {
        "lot": no,
        "campaign": "spring",
        "product": PRODUCT,
        "size": 50,
        "kid": minting_kid(scanner),
        "pin": False,
        "state": "open",
        "active": [],
        "seller": None,
        "claimed": 0,
    }


def test_what_mint_says_names_the_next_step(scanner, campaign, tmp_path):
    options = ["--campaign", campaign(), "--product", PRODUCT, "--count", 1000, "--out", tmp_path / "a"]
    done = scanner("lot", "mint", *options)
    no = lots(scanner)[-1]
    assert (
        done.out == f"lot {no}: 1,000 codes in {tmp_path / 'a'}; `scanner lot activate {no}` makes them win\n"
    )


def test_csv_has_a_column_for_each_form(mint, genuine):
    no, file = mint("--format", "csv", "--pin", "--url", "https://s.example/c/", count=3)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert list(rows[0]) == ["code", "url", "gs1", "lot", "serial", "pin"]
    assert genuine(row["code"] for row in rows) == [(no, 0), (no, 1), (no, 2)]
    assert [(row["lot"], row["serial"]) for row in rows] == [(str(no), str(n)) for n in range(3)]
    for row in rows:
        assert row["url"] == f"https://s.example/c/{row['code']}"
        assert read(row["url"]).code.decode() == row["code"]
        assert row["pin"].isdecimal()
        assert (len(row["pin"]), len(row["gs1"])) == (6, 20)


def test_jsonl_has_an_object_a_line(mint, genuine):
    no, file = mint("--format", "jsonl", count=3)
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [list(record) for record in records] == [["code", "gs1", "lot", "serial"]] * 3
    assert genuine(record["code"] for record in records) == [(no, 0), (no, 1), (no, 2)]
    assert [(record["lot"], record["serial"]) for record in records] == [(no, 0), (no, 1), (no, 2)]


def test_text_may_be_urls(mint):
    _, file = mint("--url", "https://s.example/q?c=", count=2)
    assert all(line.startswith("https://s.example/q?c=") for line in file.read_text().splitlines())


@pytest.mark.parametrize(
    "options",
    [[], ["--format", "csv", "--pin"], ["--format", "jsonl", "--url", "https://s.example"]],
    ids=str,
)
def test_again_writes_the_same_codes_and_no_new_lot(scanner, mint, tmp_path, options):
    no, file = mint(*options, count=20)
    before = lots(scanner)
    again = [option for option in options if option != "--pin"]  # the lot knows that it asks for one
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "again", *again).code == 0
    assert (tmp_path / "again").read_bytes() == file.read_bytes()
    assert lots(scanner) == before


def test_again_after_a_rotation_uses_the_lots_own_key(scanner, mint, tmp_path):
    no, file = mint()
    assert scanner("keys", "rotate").code == 0
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "again").code == 0
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_again_with_a_revoked_key_is_refused(scanner, mint, tmp_path):
    no, _ = mint()
    leaked = minting_kid(scanner)
    scanner("keys", "rotate")
    assert scanner("keys", "revoke", leaked).code == 0
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "x").refused(f"kid {leaked} is revoked")
    assert not (tmp_path / "x").exists()


def test_again_for_an_unknown_lot_is_refused(scanner, tmp_path):
    assert scanner("lot", "mint", "--again", 9999, "--out", tmp_path / "x").refused("there is no lot 9999")
    assert not (tmp_path / "x").exists()


def test_again_for_a_lot_with_pins_needs_a_column_for_them(scanner, mint, tmp_path):
    no, _ = mint("--format", "csv", "--pin")
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "x").refused("--format csv or jsonl")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--product": "06901234567893"}, "not a GTIN-14 with a right check digit"),
        ({"--product": "6901234567892"}, "not a GTIN-14"),
        ({"--product": None}, "are needed"),
        ({"--campaign": None}, "are needed"),
        ({"--count": None}, "are needed"),
        ({"--count": "0"}, "--count"),
        ({"--format": "xml"}, "--format"),
        ({"--pin": ""}, "--pin needs --format csv or jsonl"),
        ({"--out": None}, "--out"),
    ],
    ids=str,
)
def test_wrong_usage_mints_nothing(scanner, campaign, tmp_path, change, words):
    options = {
        "--campaign": campaign(),
        "--product": PRODUCT,
        "--count": "5",
        "--out": tmp_path / "x",
    } | change
    arguments = [
        part for name, value in options.items() if value is not None for part in (name, value) if part
    ]
    before = lots(scanner)
    assert scanner("lot", "mint", *arguments).misused(words)
    assert lots(scanner) == before
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--campaign": "nobody"}, "no campaign nobody"),
        ({"--count": str(2**26 + 1)}, "1 to 67108864 codes"),
        ({"--out": "none/x"}, "not a directory"),
        ({"--out": "there"}, "exists already"),
    ],
    ids=str,
)
def test_what_cannot_be_minted_is_refused_and_leaves_no_lot(scanner, campaign, tmp_path, change, words):
    (tmp_path / "there").write_text("mine")  # the tests run in tmp_path
    options = {"--campaign": campaign(), "--product": PRODUCT, "--count": "5", "--out": "x"} | change
    before = lots(scanner)
    done = scanner("lot", "mint", *(part for option in options.items() for part in option))
    assert done.refused(words)
    assert lots(scanner) == before
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("url", ["ftp://s.example/", "https://s.example/#", "s.example"])
def test_a_prefix_that_codes_could_not_be_read_from_is_wrong_usage(scanner, campaign, url):
    before = lots(scanner)
    options = ("--campaign", campaign(), "--product", PRODUCT, "--count", 5, "--out", "x", "--url", url)
    done = scanner("lot", "mint", *options)
    assert (done.code, "prefix" in done.err) == (2, True)
    assert lots(scanner) == before


def test_lots_are_numbered_and_listed(scanner, mint):
    first, second = mint()[0], mint(count=7000)[0]
    assert second > first
    rows = [line.split("\t") for line in scanner("lot", "list").out.splitlines()]
    assert rows[0] == ["lot", "campaign", "product", "size", "active", "state", "seller"]
    assert rows[-1] == [str(second), "spring", PRODUCT, "7,000", "0", "open", ""]
    assert [row[0] for row in rows[1:]] == [str(no) for no in lots(scanner)]


def test_activate_a_lot_or_a_range_of_it(scanner, mint):
    no, _ = mint(count=100)

    def active():
        return scanner("lot", "show", no, "--json").json["active"]

    assert (
        scanner("lot", "activate", no, "--from", 10, "--to", 19).out
        == f"lot {no}: serials 10 to 19 are active\n"
    )
    assert active() == [[10, 19]]
    scanner("lot", "activate", no, "--from", 20, "--to", 29)
    scanner("lot", "activate", no, "--from", 50)
    assert active() == [[10, 29], [50, 99]]
    assert "active     10 to 29, 50 to 99" in scanner("lot", "show", no).out.replace("active  ", "active   ")
    assert scanner("lot", "activate", no).out == f"lot {no}: serials 0 to 99 are active\n"
    assert active() == [[0, 99]]
    assert (
        scanner("lot", "activate", no, "--from", 5, "--to", 5).out
        == f"lot {no}: serials 5 to 5 were active\n"
    )


@pytest.mark.parametrize("range_", [["--to", 5], ["--from", 5], ["--from", 3, "--to", 2]], ids=str)
def test_only_serials_of_the_lot_can_be_activated(scanner, mint, range_):
    no, _ = mint(count=5)
    assert scanner("lot", "activate", no, *range_).refused("serials 0 to 4")
    assert scanner("lot", "show", no, "--json").json["active"] == []


def test_a_blocked_lot_stays_blocked(scanner, mint):
    no, _ = mint()
    assert scanner("lot", "block", no).out == f"lot {no} is blocked\n"
    assert scanner("lot", "block", no).out == f"lot {no} was blocked\n"
    assert scanner("lot", "show", no, "--json").json["state"] == "blocked"


def test_lots_move_to_another_campaign(scanner, mint, campaign):
    nos = [mint()[0] for _ in range(2)]
    campaign("autumn")
    done = scanner("lot", "move", *nos, "--campaign", "autumn")
    assert done.out.splitlines() == [f"lot {no} belongs to campaign autumn" for no in nos]
    assert [scanner("lot", "show", no, "--json").json["campaign"] for no in nos] == ["autumn"] * 2
    assert "belonged already" in scanner("lot", "move", nos[0], "--campaign", "autumn").out


def test_a_lot_does_not_move_to_where_nothing_is(scanner, mint):
    no, _ = mint()
    assert scanner("lot", "move", no, "--campaign", "nobody").refused("no campaign nobody")
    assert scanner("lot", "show", no, "--json").json["campaign"] == "spring"


@pytest.mark.parametrize(
    "verb", [["show"], ["block"], ["activate"], ["activate", "--to", "1"], ["move", "--campaign", "spring"]]
)
def test_an_unknown_lot_is_refused(scanner, campaign, verb):
    campaign()
    assert scanner("lot", *verb, 9999).refused("no lot 9999")
