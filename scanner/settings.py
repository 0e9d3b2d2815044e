"""Every setting, with its unit and its environment variable; and the rule for files that hold keys.

A setting is read from the environment (prefix ``SCANNER_``), then from a ``.env`` file in the working
directory, and a command's flag overrides both. ``docs/settings.md`` lists them; a test holds it complete.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from scanner.errors import ConfigurationError

Brand = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """The settings of one process. A name ends in its unit."""

    model_config = SettingsConfigDict(
        env_prefix="SCANNER_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        validate_default=True,
        frozen=True,
    )

    brand: Brand = Field("main", description="Whose codes these are: one service serves one brand.")
    data_dir: Path = Field(
        Path(".scanner"),
        description="Directory of the embedded store, the key files and the watermark; it must last.",
    )
    store_url: SecretStr = Field(
        SecretStr(""),
        description="Redis 7.0 or Valkey 7.2 and later: `redis://`, `rediss://` (TLS) or `unix://`. "
        "Empty starts the embedded store in the data directory.",
    )
    store_timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = Field(
        700,
        description="Longest wait for one answer of the store. A claim is sent at most twice, "
        "so twice this bounds how long a scan waits for a store that hangs.",
    )
    accept_volatile_store: bool = Field(
        False, description="Run on a store that may lose or evict what it acknowledged. Never in production."
    )
    stream_max_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = Field(
        0,
        description="Most memory of the stream: from 80 % on `/readyz` and a metric say so, at the limit "
        "scans are answered `unavailable` until there is room again. "
        "0: no limit but the store's `maxmemory`.",
    )
    keys_file: Path | None = Field(
        None, description="Master keys of the codes. Default: `keys.json` in the data directory."
    )
    token_keys_file: Path | None = Field(
        None, description="Keys of the member tokens. Default: `token-keys.json` in the data directory."
    )
    host: str = Field("127.0.0.1", description="Address the public port listens on.")
    port: Port = Field(8080, description="Public port; 0 takes a free one.")
    ops_host: str = Field("127.0.0.1", description="Address the operations port listens on.")
    ops_port: Port = Field(
        9090, description="Port of `/livez`, `/readyz` and `/metrics`; 0 takes a free one."
    )
    workers: Annotated[int, Field(ge=0, le=256)] = Field(
        0, description="Worker processes that share the public port; 0 is one for each usable core."
    )
    batch_max: Annotated[int, Field(ge=1, le=1024)] = Field(
        256, description="Most claims that travel to the store in one call."
    )
    batches_away_max: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Most batches a worker has under way; the next one fills meanwhile. One makes the "
        "largest batches, and so the cheapest scans; more may help where the store is far away.",
    )
    waiting_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Most claims that wait in a worker; past it a scan is answered `overloaded`."
    )
    wait_max_ms: Annotated[int, Field(ge=10, le=60_000)] = Field(
        250,
        description="Longest wait of a claim for its batch: a scan that would wait longer is answered "
        "`overloaded` at once, one that did all the same is, too, and nothing was sent.",
    )
    shedding: bool = Field(
        True,
        description="Refuse what is too much as soon as a queue stands, and not only when it is full.",
    )
    connections_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        16_000, description="Most connections to a worker; one more is answered `overloaded` and closed."
    )
    buffer_max_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 36)] = Field(
        64 << 20,
        description="Most memory of a worker that request bodies and requests sent ahead are read into.",
    )
    fast_lane: bool = Field(
        True,
        description="Answer plain scans without aiohttp's request objects: the same answers, for less.",
    )
    body_max_bytes: Annotated[int, Field(ge=256, le=1 << 20)] = Field(
        8192, description="Largest request body, in bytes; of a batch of scans it is 512,000."
    )
    head_timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = Field(
        10_000,
        description="Wait for a request's head, of a new connection and once some of it has come; "
        "up to a fifth longer at random, and no longer than an idle connection stays open.",
    )
    body_timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = Field(
        10_000,
        description="Longest wait for the rest of a request body, and for who asked to take the answer.",
    )
    keepalive_timeout_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        75, description="How long an idle connection stays open, in seconds."
    )
    shutdown_timeout_s: Annotated[int, Field(ge=1, le=600)] = Field(
        10, description="How long a worker may take to answer what it took after SIGTERM, in seconds."
    )
    throttling: bool = Field(
        True,
        description="Make members and addresses wait that fail too often: wrong codes, PINs and tokens.",
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies whose `X-Forwarded-For` says where a request comes from: addresses and networks "
        "with commas, such as `10.0.0.0/8,2001:db8::/32`, and `unix` for whoever comes by a Unix socket. "
        "Empty: the peer's address counts.",
    )
    forgeries_alarm_per_s: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        100,
        description="Forged codes and wrong tokens a second, of all workers and over 10 seconds, from which "
        "on the log and a metric say so.",
    )
    drain_s: Annotated[int, Field(ge=0, le=600)] = Field(
        2,
        description="How long a worker that stops waits for open connections to send one more request, whose "
        "answer says `Connection: close`, in seconds; at most the shutdown timeout. Before that, the service "
        "goes on as usual for so long after SIGTERM, while `/readyz` says that it stops.",
    )
    archive_dir: Path | None = Field(
        None,
        description="Where `scanner queue keep` writes the archive of the stream; its own disk is best, and "
        "it must last. Default: `archive` in the data directory.",
    )
    archive_every_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        900,
        description="Longest time after which what is in the stream is in the archive too, in seconds. Each "
        "time makes a file a campaign, so a short one makes many small files.",
    )
    stream_keep_s: Annotated[int, Field(ge=0, le=31_536_000)] = Field(
        86_400,
        description="How long an entry stays in the stream at least, in seconds, whether or not every group "
        "has finished it. Only `scanner queue keep` trims, and only what is in the archive.",
    )
    log_level: Annotated[str, StringConstraints(pattern=r"^(debug|info|warning|error)$")] = Field(
        "info", description="`debug`, `info`, `warning` or `error`; the log goes to standard error."
    )

    @property
    def keys_path(self) -> Path:
        return self.keys_file or self.data_dir / "keys.json"

    @property
    def archive_path(self) -> Path:
        return self.archive_dir or self.data_dir / "archive"

    @property
    def token_keys_path(self) -> Path:
        return self.token_keys_file or self.data_dir / "token-keys.json"

    @property
    def workers_count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0])

    def to_environment(self) -> dict[str, str]:
        """These settings as environment variables, to hand to a worker process."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["store_url"] = self.store_url.get_secret_value()
        return {f"SCANNER_{name.upper()}": str(v) for name, v in values.items() if v is not None}


