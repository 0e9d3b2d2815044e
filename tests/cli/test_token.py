import time

import pytest

from scanner.identity import Member, TokenKeys
from scanner.settings import read_key_file


@pytest.fixture
def verify(typed, tmp_path):
    """Issues a token with these options, and verifies it ``later_s`` from now."""

    def run(*options, later_s=0):
        done = typed("token", "issue", *options)
        assert (done.code, done.err) == (0, "")
        keys = TokenKeys.parse(read_key_file(tmp_path / ".scanner" / "token-keys.json"))
        return keys.verify(done.out.strip(), now_s=time.time() + later_s)

    assert typed("keys", "init").code == 0
    return run


def test_a_token_speaks_for_its_member(verify):
    assert verify("--member", "alice") == Member("alice")


def test_a_token_says_what_was_asked_for(verify):
    options = ["--role", "worker", "--tier", "gold", "--seller", "shop-7", "--inviter", "bob"]
    assert verify("--member", "李", *options) == Member("李", "worker", "gold", "shop-7", "bob")


@pytest.mark.parametrize(("ttl", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800)])
def test_a_token_lives_for_its_ttl(verify, typed, ttl, seconds):
    assert verify("--member", "alice", "--ttl", ttl, later_s=seconds - 30).id == "alice"
    before = int(time.time())
    expires = typed("token", "issue", "--member", "alice", "--ttl", ttl, "--json").json["expires"]
    assert before + seconds <= expires <= time.time() + seconds


@pytest.mark.parametrize("ttl", ["", "0h", "1", "h", "1w", "-1h", "1.5h", "01h", " 1h", "1h ", "99999999s"])
def test_a_ttl_is_a_number_and_a_unit(verify, typed, ttl):
    assert typed("token", "issue", "--member", "alice", "--ttl", ttl).misused("such as 1h")


def test_as_json_it_says_whose_and_until_when(verify, typed):
    data = typed("token", "issue", "--member", "alice", "--json").json
    assert set(data) == {"token", "member", "expires"}
    assert data["member"] == "alice"
    assert data["token"].count(".") == 2


@pytest.mark.parametrize("member", ["", "x" * 65, "a\nb"])
def test_a_token_that_would_not_be_accepted_is_not_issued(verify, typed, member):
    assert typed("token", "issue", "--member", member).refused("would not be accepted: sub")


def test_without_keys_it_says_how_to_make_them(typed):
    assert typed("token", "issue", "--member", "alice").refused("run `scanner keys init`")
