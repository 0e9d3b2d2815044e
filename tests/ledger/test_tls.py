"""The store behind TLS: claims travel over it, and nobody is trusted who cannot show who they are."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.ledger.address import address_of
from scanner.ledger.connection import client_for, open_store
from scanner.ledger.wire import Wire
from tests.brand import Brand, brand_in, campaign_toml, settings_for


@dataclass
class Front:
    """A TLS server before the brand's store, on the loopback, with a certificate for ``localhost``."""

    port: int

    def url(self, host: str = "localhost", scheme: str = "rediss", **query: object) -> str:
        parts = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{scheme}://{host}:{self.port}" + (f"?{parts}" if parts else "")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@asynccontextmanager
async def front_of(brand: Brand, authority: trustme.CA, *, asks_client: bool = False) -> AsyncIterator[Front]:
    store = brand.store.client.connection_pool.connection_kwargs["path"]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    if asks_client:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_store, to_store = await asyncio.open_unix_connection(store)
        for pair in ((reader, to_store), (from_store, writer)):
            task = asyncio.create_task(copy(*pair))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield Front(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def front(brand: Brand, authority: trustme.CA) -> AsyncIterator[Front]:
    async with front_of(brand, authority) as front:
        yield front


async def answers(url: str) -> bool:
    """Whether both ways to the store work: redis-py's client, and the wire that claims travel on."""
    client = client_for(url, 2000)
    wire = Wire(client, 2.0)
    try:
        return await client.execute_command("PING") and await wire.call(["PING"]) == b"PONG"
    finally:
        wire.close()
        await client.aclose()


async def test_scans_and_changes_travel_over_tls(front: Front, brand: Brand, ca: Path) -> None:
    settings = settings_for(brand.settings.data_dir, store_url=front.url(ssl_ca_certs=ca))
    async with brand_in(brand.settings.data_dir, store_url=settings.store_url.get_secret_value()) as over:
        await over.apply(campaign_toml())
        lot = await over.lot(3)
        answer = await over.scanner().scan("alice", over.code(lot, 1))
        assert (answer["outcome"], answer["status"]) == ("accepted", 200)
        line = over.store.wire._line
        assert line is None or line._transport.get_extra_info("ssl_object") is not None
    assert not (await brand.audit()).differences


async def refused(url: str, match: str) -> None:
    with pytest.raises(StoreUnavailableError, match=match):
        await open_store(settings_for(Path("unused"), store_url=url))


async def test_who_shows_no_certificate_of_a_known_authority_is_refused(front: Front, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    await refused(front.url(ssl_ca_certs=other), "certificate verify failed")
    await refused(front.url(), "certificate verify failed")  # the system's own authorities


async def test_who_has_another_name_is_refused(front: Front, ca: Path) -> None:
    await refused(front.url("127.0.0.1", ssl_ca_certs=ca), "certificate is not valid for")


async def test_nobody_speaks_plainly_to_a_tls_port_or_tls_to_a_plain_one(
    front: Front, brand: Brand, ca: Path
) -> None:
    await refused(front.url(scheme="redis"), "did not answer")
    store = brand.store.client.connection_pool.connection_kwargs["path"]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, to_store = await asyncio.open_unix_connection(store)
        to_store.close()
        writer.write(b"-ERR Protocol error\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await refused(f"rediss://localhost:{port}?ssl_ca_certs={ca}", "did not answer")


async def test_a_store_may_ask_who_we_are(
    brand: Brand, authority: trustme.CA, ca: Path, tmp_path: Path
) -> None:
    mine = authority.issue_cert("service.test")
    certificate, key = tmp_path / "mine.pem", tmp_path / "mine.key"
    mine.cert_chain_pems[0].write_to_path(str(certificate))
    mine.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    async with front_of(brand, authority, asks_client=True) as front:
        await refused(front.url(ssl_ca_certs=ca), "did not answer")
        assert await answers(front.url(ssl_ca_certs=ca, ssl_certfile=certificate, ssl_keyfile=key))
        key.chmod(0o640)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            await answers(front.url(ssl_ca_certs=ca, ssl_certfile=certificate, ssl_keyfile=key))


@pytest.mark.parametrize(
    "query",
    [
        "ssl_cert_reqs=none",
        "ssl_cert_reqs=optional",
        "ssl_check_hostname=false",
        "ssl_min_version=769",
        "ssl_exclude_verify_flags=VERIFY_X509_STRICT",
        "ssl_ciphers=NULL",
        "ssl_ca_data=x",
        "retry_on_timeout=yes",
        "socket_timeout=3600",
        "protocol=3",
        "password=hunter2hunter2",
        "db=1",
        "x",
        "ssl_ca_certs",
    ],
)
def test_what_would_weaken_the_connection_is_not_for_the_url_to_say(query: str) -> None:
    with pytest.raises(ConfigurationError, match="SCANNER_STORE_URL") as refusal:
        address_of(f"rediss://user:Marked-Passw0rd@store.example:6380?{query}")
    assert "Marked-Passw0rd" not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "rediss://:half?Marked-Passw0rd@store.example",
        "rediss://:half#Marked-Passw0rd@store.example",
        "rediss://:half/Marked-Passw0rd@store.example",
        "rediss://:Marked-Passw0rd@store.example:port",
        "redis://:Marked-Passw0rd@store.example?ssl_ca_certs=ca.pem",
        "rediss://:Marked-Passw0rd@store.example?ssl_ca_certs=/nonexistent/ca.pem",
        "rediss://:Marked-Passw0rd@store.example?ssl_certfile=/nonexistent/c.pem",
        "http://:Marked-Passw0rd@store.example",
        ":Marked-Passw0rd@store.example",
    ],
)
def test_a_url_that_is_refused_shows_nothing_of_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SCANNER_STORE_URL") as refusal:
        client_for(url, 1000)
    assert "Marked" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_file_that_is_none_is_refused(tmp_path: Path, ca: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing", "utf-8")
    nothing.chmod(0o600)
    for query in (f"ssl_ca_certs={nothing}", f"ssl_certfile={ca}&ssl_keyfile={nothing}"):
        with pytest.raises(ConfigurationError, match="PEM"):
            address_of(f"rediss://store.example?{query}")


def test_what_is_checked_is_checked_by_default() -> None:
    kwargs = client_for("rediss://store.example", 1000).connection_pool.make_connection().ssl_context
    context = kwargs.get()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
