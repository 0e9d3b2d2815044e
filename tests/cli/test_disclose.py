import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.campaigns import parse
from scanner.campaigns.disclosure import page
from scanner.campaigns.disclosure.pages import html, markdown
from tests.brand import campaign_toml

PAINT = Path(__file__).parents[2] / "examples" / "paint.toml"


def names(id):
    return [f"{id}.zh.md", f"{id}.zh.html", f"{id}.en.md", f"{id}.en.html"]


@pytest.fixture
def out(tmp_path):
    directory = tmp_path / "public"
    directory.mkdir()
    return directory


@pytest.fixture
def draft(tmp_path):
    """A campaign file that is not applied."""
    path = tmp_path / "draft.toml"
    path.write_text(campaign_toml("draft"), "utf-8")
    return path


def test_the_file_in_force_is_disclosed_with_its_version(scanner, campaign, out):
    done = scanner("campaign", "disclose", campaign("open"), "--out", out)
    version = scanner("campaign", "show", "open", "--json").json["rules"]
    assert done == (0, f"campaign open, rules {version}: {', '.join(names('open'))} in {out}\n", "")
    assert sorted(path.name for path in out.iterdir()) == sorted(names("open"))
    file = parse(campaign_toml("open"))
    for language in ("zh", "en"):
        made = page(file, language, version)
        assert (out / f"open.{language}.md").read_text("utf-8") == markdown(made)
        assert (out / f"open.{language}.html").read_text("utf-8") == html(made)
        assert version in html(made)


def test_a_file_that_is_not_applied_is_disclosed_as_a_draft_without_a_store(typed, tmp_path, out):
    done = typed("--data-dir", tmp_path / "none", "campaign", "disclose", "--file", PAINT, "--out", out)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("campaign spring-2027, a draft that is not in force: spring-2027.zh.md, ")
    assert "Draft: these rules are not in force yet." in (out / "spring-2027.en.md").read_text("utf-8")
    assert not (tmp_path / "none").exists()


def test_a_files_id_may_be_named_and_must_be_its_own(typed, draft, out):
    assert typed("campaign", "disclose", "draft", "--file", draft, "--out", out).code == 0
    done = typed("campaign", "disclose", "other", "--file", draft, "--out", out)
    assert done.refused(f"{draft} is campaign draft, not other")


def test_pages_are_for_everybody_to_read(typed, draft, out):
    before = os.umask(0o077)
    try:
        assert typed("campaign", "disclose", "--file", draft, "--out", out).code == 0
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o644}


def test_pages_that_exist_are_replaced_by_force_only(typed, draft, out):
    (out / "draft.en.html").write_text("old")
    command = ("campaign", "disclose", "--file", draft, "--out", out)
    assert typed(*command).refused(f"{out / 'draft.en.html'} exists already; replace it with --force")
    assert [path.name for path in out.iterdir()] == ["draft.en.html"]
    assert (out / "draft.en.html").read_text() == "old"
    assert typed(*command, "--force").code == 0
    assert (out / "draft.en.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert len(list(out.iterdir())) == 4


def test_a_failure_leaves_nothing_half_written(typed, draft, out):
    (out / "draft.en.html").mkdir()
    done = typed("campaign", "disclose", "--file", draft, "--out", out, "--force")
    assert done.refused(f"{out} cannot be written into: ")
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_wrong_usage(typed, draft, out):
    assert typed("campaign", "disclose", "--out", out).misused("--file")
    assert typed("campaign", "disclose", "--file", draft).misused("--out")


def test_what_is_not_there_is_refused(scanner, typed, draft, out, tmp_path):
    assert scanner("campaign", "disclose", "nobody", "--out", out).refused("no campaign nobody")
    done = typed("campaign", "disclose", "--file", draft, "--out", tmp_path / "none")
    assert done.refused(f"{tmp_path / 'none'} is not a directory; make it first")
    done = typed("campaign", "disclose", "--file", tmp_path / "none.toml", "--out", out)
    assert done.refused("none.toml cannot be read")
    assert list(out.iterdir()) == []


def test_a_file_that_cannot_be_used_is_refused_by_its_lines(typed, tmp_path, out):
    path = tmp_path / "bad.toml"
    path.write_text(campaign_toml("Bad!"), "utf-8")
    assert typed("campaign", "disclose", "--file", path, "--out", out).refused("campaign.id: expected")


def test_help_has_an_example(typed):
    done = typed("campaign", "disclose", "--help")
    assert done.code == 0
    assert "Example: scanner campaign disclose" in done.out


def test_other_commands_do_not_load_the_templates():
    probe = "import sys, scanner.cli; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
