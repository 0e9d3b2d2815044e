"""scanner audit --report: the page has the audit's figures, and its file is written with care."""

import asyncio
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scanner.cli import audit as command
from scanner.cli.console import keyring_of
from scanner.ledger.audit import audit
from tests.brand import brand_in, settings_for
from tests.cli.report_pages import facts, is_a_page, no, says_the_state, tables
from tests.cli.report_states import rich_toml

# Pages of a real store.


@pytest.fixture
def rich(scanner, data_dir, tmp_path):
    """A campaign with every kind of pool and prize, of which something was given."""
    if scanner("campaign", "show", "rich").code == 0:
        return "rich"
    path = tmp_path / "rich.toml"
    path.write_text(rich_toml(title="Red & <b>gold</b>"), "utf-8")
    assert scanner("campaign", "apply", path).code == 0

    async def play():
        async with brand_in(data_dir) as brand:
            service = brand.scanner()
            lot = await brand.lot(100, campaign="rich")
            for n in range(60):
                if n % 6 == 0:
                    grant = {"request_id": f"g{n}", "campaign": "rich", "pool": "back", "member": f"m{n % 4}"}
                    assert (await service.serve("/v1/grants", **grant))["outcome"] == "granted"
                answer = await service.scan(f"m{n % 4}", brand.code(lot, n))
                assert answer["outcome"] == "accepted"
                for friend in range(n % 3):
                    assert (await service.open_share(f"f{friend}", answer["share"]))["status"] == 200
            for n in range(12):
                draw = {"campaign": "rich", "pool": "wheel", "request_id": f"d{n}"}
                paid = draw | {"request_id": f"p{n}", "member": "m1", "paid": {"points": 100}}
                assert (await service.serve("/v1/draws", **paid))["status"] == 200
                await service.draw(f"m{n % 4}", **draw)

    asyncio.run(play())
    assert scanner("campaign", "top-up", "rich", "lucky", "coin", 5).code == 0
    assert scanner("campaign", "top-up", "rich", "--budget", "1234.50").code == 0
    return "rich"


@pytest.fixture
def state(in_store, data_dir):
    """The audit's own report, by another way than the command."""
    table = keyring_of(settings_for(data_dir)).table()
    return lambda: in_store(lambda store: audit(store, table))


def test_the_page_has_every_figure_of_the_audit(scanner, rich, state, tmp_path):
    path = tmp_path / "audit.html"
    done = scanner("audit", "--report", path)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-2:] == ["it adds up", f"every figure is in {path}"]
    page, report = is_a_page(path.read_text("utf-8")), state()
    said = facts(page.root)
    assert (said["Brand"], said["Draws"]) == ("main", "every one recomputed")
    assert (said["Entries replayed"], said["Claims"]) == (no(report.entries), no(report.claims))
    assert "✓ It adds up" in next(page.root.all("p")).text()
    assert len(page.campaigns()) == len(report.campaigns)
    for section, one in zip(page.campaigns(), report.campaigns.values(), strict=True):
        says_the_state(section, one)
    (section,) = (one for one in page.campaigns() if facts(one)["Campaign"] == "rich")
    assert tables(section)["Budgets, CNY"]["All pools together"]["Topped up"] == "1,234.50"
    assert tables(section)["Pieces in pool lucky"]["coin"]["Topped up"] == "5"
    # The test would show little if next to nothing had been given.
    tally, given = report.campaigns["rich"].tally, report.campaigns["rich"].given_rows()
    assert min(tally.packets_unlocked, tally.chances_used, tally.paid_draws, tally.givers_drew) > 0
    assert {"cash", "points", "coupon", "chance", "none"} <= {row.kind for row in given}
    assert sum(report.campaigns["rich"].pools["lucky"].withheld.values()) > 0


def test_the_json_has_the_figures_of_the_page(scanner, rich, state):
    data, one = scanner("audit", "--json", "--campaign", rich).json, state().campaigns[rich]
    assert (data["brand"], datetime.fromisoformat(data["made"]).tzinfo) == ("main", UTC)
    told = data["campaigns"][rich]
    assert (told["title"], told["rules"], told["paused"]) == ("Red & <b>gold</b>", one.plan.version, False)
    assert (told["scans"], told["wrong_sums"]) == (60, 0)
    rows = {(pool["pool"], prize["prize"]): prize for pool in told["sheets"] for prize in pool["prizes"]}
    for row in one.sheet():
        prize = rows.pop((row.pool, row.prize))
        pieces = {"put_in": row.put_in, "given": row.given, "locked": row.locked, "left": row.left}
        assert (prize["kind"], prize["pieces"], prize["withheld"]) == (row.kind, pieces, row.withheld)
        if row.kind == "cash":
            sums = {"put_in": row.money_put_in, "given": row.money_given}
            sums |= {"locked": row.money_locked, "left": row.money_left}
            assert prize["money"] == sums
    assert rows == {}
    assert told["budgets"][0] == {
        "pool": None,
        "put_in": 9_123_450,
        "spent": one.budgets["*"].spent,
        "left": one.budgets["*"].left,
        "topped_up": 123_450,
    }
    assert told["given"]["cash"]["money"] == sum(row.money for row in one.given_rows())
    assert told["tally"]["packets_granted"] == one.tally.packets_granted == 10
    assert sum(row["pieces"] for row in told["given_by_pool_and_day"]) == sum(
        given for pool in one.pools.values() for given in pool.given.values()
    )


