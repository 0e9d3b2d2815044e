import pytest

from scanner.errors import StoreUnavailableError
from scanner.ledger import lots
from tests import operating
from tests.brand import PRODUCT

OTHER_PRODUCT = "06901234567908"


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


def test_lots_are_blocked_each_under_an_id_of_its_own(scanner, mint, entries):
    nos = [mint()[0] for _ in range(2)]
    request = f"b-{nos[0]}"
    done = scanner("lot", "block", *nos, nos[0], "--request-id", request)
    assert done.out.splitlines() == [f"lot {no} is blocked" for no in nos]
    assert [entries("lot.blocked", lot=str(no))[0]["request"] for no in nos] == [
        f"{request}/{no}" for no in nos
    ]


def test_lots_of_a_product_move_together(scanner, mint, campaign, show, in_store):
    campaign("autumn")

    def register(store):
        return lots.register(store, by="t", kid=1, size=1, product=OTHER_PRODUCT, campaign=campaign_id)

    campaign_id = campaign()
    nos = [in_store(register) for _ in range(2)]
    stays, _ = mint()
    done = scanner("lot", "move", "--product", OTHER_PRODUCT, "--campaign", "autumn")
    assert done.out.splitlines() == [f"lot {no} belongs to campaign autumn" for no in nos]
    assert [show("lot", no)["campaign"] for no in (*nos, stays)] == ["autumn", "autumn", "spring"]


def test_a_command_that_was_broken_off_is_finished_by_its_repetition(
    scanner, mint, campaign, show, entries, monkeypatch
):
    nos = [mint()[0] for _ in range(3)]
    campaign("autumn")
    command = ("lot", "move", *nos, "--campaign", "autumn", "--request-id", f"m-{nos[0]}")
    move = lots.move

    async def until_the_second(store, no, **named):
        moved = await move(store, no, **named)
        if no == nos[1]:
            raise StoreUnavailableError("no answer")
        return moved

    with monkeypatch.context() as patched:
        patched.setattr(lots, "move", until_the_second)
        done = scanner(*command)
        assert (done.code, done.out) == (1, f"lot {nos[0]} belongs to campaign autumn\n")
    assert scanner("lot", "move", nos[0], "--campaign", "spring").code == 0
    done = scanner(*command)
    assert done.out.splitlines()[2] == f"lot {nos[2]} belongs to campaign autumn"
    assert "was done before" in done.out.splitlines()[1]
    # What was done since stays: the first lot was moved back after its turn.
    assert [show("lot", no)["campaign"] for no in nos] == ["spring", "autumn", "autumn"]
    assert [len(entries("lot.moved", lot=str(no), campaign="autumn")) for no in nos] == [1, 1, 1]


def test_lots_are_assigned_to_a_seller_and_to_nobody(scanner, mint, show):
    nos = [mint()[0] for _ in range(2)]
    assert show("lot", nos[0])["seller"] is None
    assert scanner("lot", "show", nos[0]).out.splitlines()[-2] == "seller    nobody"
    done = scanner("lot", "assign", *nos, "--seller", "店 17")
    assert done.out.splitlines() == [f"lot {no} is assigned to seller 店 17" for no in nos]
    assert [show("lot", no)["seller"] for no in nos] == ["店 17"] * 2
    assert "seller    店 17" in scanner("lot", "show", nos[0]).out
    assert scanner("lot", "list").out.splitlines()[-1].endswith("\topen\t店 17")
    assert "was assigned to seller" in scanner("lot", "assign", nos[0], "--seller", "店 17").out
    assert scanner("lot", "assign", nos[0], "--nobody").out == f"lot {nos[0]} is assigned to nobody\n"
    assert [show("lot", no)["seller"] for no in nos] == [None, "店 17"]


def test_activating_takes_a_request_id_too(scanner, mint, entries):
    no, _ = mint()
    command = ("lot", "activate", no, "--to", 3, "--request-id", f"a-{no}")
    assert scanner(*command).code == scanner(*command).code == 0
    assert [entry["request"] for entry in entries("lot.activated", lot=str(no))] == [f"a-{no}"]


VERBS = [["move", "--campaign", "spring"], ["assign", "--seller", "s"]]


@pytest.mark.parametrize("verb", [*VERBS, ["block"]], ids=str)
def test_lots_are_all_known_before_the_first_is_changed(scanner, mint, show, verb):
    no, _ = mint()
    before = show("lot", no)
    assert scanner("lot", *verb, no, 9999).refused("no lot 9999")
    assert show("lot", no) == before


@pytest.mark.parametrize("verb", VERBS, ids=str)
@pytest.mark.parametrize(
    ("which", "words"),
    [
        ([], "name the lots, or --product"),
        (["1", "--product", PRODUCT], "name the lots, or --product"),
        (["--product", "06901234567893"], "not a GTIN-14"),
        (["--product", ""], "not a GTIN-14"),
        (["0"], "'LOT'"),
        (["one"], "'LOT'"),
    ],
    ids=str,
)
def test_lots_that_are_not_named_well_are_wrong_usage(scanner, verb, which, words):
    assert scanner("lot", *verb, *which).misused(words)


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_product_without_lots_is_refused(scanner, campaign, verb):
    campaign()
    assert scanner("lot", *verb, "--product", "00000000000017").refused("no lot of product 00000000000017")


@pytest.mark.parametrize(
    ("whose", "words"),
    [
        ([], "--seller S or --nobody"),
        (["--seller", "s", "--nobody"], "--seller S or --nobody"),
        (["--seller", ""], "1 to 64 printable characters"),
        (["--seller", "s" * 65], "1 to 64 printable characters"),
        (["--seller", "a\tb"], "1 to 64 printable characters"),
    ],
    ids=str,
)
def test_a_seller_that_no_token_could_name_is_wrong_usage(scanner, mint, show, whose, words):
    no, _ = mint()
    assert scanner("lot", "assign", no, *whose).misused(words)
    assert show("lot", no)["seller"] is None
