"""Syslog over TLS, to a real rsyslog."""

import json
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.audit.sinks.papers import Authority
from tests.audit.sinks.rig import OPTIONS, Rig, open_rig, wait
from tests.audit.sinks.rsyslog import Rsyslog

from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, SinkDown
from tristar.audit.sinks.syslog import SyslogReceiver, octet_counted
from tristar.audit.sinks.tls import client_context

_MESSAGE = re.compile(
    rb"<110>1 (?P<stamp>\S+) (\S+) (\S+) (\S+) (?P<action>\S+) "
    rb'\[tristar@32473 [^\]]*seq="(?P<seq>\d+)"[^\]]*\] '
    rb"\xef\xbb\xbf(?P<line>\{.*\})"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that is believed."""
    return Authority(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A log that grows."""
    with open_rig(tmp_path / "log") as rig:
        yield rig


def _options(port: int, authority: Authority, host: str = "localhost") -> SinkOptions:
    return replace(OPTIONS, type="syslog", address=(host, port), ca_file=authority.cert)


def _seqs(messages: list[bytes]) -> list[int]:
    """The numbers of whole messages; the beginning of one, left by a receiver that was killed, is none."""
    found = [_MESSAGE.fullmatch(message, message.rfind(b"<110>1 ")) for message in messages]
    return [int(match["seq"]) for match in found if match is not None]


def _first_times(seqs: list[int]) -> list[int]:
    return list(dict.fromkeys(seqs))


def test_rsyslog_receives_every_record_as_it_stands_in_the_log(
    rig: Rig, authority: Authority, tmp_path: Path
) -> None:
    """RFC 5424 messages, octet-counted: a record with line breaks and brackets is one message, unaltered."""
    with Rsyslog(tmp_path / "r", authority, authority.issue("server")) as server:
        rig.append(200)
        rig.append(3, prefix="odd", details={"text": 'a\nb ] "quoted" \\ \U0001f98a' * 50})
        rig.deliver_all(options=_options(server.port, authority))
        assert wait(lambda: len(server.messages()) >= rig.writer.size)
        messages = server.messages()

    matches = [_MESSAGE.fullmatch(message) for message in messages]
    assert [match and match["line"] for match in matches] == rig.bench.lines()
    assert [match and json.loads(match["line"])["seq"] for match in matches] == list(range(rig.writer.size))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_nothing_is_lost_over_restarts_of_rsyslog(
    rig: Rig, authority: Authority, tmp_path: Path, how: signal.Signals
) -> None:
    """Restarted under load: every record arrives whole, for the first time in order; some arrive twice."""
    with Rsyslog(tmp_path / "r", authority, authority.issue("server")) as server:
        with rig.pumping(options=_options(server.port, authority)):
            for turn in range(3):
                rig.append(150, prefix=f"t{turn}-")
                server.restart(how)
            rig.append(50, prefix="last")
            assert wait(rig.delivered)
        seqs = _seqs(server.messages())

    assert _first_times(seqs) == list(range(rig.writer.size))


def test_a_certificate_of_an_unknown_authority_is_refused(
    rig: Rig, authority: Authority, tmp_path: Path
) -> None:
    """Nothing is sent to who cannot prove who it is, and the reason is named."""
    stranger = Authority(tmp_path / "stranger", "stranger")
    with Rsyslog(tmp_path / "r", stranger, stranger.issue("server")) as server:
        rig.append(10)
        with rig.pumping(options=_options(server.port, authority)) as pump:
            assert wait(lambda: pump.reading().reason)
            reason = pump.reading().reason

        assert "certificate is refused" in reason
        assert server.messages() == []
        assert rig.cursor().next == 0


def test_a_certificate_for_another_host_is_refused(rig: Rig, authority: Authority, tmp_path: Path) -> None:
    """The authority alone is not enough."""
    with Rsyslog(tmp_path / "r", authority, authority.issue("other", host="other.example")) as server:
        receiver = SyslogReceiver(_options(server.port, authority))
        rig.append(1)
        with pytest.raises(SinkDown, match="certificate is refused"):
            receiver.deliver([Entry(0, "e0", rig.bench.lines()[0])])


def test_a_receiver_may_ask_for_our_certificate(rig: Rig, authority: Authority, tmp_path: Path) -> None:
    """With it the records arrive, without it none does."""
    own = authority.issue("client")
    with Rsyslog(tmp_path / "r", authority, authority.issue("server"), mutual=True) as server:
        rig.append(20)
        bare = _options(server.port, authority)
        with rig.pumping(options=bare) as pump:
            assert wait(lambda: pump.reading().failures >= 2)
        assert server.messages() == []
        rig.deliver_all(options=replace(bare, cert_file=own.cert, key_file=own.key))
        assert wait(lambda: len(server.messages()) == rig.writer.size)


@pytest.mark.parametrize("form", ["cef", "leef"])
def test_the_text_of_a_message_may_be_cef_or_leef(
    rig: Rig, authority: Authority, tmp_path: Path, form: str
) -> None:
    """For collectors that expect these within syslog."""
    with Rsyslog(tmp_path / "r", authority, authority.issue("server")) as server:
        rig.append(5)
        rig.deliver_all(options=replace(_options(server.port, authority), format=form))
        assert wait(lambda: len(server.messages()) == rig.writer.size)
        texts = [message.partition(b"\xef\xbb\xbf")[2] for message in server.messages()]

    assert all(text.startswith(form.upper().encode() + b":") for text in texts)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    """The operator learns which file to look at."""
    (tmp_path / "ca.pem").write_text("not a certificate")

    with pytest.raises(SinkDown, match=r"ca\.pem: cannot be used for TLS"):
        client_context(tmp_path / "ca.pem")


class _Receiver:
    """A TLS receiver for one connection, which ends as the test wants it to."""

    def __init__(
        self, authority: Authority, conduct: Callable[[socket.socket, ssl.SSLContext], None]
    ) -> None:
        pair = authority.issue("scripted")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.cert, pair.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._conduct = conduct
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, suppress(OSError):
            connection.settimeout(10)
            self._conduct(connection, self._context)

    def end(self) -> None:
        """Wait for the conversation to be over."""
        self._thread.join(30)
        self._listener.close()


def _closes_at_once(connection: socket.socket, context: ssl.SSLContext) -> None:
    """Says goodbye after the handshake, without reading: as a receiver that is just being stopped."""
    with context.wrap_socket(connection, server_side=True) as secured:
        secured.settimeout(0.2)
        with suppress(OSError):
            secured.unwrap()


def _reads_half(connection: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(connection, server_side=True) as secured:
        secured.recv(100)


def _never_reads(connection: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(connection, server_side=True):
        threading.Event().wait(1.5)


def _hangs_up(connection: socket.socket, context: ssl.SSLContext) -> None:
    """No handshake at all."""
    connection.recv(1)


@pytest.mark.parametrize("conduct", [_closes_at_once, _reads_half, _never_reads, _hangs_up])
def test_a_receiver_that_did_not_read_everything_has_acknowledged_nothing(
    authority: Authority, conduct: Callable[[socket.socket, ssl.SSLContext], None]
) -> None:
    """Not even with a proper goodbye: what it said before it read proves nothing."""
    server = _Receiver(authority, conduct)
    options = replace(_options(server.port, authority), timeout_s=1.0)
    batch = [
        Entry(seq, f"e{seq}", b'{"action":"x","seq":%d,"text":"%b"}' % (seq, b"t" * 500)) for seq in range(50)
    ]
    with pytest.raises(SinkDown):
        SyslogReceiver(options).deliver(batch)
    server.end()


def _replies(connection: socket.socket, context: ssl.SSLContext) -> None:
    """As RFC 5425, 4.4 demands: reads to our close_notify, then answers it."""
    with context.wrap_socket(connection, server_side=True) as secured:
        while secured.recv(65_536):
            pass
        secured.unwrap()


def test_an_answered_close_notify_acknowledges(authority: Authority) -> None:
    """A receiver that does as RFC 5425 says is believed."""
    server = _Receiver(authority, _replies)
    refused = SyslogReceiver(_options(server.port, authority)).deliver([Entry(0, "e0", b'{"seq":0}')])
    server.end()

    assert refused == 0


def test_frames_count_octets_not_characters() -> None:
    """RFC 5425, 4.3."""
    assert octet_counted("<110>1 é".encode()) == b"9 <110>1 \xc3\xa9"


def test_a_receiver_that_is_not_there_is_named() -> None:
    """Address and reason, for the person who has to mend it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    receiver = SyslogReceiver(replace(OPTIONS, type="syslog", address=("127.0.0.1", port)))

    with pytest.raises(SinkDown, match=f"127.0.0.1:{port}: Connection refused"):
        receiver.deliver([Entry(0, "e0", b'{"seq":0}')])
