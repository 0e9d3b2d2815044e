import itertools

import pytest

from scanner.errors import StoreUnavailableError
from scanner.ledger import operations
from tests import operating
from tests.operating import spring_toml

_numbers = itertools.count(1)


@pytest.fixture
def running(scanner, tmp_path):
    """A campaign of its own for this test: pools lucky (phone, cash, thanks) and points, and two budgets."""

    def apply(change=str):
        id = f"spring-{next(_numbers)}"
        path = tmp_path / f"{id}.toml"
        path.write_text(change(spring_toml(id=id)), "utf-8")
        assert scanner("campaign", "apply", path).code == 0
        return id

    return apply


@pytest.fixture
def entries(in_store):
    """The ledger's entries of a type in which these fields have these values."""

    def read(type, **wanted):
        wanted["type"] = type
        found = in_store(operating.entries)
        return [entry for entry in found if wanted.items() <= entry.items()]

    return read


@pytest.fixture
def show(scanner):
    return lambda noun, id: scanner(noun, "show", id, "--json").json


def phones_left(data):
    return data["pools"][0]["prizes"][0]["left"]


def budgets_left(data):
    return {budget["pool"]: budget["left"] for budget in data["budgets"]}


def test_a_top_up_of_stock_names_its_request_id(scanner, running, show, entries):
    id = running()
    done = scanner("campaign", "top-up", id, "lucky", "phone", 10)
    [entry] = entries("pool.topped_up", campaign=id)
    assert done == (0, f"campaign {id}: 10 more of lucky/phone (request id {entry['request']})\n", "")
    assert phones_left(show("campaign", id)) == 13

    again = ("campaign", "top-up", id, "lucky", "phone", 10, "--request-id", entry["request"])
    assert scanner(*again) == (0, f"campaign {id}: request {entry['request']} was done before\n", "")
    assert phones_left(show("campaign", id)) == 13
    other = ("campaign", "top-up", id, "lucky", "phone", 11, "--request-id", entry["request"])
    assert scanner(*other).refused("was used for something else: top up prize lucky/phone")

    assert scanner("campaign", "top-up", id, "lucky", "phone", 10).code == 0
    assert phones_left(show("campaign", id)) == 23  # each command has an id of its own


def test_a_top_up_of_budgets_is_in_the_currency(scanner, running, show):
    id = running()
    done = scanner("campaign", "top-up", id, "--budget", "12.5", "--request-id", "r-1")
    assert done == (0, f"campaign {id}: 12.50 CNY more in the budget (request id r-1)\n", "")
    done = scanner("campaign", "top-up", id, "lucky", "--budget", "0.01", "--request-id", "r-2")
    assert done.out == f"campaign {id}: 0.01 CNY more in the budget of lucky (request id r-2)\n"
    assert budgets_left(show("campaign", id)) == {None: 201250, "lucky": 50001}


def test_a_currency_without_decimals_takes_none(scanner, running, show):
    def yen(text):
        for money in ("2000", "500", "7999"):
            text = text.replace(f'"{money}.00"', f'"{money}"')
        text = text.replace("CNY", "JPY").replace('"0.88"', '"1"').replace('"8.88"', '"8"')
        return text.replace('total = "20.00"', 'total = "20"')

    id = running(yen)
    assert scanner("campaign", "top-up", id, "--budget", "5.0").misused("at most 0 decimals for JPY")
    assert "5 JPY more" in scanner("campaign", "top-up", id, "--budget", "5").out
    assert budgets_left(show("campaign", id)) == {None: 2005, "lucky": 500}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "POOL PRIZE N are needed, or --budget"),
        (["lucky"], "POOL PRIZE N are needed"),
        (["lucky", "phone"], "POOL PRIZE N are needed"),
        (["lucky", "phone", "0"], "'N'"),
        (["lucky", "phone", "-5"], "-5"),
        (["lucky", "phone", "many"], "'N'"),
        (["lucky", "phone", "1.5"], "'N'"),
        (["lucky", "phone", "1", "--budget", "1.00"], "PRIZE N or --budget, not both"),
        (["lucky", "phone", "--budget", "1.00"], "PRIZE N or --budget, not both"),
        (["--budget", "0"], "expected more than 0"),
        (["--budget", "-1"], 'such as "0.88"'),
        (["--budget", "1.234"], "at most 2 decimals for CNY"),
        (["--budget", "1,00"], 'an amount of money, such as "0.88"'),
        (["--budget", ""], "an amount of money"),
        (["--budget", "99999999999999.00"], "at most 10000000000000.00"),
        (["lucky", "phone", "1", "--request-id", ""], "1 to 64 printable characters"),
        (["lucky", "phone", "1", "--request-id", "x" * 65], "1 to 64 printable characters"),
        (["lucky", "phone", "1", "--request-id", "a\nb"], "1 to 64 printable characters"),
    ],
    ids=str,
)
def test_a_top_up_that_is_not_one_is_wrong_usage(scanner, running, show, arguments, words):
    id = running()
    before = show("campaign", id)
    assert scanner("campaign", "top-up", id, *arguments).misused(words)
    assert show("campaign", id) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none", "phone", "1"], "no pool none"),
        (["lucky", "none", "1"], "no prize none"),
        (["points", "p50", "1"], "no stock limit"),
        (["lucky", "cash", "1"], "lucky amounts"),
        (["lucky", "thanks", "1"], "blank of a deck"),
        (["points", "--budget", "1.00"], "pool points of campaign"),
        (["none", "--budget", "1.00"], "no pool none"),
    ],
    ids=str,
)
def test_a_top_up_that_must_not_be_is_refused(scanner, running, show, arguments, words):
    id = running()
    before = show("campaign", id)
    assert scanner("campaign", "top-up", id, *arguments).refused(words)
    assert show("campaign", id) == before