def load_settings(**flags: Any) -> Settings:
    """The settings of this process; a flag that is None was not given.

    Raises:
        ConfigurationError: a setting has the wrong form; the message names its variable.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(f"SCANNER_{name}: {first['msg']}") from None
    except UnicodeDecodeError:
        raise ConfigurationError("the .env file is not UTF-8") from None


def read_key_file(path: Path) -> bytes:
    """The content of a key file, at most 64 KiB.

    Raises:
        ConfigurationError: it is missing, too large, or others than its owner may read it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o177:
                raise ConfigurationError(
                    f"{path} has mode {mode:04o}; key files must be 0600: chmod 600 {path}"
                )
            data = file.read(65537)
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing: run `scanner keys init`") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > 65536:
        raise ConfigurationError(f"{path} is larger than 64 KiB; that is no key file")
    return data


def make_private_directory(path: Path) -> None:
    """Makes the directory, for its owner alone, where it is not there.

    Raises:
        ConfigurationError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the directory {path} cannot be made: {error.strerror}") from None


def write_key_file(path: Path, data: bytes) -> None:
    """Replaces the file whole, with mode 0600: a crash leaves the old file or the new one."""
    make_private_directory(path.parent)
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}."
    )  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Returns once its names are on the disk: what was made or renamed in it is there after a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
