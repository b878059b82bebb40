"""NATS JetStream, to a real nats-server."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import nats
import pytest
from nats.js.api import StreamConfig
from tests.audit.sinks.papers import Authority, Pair
from tests.audit.sinks.rig import OPTIONS, Rig, open_rig, wait

from tristar.audit.sinks.options import SinkOptions

TOKEN = "canary-7d1f0c52d9e84a77"
SUBJECT = "tristar.audit"
STREAM = "AUDIT"


class NatsServer:
    """One nats-server with JetStream on disk; keeps its port and its streams over restarts."""

    def __init__(self, folder: Path, pair: Pair | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._pair = pair
        self._port = -1
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'tls' if self._pair else 'nats'}://localhost:{self._port}"

    def start(self) -> None:
        """Return once it listens."""
        for old in self._folder.glob("*.ports"):
            old.unlink()
        tls = ""
        if self._pair is not None:
            tls = f'tls {{ cert_file: "{self._pair.cert}", key_file: "{self._pair.key}" }}\n'
        config = self._folder / "nats.conf"
        config.write_text(
            f'host: 127.0.0.1\nport: {self._port}\nauthorization {{ token: "{TOKEN}" }}\n{tls}'
            f'ports_file_dir: "{self._folder}"\njetstream {{ store_dir: "{self._folder}/js" }}\n'
        )
        command = ["nats-server", "-c", str(config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for ports in self._folder.glob("*.ports"):
                text = ports.read_text()
                if text.strip():
                    self._port = int(json.loads(text)["nats"][0].rpartition(":")[2])
                    return
            time.sleep(0.02)
        raise TimeoutError("nats-server does not listen")

    def stop(self) -> None:
        """Kill it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def add_stream(self) -> None:
        """Make the stream that takes the subject."""
        asyncio.run(self._add_stream())

    async def _add_stream(self) -> None:
        client = await nats.connect(self.url, token=TOKEN)
        await client.jetstream().add_stream(StreamConfig(name=STREAM, subjects=[SUBJECT]))
        await client.close()

    def stored(self) -> list[tuple[str, bytes]]:
        """Message id and data of everything in the stream, in its order."""
        return asyncio.run(self._stored())

    async def _stored(self) -> list[tuple[str, bytes]]:
        client = await nats.connect(self.url, token=TOKEN)
        stream = client.jetstream()
        last = (await stream.stream_info(STREAM)).state.last_seq
        found = []
        for seq in range(1, last + 1):
            message = await stream.get_msg(STREAM, seq)
            found.append(((message.headers or {})["Nats-Msg-Id"], message.data or b""))
        await client.close()
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A log that grows."""
    with open_rig(tmp_path / "log") as rig:
        yield rig


def _options(server: NatsServer) -> SinkOptions:
    return replace(OPTIONS, type="nats", url=server.url, secret=TOKEN, batch_records=150)


def test_a_stream_holds_every_record_once_and_in_order(rig: Rig, tmp_path: Path) -> None:
    """The log's own lines under their event ids; what is sent again is dropped by the stream."""
    with NatsServer(tmp_path / "nats") as server:
        server.add_stream()
        rig.append(250)
        rig.deliver_all(options=_options(server))
        (rig.directory / "sinks" / "siem.json").unlink()
        rig.deliver_all(options=_options(server))
        stored = server.stored()

    assert [data for _, data in stored] == rig.bench.lines()
    assert [name for name, _ in stored] == [json.loads(line)["event_id"] for line in rig.bench.lines()]


def test_nothing_is_lost_when_the_server_is_killed(rig: Rig, tmp_path: Path) -> None:
    """It is back at the same place with its stream, and the sink goes on."""
    with NatsServer(tmp_path / "nats") as server:
        server.add_stream()
        options = replace(_options(server), timeout_s=1.0)
        with rig.pumping(options=options):
            for turn in range(2):
                rig.append(120, prefix=f"t{turn}-")
                server.stop()
                server.start()
            assert wait(rig.delivered)
        ids = [name for name, _ in server.stored()]

    assert list(dict.fromkeys(ids)) == [json.loads(line)["event_id"] for line in rig.bench.lines()]


def test_a_server_without_the_stream_acknowledges_nothing(rig: Rig, tmp_path: Path) -> None:
    """The reason says what to add; once it is there, everything arrives."""
    with NatsServer(tmp_path / "nats") as server:
        rig.append(10)
        with rig.pumping(options=_options(server)) as pump:
            assert wait(lambda: pump.reading().reason)
            reason = pump.reading().reason
            server.add_stream()
            assert wait(rig.delivered)

    assert reason == "NATS: no stream takes tristar.audit: add one"


def test_the_servers_certificate_is_checked(rig: Rig, tmp_path: Path) -> None:
    """Over `tls://`, as everywhere."""
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b", "stranger")
    rig.append(10)
    with NatsServer(tmp_path / "nats", authority.issue("server")) as server:
        options = replace(_options(server), ca_file=stranger.cert)
        with rig.pumping(options=options) as pump:
            assert wait(lambda: pump.reading().reason)
        trusting = replace(options, ca_file=authority.cert)
        with rig.pumping(options=trusting) as trusted:
            assert wait(lambda: "no stream takes" in trusted.reading().reason)

    assert "ertificate" in pump.reading().reason