@pytest.mark.parametrize(
    "arguments",
    [["top-up", "x", "lucky", "phone", 1], ["top-up", "x", "--budget", "1"], ["pause", "x"], ["resume", "x"]],
    ids=str,
)
def test_an_unknown_campaign_is_refused(scanner, arguments):
    assert scanner("campaign", *arguments).refused("there is no campaign x")


def test_a_top_up_whose_fate_is_unknown_says_how_to_repeat_it(scanner, running, show, monkeypatch):
    id, top_up, requests = running(), operations.top_up, []

    def failing_with(error):
        async def fail(*arguments, request, **named):
            requests.append(request)
            await top_up(*arguments, request=request, **named)
            raise error

        return fail

    with monkeypatch.context() as patched:
        patched.setattr(operations, "top_up", failing_with(StoreUnavailableError("no answer")))
        done = scanner("campaign", "top-up", id, "lucky", "phone", 1)
        assert done.refused(
            f"no answer; whether it was done is unknown: repeat it with --request-id {requests[0]}"
        )
        patched.setattr(operations, "top_up", failing_with(KeyboardInterrupt()))
        done = scanner("campaign", "top-up", id, "lucky", "phone", 1)
        assert (done.code, f"--request-id {requests[1]}" in done.err) == (130, True)
    assert phones_left(show("campaign", id)) == 5
    for request in requests:
        assert scanner("campaign", "top-up", id, "lucky", "phone", 1, "--request-id", request).code == 0
    assert phones_left(show("campaign", id)) == 5


def test_a_campaign_pauses_and_goes_on(scanner, running, show, entries):
    id = running()
    assert show("campaign", id)["paused"] is False
    assert "\npaused     no\n" in scanner("campaign", "show", id).out
    assert scanner("campaign", "pause", id, "--request-id", f"p-{id}").out == f"campaign {id} is paused\n"
    assert scanner("campaign", "pause", id).out == f"campaign {id} was paused\n"
    assert show("campaign", id)["paused"] is True
    assert "\npaused     yes\n" in scanner("campaign", "show", id).out
    assert scanner("campaign", "resume", id).out == f"campaign {id} goes on\n"
    assert scanner("campaign", "resume", id).out == f"campaign {id} was not paused\n"
    # Its id is used up: a repetition does not pause what was resumed since, and does not say so either.
    done = scanner("campaign", "pause", id, "--request-id", f"p-{id}")
    assert done.out == f"campaign {id} was paused, or request p-{id} was done before\n"
    assert show("campaign", id)["paused"] is False
    [paused] = entries("campaign.paused", campaign=id)
    [resumed] = entries("campaign.resumed", campaign=id)
    assert (paused["request"], resumed.get("request")) == (f"p-{id}", None)


def test_show_has_the_budgets(scanner, running):
    id = running()
    scanner("campaign", "top-up", id, "lucky", "--budget", "20.00")
    assert scanner("campaign", "show", id).out.splitlines()[-3:] == [
        "budget\tin the file\tleft",
        "whole campaign\t2000.00\t2000.00",
        "lucky\t500.00\t520.00",
    ]
    assert scanner("campaign", "show", id, "--json").json["budgets"] == [
        {"pool": None, "budget": 200000, "left": 200000},
        {"pool": "lucky", "budget": 50000, "left": 52000},
    ]


def test_a_campaign_without_budgets_shows_none(scanner, campaign):
    assert "budget" not in scanner("campaign", "show", campaign()).out
