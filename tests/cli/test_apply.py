"""What `campaign apply` asks before a change, and that it acts on nothing else than it showed."""

import io
import itertools
import sys

import pytest

from scanner.campaigns import parse
from scanner.ledger import campaigns
from tests.operating import spring_toml

_numbers = itertools.count(1)


@pytest.fixture
def terminal(monkeypatch):
    """Standard input is a terminal at which this is typed."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    return lambda typed="": monkeypatch.setattr(sys, "stdin", Terminal(typed))


@pytest.fixture
def id(scanner, tmp_path):
    """A campaign in force, with three phones."""
    id = f"apply-{next(_numbers)}"
    (tmp_path / "old.toml").write_text(spring_toml(id=id), "utf-8")
    (tmp_path / "new.toml").write_text(spring_toml(5, id=id), "utf-8")
    assert scanner("campaign", "apply", "old.toml").code == 0
    return id


@pytest.fixture
def phones(scanner, id):
    return lambda: scanner("campaign", "show", id, "--json").json["pools"][0]["prizes"][0]["stock"]


DIFFERENCE = "pool[0].prize[0].stock: from 3 to 5\n"


def test_yes_changes_it(scanner, terminal, id, phones):
    terminal("y\n")
    done = scanner("campaign", "apply", "new.toml")
    assert (done.code, done.out) == (0, f"{DIFFERENCE}Apply? [y/N]: campaign {id} is changed\n")
    assert phones() == 5


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "what\nn\n"], ids=repr)
def test_anything_else_leaves_it(scanner, terminal, id, phones, answer):
    terminal(answer)
    done = scanner("campaign", "apply", "new.toml")
    assert done.code == 1
    assert done.out.startswith(f"{DIFFERENCE}Apply? [y/N]: ")
    if answer:
        assert f"campaign {id} is left as it was" in done.err
    assert phones() == 3


@pytest.mark.parametrize("option", ["--yes", "-y"])
def test_it_is_not_asked_where_that_is_said(scanner, terminal, id, phones, option):
    terminal()
    assert scanner("campaign", "apply", "new.toml", option).out == f"{DIFFERENCE}campaign {id} is changed\n"
    assert phones() == 5


def test_it_is_not_asked_without_a_terminal(scanner, monkeypatch, id, phones):
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert scanner("campaign", "apply", "new.toml").out == f"{DIFFERENCE}campaign {id} is changed\n"
    assert phones() == 5


def test_nothing_is_asked_where_nothing_changes(scanner, terminal, id, tmp_path):
    terminal()
    assert scanner("campaign", "apply", "old.toml").out.endswith("nothing to change\n")
    dry = scanner("campaign", "apply", "new.toml", "--dry-run")
    assert dry == (0, f"{DIFFERENCE}campaign {id} would be changed\n", "")
    (tmp_path / "first.toml").write_text(spring_toml(id=f"{id}-first"), "utf-8")
    assert scanner("campaign", "apply", "first.toml") == (0, f"campaign {id}-first is new\n", "")


def test_what_is_refused_is_not_asked(scanner, terminal, id, tmp_path):
    terminal("y\n")
    (tmp_path / "less.toml").write_text(spring_toml(2, id=id), "utf-8")
    assert scanner("campaign", "apply", "less.toml").refused("less.toml is refused:", "a stock of at least 3")


def test_a_change_while_it_is_asked_is_not_overrun(scanner, monkeypatch, terminal, in_store, id, phones):
    def while_asked(question):
        assert question == "Apply?"
        in_store(lambda store: campaigns.apply(store, parse(spring_toml(4, id=id)), by="other"))
        return True

    terminal()
    monkeypatch.setattr("typer.confirm", while_asked)
    done = scanner("campaign", "apply", "new.toml")
    assert (done.code, done.out) == (1, DIFFERENCE)
    assert "changed meanwhile" in done.err
    assert phones() == 4


@pytest.mark.parametrize("is_new", [False, True])
def test_a_change_between_showing_and_acting_is_not_overrun(scanner, monkeypatch, tmp_path, id, is_new):
    if is_new:
        id += "-new"
        (tmp_path / "new.toml").write_text(spring_toml(5, id=id), "utf-8")
    apply = campaigns.apply

    async def after_another(store, file, **how):
        if not how.get("dry_run"):
            await apply(store, parse(spring_toml(4, id=id)), by="other")
        return await apply(store, file, **how)

    with monkeypatch.context() as patched:
        patched.setattr(campaigns, "apply", after_another)
        done = scanner("campaign", "apply", "new.toml", "--yes")
    assert (done.code, done.out) == (1, "" if is_new else DIFFERENCE)
    assert "changed meanwhile" in done.err
    assert scanner("campaign", "show", id, "--json").json["pools"][0]["prizes"][0]["stock"] == 4
