"""Which address counts, behind proxies and without; and that nobody can choose theirs."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.errors import ConfigurationError
from scanner.service.addresses import Addresses

PROXIES = "10.0.0.0/8, 192.0.2.1, 2001:db8:aaaa::/48, unix"
PROXY, CLIENT, OTHER = "10.1.2.3", "203.0.113.7", "198.51.100.9"


@pytest.fixture(scope="module")
def addresses():
    return Addresses(PROXIES)


@pytest.mark.parametrize(
    ("peer", "counts"),
    [
        (CLIENT, CLIENT),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", CLIENT),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("", ""),
        ("unix", ""),
        ("/run/scanner.sock", ""),
        ("localhost", ""),
    ],
)
def test_without_proxies_the_peer_counts_whatever_is_said(peer, counts):
    nobody = Addresses("")
    assert nobody.trusts_nobody
    assert not nobody.trusts(peer)
    assert nobody.of(peer, "") == nobody.of(peer, OTHER) == counts


@pytest.mark.parametrize("peer", [CLIENT, "11.0.0.1", "192.0.2.2", "2001:db8:aaab::1", "::ffff:11.0.0.1", ""])
def test_a_peer_that_is_no_proxy_is_not_believed(addresses, peer):
    assert not addresses.trusts(peer)
    assert addresses.of(peer, OTHER) == addresses.of(peer, "") == Addresses("").of(peer, "")


@pytest.mark.parametrize("peer", [PROXY, "192.0.2.1", "2001:db8:aaaa::1", "::ffff:10.0.0.1", "unix"])
def test_a_proxy_is_believed(addresses, peer):
    assert addresses.trusts(peer)
    assert not addresses.trusts_nobody
    assert addresses.of(peer, CLIENT) == CLIENT


@pytest.mark.parametrize(
    ("forwarded_for", "counts"),
    [
        ("", PROXY),
        (CLIENT, CLIENT),
        (f"{OTHER}, {CLIENT}", CLIENT),
        (f"{OTHER}, {CLIENT}, 10.9.9.9", CLIENT),
        (f"{OTHER},{CLIENT},10.9.9.9,192.0.2.1", CLIENT),
        (f"{OTHER}, {CLIENT} ,\t2001:db8:aaaa::7 , [2001:db8:aaaa::8]:443", CLIENT),
        ("10.7.7.7, 10.8.8.8, 10.9.9.9", "10.7.7.7"),  # inside the own network
        (f"{OTHER}, unknown, 10.9.9.9", "10.9.9.9"),
        (f"{OTHER}, unknown", PROXY),
        (f"{OTHER}, {CLIENT}, ", PROXY),
        (f"{OTHER}, , 10.9.9.9", "10.9.9.9"),
        (f"{OTHER}, unix", PROXY),
        (f"for={OTHER}", PROXY),
    ],
)
def test_the_rightmost_that_is_no_proxy_counts(addresses, forwarded_for, counts):
    assert addresses.of(PROXY, forwarded_for) == counts


def test_a_unix_socket_has_no_address_of_its_own(addresses):
    assert addresses.of("unix", "") == addresses.of("unix", f"{OTHER}, rubbish") == ""
    assert addresses.of("unix", f"{OTHER}, {PROXY}") == OTHER


@pytest.mark.parametrize(
    ("entry", "counts"),
    [
        ("203.0.113.7:51234", CLIENT),
        ("::ffff:203.0.113.7", CLIENT),
        ("::ffff:cb00:7107", CLIENT),
        ("[::ffff:203.0.113.7]:1", CLIENT),
        ("2001:DB8:1:2:3::6", "2001:db8:1:2::"),
        ("[2001:db8:1:2:3::6]", "2001:db8:1:2::"),
        ("[2001:db8:1:2:3::6]:65535", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("[fe80::1%25eth0]:80", "fe80::"),
        (" \t203.0.113.7\t ", CLIENT),
    ],
)
def test_entries_are_read_as_proxies_write_them(addresses, entry, counts):
    assert addresses.of(PROXY, f"{OTHER}, {entry}") == counts


@pytest.mark.parametrize(
    "entry",
    [
        "unknown",
        "_hidden",
        '"203.0.113.7"',
        "203.0.113",
        "203.0.113.7.",
        "203.0.113.256",
        "203.0.113.07",
        "203.0.113.7:",
        "203.0.113.7:http",
        "203.0.113.7:123456",
        "203.0.113.7:80:80",
        "203.0.113.7 80",
        "203.0.113.7/32",
        "203.0.113.7%eth0",
        "[203.0.113.7]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]443",
        "[2001:db8::1]:",
        "[2001:db8::1]]:443",
        "2001:db8::1::2",
        "2001:db8::12345",
        "1:2:3:4:5:6:7:8:443",
        "fe80::1%",
        "::ffff:203.0.113.256",
        "٢٠٣.0.113.7",
        "203.0.113.7\x00",
        "203.0.113.7\n",
        "%eth0",
        ":",
        "[]",
        "9" * 5000,
        "fe80::1%" + "z" * 57,
    ],
)
def test_what_is_no_address_ends_the_walk(addresses, entry):
    assert addresses.of(PROXY, f"{OTHER}, {entry}, 10.9.9.9") == "10.9.9.9"
    assert addresses.of(entry, OTHER) == ""  # as a peer


clients = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
INSIDE = st.ip_addresses(network="10.0.0.0/8").map(str)
OUTSIDE = clients.filter(lambda text: not Addresses(PROXIES).trusts(text))


def written(addresses):
    """An address in the forms that proxies give it."""

    def forms(text):
        ports = st.sampled_from(["", ":1", ":65535"])
        if ":" in text:
            return st.one_of(st.just(text), ports.map(f"[{text}]{{}}".format))
        return ports.map(text.__add__)

    return addresses.flatmap(forms)


texts = st.one_of(
    st.text(max_size=60),
    st.text(alphabet='0123456789abcdef.:,[]%" \t', max_size=60),
    st.lists(st.one_of(written(clients), INSIDE, st.just("unknown")), max_size=40).map(",".join),
    st.integers(1, 2000).map(lambda n: "1" * n),
    st.integers(1, 400).map(lambda n: ",".join(["10.1.1.1"] * n)),
)


@given(peer=INSIDE, invented=texts, client=written(OUTSIDE), proxies=st.lists(written(INSIDE), max_size=8))
@example(PROXY, "8.8.8.8", CLIENT, [])
@example(PROXY, "8.8.8.8, 10.1.1.1," * 400, CLIENT, ["10.1.1.1"])
def test_nothing_that_a_client_sends_changes_its_address(peer, invented, client, proxies):
    assert_stays(Addresses(PROXIES), peer, invented, client, proxies)


def assert_stays(addresses, peer, invented, client, proxies):
    """The first proxy adds whom it saw to what the client sent, and each further one the proxy before it."""
    added = ", ".join([client, *proxies])
    counts = Addresses("").of(bare(client), "")
    assert addresses.of(peer, f"{invented}, {added}") == addresses.of(peer, added) == counts


def bare(entry):
    """The address in an entry that a proxy wrote."""
    if entry.startswith("["):
        return entry[1 : entry.index("]")]
    return entry if entry.count(":") > 1 else entry.partition(":")[0]


class Leftmost(Addresses):
    def of(self, peer, forwarded_for):
        return forwarded_for.split(",")[0].strip() if self.trusts(peer) else peer


class OneProxyTooMany(Addresses):
    def of(self, peer, forwarded_for):
        return super().of(peer, forwarded_for.rpartition(",")[0])


@pytest.mark.parametrize("broken", [Leftmost, OneProxyTooMany])
def test_other_ways_to_read_it_can_be_fooled(broken):
    assert_stays(Addresses(PROXIES), PROXY, OTHER, CLIENT, [])
    with pytest.raises(AssertionError):
        assert_stays(broken(PROXIES), PROXY, OTHER, CLIENT, [])


@given(peer=st.one_of(INSIDE, clients, texts), forwarded_for=texts)
def test_whatever_is_sent_the_answer_is_one_address_or_none(peer, forwarded_for):
    counts = Addresses(PROXIES).of(peer, forwarded_for)
    if counts:
        address = ip_address(counts)
        assert counts == str(address)
        assert isinstance(address, IPv4Address) or int(address) % (1 << 64) == 0


@given(
    st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None), st.integers(0, (1 << 64) - 1)
)
def test_all_of_a_64_count_as_one(address, rest):
    neighbour = IPv6Address(int(address) >> 64 << 64 | rest)
    if neighbour.ipv4_mapped is None:
        nobody = Addresses("")
        assert nobody.of(str(address), "") == nobody.of(str(neighbour), "")
        assert nobody.of(str(IPv6Address(int(address) ^ 1 << 64)), "") != nobody.of(str(address), "")


def test_no_more_than_the_last_entries_are_read(addresses):
    assert addresses.of(PROXY, ",".join([CLIENT, *["10.5.5.5"] * 31])) == CLIENT
    assert addresses.of(PROXY, ",".join([CLIENT, *["10.5.5.5"] * 32])) == "10.5.5.5"


@pytest.mark.parametrize("spaces", range(1000, 1020))
def test_a_part_of_an_entry_is_not_read_as_one(addresses, spaces):
    """Where the text is cut, `203.0.113.7` must not be taken for `3.0.113.7`."""
    counts = addresses.of(PROXY, CLIENT + "," + " " * spaces + "10.5.5.5")
    # 1,024 characters are read; an entry that may have lost its beginning is none.
    assert counts == (CLIENT if 12 + spaces + 8 <= 1024 else "10.5.5.5" if spaces + 8 < 1024 else PROXY)
    assert addresses.of(PROXY, " " * spaces + CLIENT) == (CLIENT if spaces + len(CLIENT) <= 1024 else PROXY)


@pytest.mark.parametrize(
    ("trusted", "peer"),
    [
        ("0.0.0.0/0", CLIENT),
        ("::/0", "2001:db8::1"),
        ("::ffff:10.0.0.0/104", PROXY),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3"),
        (" unix ", "unix"),
        ("10.1.2.3,10.1.2.4", PROXY),
    ],
)
def test_proxies_that_may_be_named(trusted, peer):
    assert Addresses(trusted).trusts(peer)


def test_an_ipv6_network_has_no_ipv4_in_it_and_unix_is_no_address():
    assert not Addresses("::/0").trusts(PROXY)
    assert not Addresses("0.0.0.0/0,::/0").trusts("unix")
    assert not Addresses("unix").trusts("")  # a peer that is gone
    assert not Addresses("unix").trusts_nobody


@pytest.mark.parametrize(
    "wrong", ["10.0.0.1/8", "10.0.0.0/33", "proxy", "10.0.0", "Unix", "", "10.0.0.1-9", "*"]
)
def test_a_wrong_one_is_named(wrong):
    with pytest.raises(
        ConfigurationError, match=rf"^SCANNER_TRUSTED_PROXIES: '{re.escape(wrong)}' is no address"
    ):
        Addresses(f"192.0.2.1, {wrong}, unix")


def test_a_long_wrong_one_is_cut():
    with pytest.raises(ConfigurationError) as caught:
        Addresses("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_no_flood_of_entries_is_remembered(addresses):
    for address in IPv4Network("198.18.0.0/18"):
        addresses.of(PROXY, f"{address}")
    info = addresses._entry.cache_info()
    assert info.currsize <= info.maxsize <= 4096
