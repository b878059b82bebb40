"""A time-stamp authority: `openssl ts` behind HTTP."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.audit.sinks.papers import Authority, Pair
from tests.audit.sinks.website import Post, Reply, Website, serving

_CONFIG = """
[tsa]
default_tsa = stamps
[stamps]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {pair.cert}
certs = {pair.cert}
signer_key = {pair.key}
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = {digest}
"""


class Stamper:
    """Answers RFC 3161 questions as openssl does."""

    def __init__(self, folder: Path, pair: Pair, digest: str = "sha256") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._config = folder / "tsa.cnf"
        self._config.write_text(_CONFIG.format(folder=folder, pair=pair, digest=digest))
        (folder / "serial").write_text("01\n")

    def stamp(self, query: bytes) -> bytes:
        """The TimeStampResp."""
        question, answer = self._folder / "q.tsq", self._folder / "a.tsr"
        question.write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", str(self._config), "-queryfile", str(question)]
        subprocess.run([*command, "-out", str(answer)], check=True, capture_output=True, timeout=30)
        return answer.read_bytes()

    def __call__(self, post: Post) -> Reply:
        """See `Answer`."""
        assert post.headers["content-type"] == "application/timestamp-query"
        return 200, self.stamp(post.body), {"content-type": "application/timestamp-reply"}


@contextmanager
def stamping(folder: Path, authority: Authority) -> Iterator[Website]:
    """A time-stamp authority whose certificate this authority has signed."""
    with serving(Website(Stamper(folder, authority.issue("tsa", stamps_time=True)))) as site:
        yield site
