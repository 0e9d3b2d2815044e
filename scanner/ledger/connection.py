"""The connection to the store: no blind retry, a bound on every wait, and a look at what the store promises.

redis-py 8 re-sends any command up to ten times on its own, a command that was executed and whose reply was
lost included. Here nothing is ever sent twice but by :mod:`scanner.ledger.claims`, which knows that it may.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scanner.errors import ConfigurationError, StoreRefusedError, StoreUnavailableError
from scanner.ledger.address import UNREADABLE, address_of
from scanner.ledger.client import Client
from scanner.ledger.embedded import EmbeddedStore, embedded_store, has_store
from scanner.ledger.functions import Library, library
from scanner.ledger.keys import Keys
from scanner.ledger.wire import NOT_NOW, Wire
from scanner.settings import Settings

log = logging.getLogger("scanner")

# What the store must be set to, and what is lost where it is not.
REQUIRED = {
    "maxmemory-policy": ("noeviction", "claims would be evicted, and their codes win again"),
    "appendonly": ("yes", "accepted scans would be lost with the process"),
    "appendfsync": ("always", "scans of the last second, accepted already, could be lost in a crash"),
    "no-appendfsync-on-rewrite": ("no", "accepted scans could be lost while the log is rewritten"),
}
NO_ROLE = (
    "the store does not let this user do that (CONFIG GET, first of all): what changes something needs a "
    "user of the role operator, `scanner queue keep` of the role keeper, the service of the role service "
    "(`scanner store acl`)"
)
NO_STORE = (
    "there is no store in {}: name its directory by SCANNER_DATA_DIR, or a store of your own by "
    "SCANNER_STORE_URL (`scanner run`, `serve` and `campaign apply` make an embedded one)"
)
# The reply was lost, or never came: the command may have been executed.
LOST = (RedisConnectionError, RedisTimeoutError)
# No answer, or none that helps. RuntimeError is uvloop's, where a connection is lost as it is written to.
NO_ANSWER = (RedisError, RuntimeError)


@dataclass(frozen=True)
class Store:
    """A brand's state in the store: the client, the wire for claims, the keys and the functions."""

    client: Client
    wire: Wire
    keys: Keys
    library: Library

    async def call(self, verb: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """Calls a function of the library once, for the slow changes that people make.

        Raises:
            StoreRefusedError: the function said no, and why.
            StoreUnavailableError: no answer; whether it was done is unknown.
        """
        try:
            return await self.client.execute_command(
                "FCALL", self.library.function(verb), len(keys), *keys, *args
            )
        except ResponseError as error:
            code, _, text = str(error).partition(" ")
            if code == "REFUSED":
                raise StoreRefusedError(text) from None
            raise StoreUnavailableError(f"the store answered: {error}") from error
        except NO_ANSWER as error:
            raise StoreUnavailableError(f"the store did not answer: {error}") from error

    async def close(self) -> None:
        self.wire.close()
        await self.client.aclose()


class _Parser(DefaultParser):  # type: ignore[misc, valid-type]
    """redis-py's, but a store that is none to talk to for now ends the connection, as it ends the wire: what
    was the primary before a fail-over goes on answering, and the next connection leads to the one that is."""

    EXCEPTION_CLASSES = DefaultParser.EXCEPTION_CLASSES | dict.fromkeys(NOT_NOW, RedisConnectionError)


def client_for(url: str, timeout_ms: int) -> Client:
    """A client for the URL, with no connection made yet.

    Raises:
        ConfigurationError: the URL is none of ours (:func:`address_of`), or redis-py would retry after all.
    """
    address = address_of(url)
    try:
        client = Redis.from_url(
            address.url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
            socket_timeout=timeout_ms / 1000,
            socket_connect_timeout=timeout_ms / 1000,
            health_check_interval=0,
            parser_class=_Parser,
            driver_info=None,  # no CLIENT SETINFO: one command less that the store's user needs
            **address.tls,
        )
    except ValueError:  # its text may hold a part of the password
        raise ConfigurationError(UNREADABLE) from None
    if client.connection_pool.connection_kwargs["retry"].get_retries() != 0:
        raise ConfigurationError("this redis-py retries commands on its own; install the locked version")
    return cast(Client, client)


def store_for(settings: Settings, embedded: EmbeddedStore | None = None) -> Store:
    """The brand's store, with no connection made yet."""
    url = embedded.url if embedded else settings.store_url.get_secret_value()
    client = client_for(url, settings.store_timeout_ms)
    return Store(client, Wire(client, settings.store_timeout_ms / 1000), Keys(settings.brand), library())


async def open_store(settings: Settings, embedded: EmbeddedStore | None = None) -> Store:
    """Connects, looks whether the store keeps its promises, and loads the function library.

    ``embedded`` is the running embedded store, where that is the one to use.

    Raises:
        ConfigurationError: the store falls short; the message holds the line to change.
        StoreUnavailableError: it does not answer.
    """
    store = store_for(settings, embedded)
    try:
        await prepare(store, settings)
    except BaseException:
        await store.close()
        raise
    return store


async def prepare(store: Store, settings: Settings) -> None:
    """Looks whether the store keeps its promises, and loads the function library; errors as in open_store."""
    try:
        await check(store.client, accept_volatile=settings.accept_volatile_store)
        await load_functions(store)
    except RedisError as error:
        raise StoreUnavailableError(f"the store did not answer: {error}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # redis-py could not read the reply
        raise StoreUnavailableError(f"the store's reply is none: {error!r}") from error


@asynccontextmanager
async def opened(
    settings: Settings, *, only_reads: bool = False, must_exist: bool = False
) -> AsyncIterator[Store]:
    """The brand's store for as long as the block runs, the embedded one where no other is named.

    Who ``only_reads`` need not know what the store promises, nor may ask for it (``acl.py``). What redis-py
    raises inside the block leaves it as StoreUnavailableError.

    Raises:
        ConfigurationError: the store falls short, or there is none in the data directory yet and it
            ``must_exist``: what comes to look makes no empty one where it was sent to the wrong place.
    """
    async with AsyncExitStack() as stack:
        embedded = None
        if not settings.store_url.get_secret_value():
            if must_exist and not has_store(settings.data_dir):
                raise ConfigurationError(NO_STORE.format(settings.data_dir.absolute()))
            embedded = await stack.enter_async_context(embedded_store(settings.data_dir))
        store = store_for(settings, embedded) if only_reads else await open_store(settings, embedded)
        stack.push_async_callback(store.close)
        try:
            yield store
        except RedisError as error:
            raise StoreUnavailableError(f"the store did not answer: {error}") from error


async def load_functions(store: Store) -> None:
    """Loads the function library where it is not there. Who may not load it needs somebody who did."""
    client, name = store.client, store.library.name
    if await client.execute_command("FUNCTION", "LIST", "LIBRARYNAME", name):
        return
    try:
        await store.client.execute_command("FUNCTION", "LOAD", store.library.code)
    except NoPermissionError:
        raise ConfigurationError(
            "the store has no function library of this version, and this user may not load it: "
            "run `scanner store load` as a user who may"
        ) from None
    except ResponseError as error:
        if "already exists" not in str(error):
            raise ConfigurationError(f"the store does not take the function library: {error}") from error


async def check(client: Client, *, accept_volatile: bool) -> None:
    """Refuses a store that could lose or evict what it acknowledged, or says so where that was accepted."""
    info = await client.info("server")
    version = str(info.get("redis_version", "0"))
    if int(version.split(".")[0]) < 7:
        raise ConfigurationError(f"the store is Redis {version}; functions need Redis 7.0 or Valkey 7.2")
    short = []
    for name, (wanted, loss) in REQUIRED.items():
        try:
            value = (await client.config_get(name)).get(name, "unset")
        except NoPermissionError:
            if not accept_volatile:
                raise ConfigurationError(NO_ROLE) from None
            value = "unreadable (this user may not run CONFIG GET)"
        except ResponseError:
            value = "unreadable (let this user run CONFIG GET)"
        if value != wanted:
            short.append(f"{name} is {value}: set `{name} {wanted}` in the store's configuration, or {loss}")
    if not short:
        return
    if not accept_volatile:
        raise ConfigurationError(
            "the store falls short: " + "; ".join(short) + ". To run on it knowingly: "
            "SCANNER_ACCEPT_VOLATILE_STORE=true, or `serve --accept-volatile-store`"
        )
    for line in short:
        log.warning("volatile store accepted: %s", line)