def test_only_one_campaign(scanner, rich, campaign, tmp_path):
    path = tmp_path / "quiet.html"
    assert scanner("audit", "--report", path, "--campaign", campaign("quiet")).code == 0
    page = is_a_page(path.read_text("utf-8"))
    assert facts(page.root)["Campaigns"] == "quiet only"
    assert [facts(one)["Campaign"] for one in page.campaigns()] == ["quiet"]
    assert "gold" not in path.read_text("utf-8")
    # Nothing was scanned in it.
    assert "Nothing has been given yet." in [one.text() for one in page.campaigns()[0].all("p")]
    assert len(list(page.root.all("svg"))) == 1
    path.unlink()
    assert scanner("audit", "--report", path, "--campaign", "nobody").refused("no campaign nobody")
    assert not path.exists()


def test_what_does_not_add_up_is_all_on_the_page(scanner, rich, campaign, in_store, tmp_path):
    campaign("quiet")

    async def change(store, by):
        for pool, prize in (("lucky", "coin"), ("wheel", "ten")):
            await store.client.execute_command("HINCRBY", store.keys.pool("rich", pool), prize, by)

    path = tmp_path / "audit.html"
    in_store(lambda store: change(store, 1))
    try:
        done = scanner("audit", "--report", path)
        assert done.code == 1
        assert "difference at " in done.out
        page = is_a_page(path.read_text("utf-8"))
        data = scanner("audit", "--json").json
    finally:
        in_store(lambda store: change(store, -1))
    assert "✗ It does not add up: 2 differences" in next(page.root.all("p")).text()
    shown = [tuple(row.values()) for row in page.differences().values()]
    assert shown == [
        (str(place), found["where"], found["campaign"], found["text"])
        for place, found in enumerate(data["differences"], 1)
    ]
    verdicts = {facts(one)["Campaign"]: next(one.all("p")).text() for one in page.campaigns()}
    assert verdicts["rich"] == "✗ It does not add up: 2 differences"
    assert verdicts["quiet"] == "✓ It adds up"
    assert scanner("audit", "--report", path, "--force").code == 0


def test_an_empty_ledger_and_no_keys(typed, tmp_path):
    path, of_brand = tmp_path / "audit.html", ("--data-dir", tmp_path / "empty", "--brand", "acme")
    assert typed(*of_brand, "store", "load").code == 0
    assert typed(*of_brand, "audit", "--report", path).code == 0
    page = is_a_page(path.read_text("utf-8"))
    said = facts(page.root)
    assert (said["Brand"], said["Entries replayed"], said["Campaigns"]) == ("acme", "0", "all, 0")
    assert said["Draws"] == "not recomputed: no key file was at hand"
    assert "There is no campaign in the ledger." in [one.text() for one in page.root.all("p")]


# The file.


@pytest.fixture
def no_audit(monkeypatch):
    """An audit must not be started."""

    def run(*_):
        raise AssertionError("the audit was started")

    monkeypatch.setattr(command, "run_audit", run)


def test_a_page_that_exists_is_replaced_by_force_only(scanner, campaign, tmp_path, monkeypatch):
    campaign()
    path = tmp_path / "audit.html"
    path.write_text("old")
    path.chmod(0o644)
    with monkeypatch.context() as patched:
        patched.setattr(command, "run_audit", lambda *_: pytest.fail("the audit was started"))
        done = scanner("audit", "--report", path)
        assert done.refused(f"{path} exists already; replace it with --force")
    assert path.read_text() == "old"
    before = os.umask(0)
    try:
        assert scanner("audit", "--report", path, "--force").code == 0
    finally:
        os.umask(before)
    is_a_page(path.read_text("utf-8"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.glob("*.html")) == list(tmp_path.glob("*audit*")) == [path]


def test_a_page_made_meanwhile_is_left(scanner, campaign, tmp_path, monkeypatch):
    campaign()
    path, run = tmp_path / "audit.html", command.run_audit

    def slow(*arguments):
        path.write_text("another's")
        return run(*arguments)

    monkeypatch.setattr(command, "run_audit", slow)
    done = scanner("audit", "--report", path)
    assert (done.code, path.read_text()) == (1, "another's")
    assert done.err == f"scanner: {path} exists already; replace it with --force, or name another file\n"
    assert "it adds up" in done.out
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("none/audit.html", "none is not a directory; make it first"), ("dir.html", "dir.html is a directory")],
)
def test_bad_paths_are_refused_before_the_audit(scanner, no_audit, tmp_path, name, said):
    (tmp_path / "dir.html").mkdir()
    assert scanner("audit", "--report", tmp_path / name, "--force").refused(said)


def test_wrong_usage(scanner, no_audit, tmp_path):
    assert scanner("audit", "--report", tmp_path / "audit.csv").misused("ends in .html")
    assert scanner("audit", "--force").misused("--report")
    assert "Example: scanner audit" in scanner("audit", "--help").out
    assert list(tmp_path.glob("audit*")) == []


def test_a_failure_to_write_leaves_nothing_and_the_audit_is_told(scanner, campaign, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    campaign()
    monkeypatch.setattr(Path, "replace", full)
    path = tmp_path / "audit.html"
    done = scanner("audit", "--report", path)
    wanted = f"scanner: {path} cannot be written (No space left on device); name a file elsewhere\n"
    assert (done.code, done.err) == (1, wanted)
    assert done.out.splitlines()[-1] == "it adds up"
    assert [one.name for one in tmp_path.iterdir() if "audit" in one.name] == []
