"""A real S3 server on loopback (moto, in a thread of this process), and a proxy in front of it that
fails on purpose.

The fixture `s3` (tests/conftest.py) gives a test its own bucket. Where something shall go wrong:

    with s3.failing(Faults(error_share=0.2)) as proxy, pointed_at(proxy.endpoint): ...
"""

import contextlib
import http.client
import random
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from cluster.environment import environment

ACCESS_KEY, SECRET_KEY, REGION = "test-access-key", "test-secret-key", "eu-central-1"


@dataclass(frozen=True)
class Faults:
    """What the proxy does to requests; shares are probabilities in [0, 1], drawn from `seed`."""

    error_share: float = 0.0
    """Answered by 500 or 503 without reaching the server."""
    lost_share: float = 0.0
    """Done by the server, but the answer is lost: the connection ends without one."""
    stall_share: float = 0.0
    """Not answered for `stall_s`, then cut: the client has to time out."""
    delay_s: float = 0.0
    """Every request waits so long first."""
    stall_s: float = 6.0
    seed: int = 0


@dataclass(frozen=True)
class S3Server:
    """Where the server listens, and one empty bucket on it."""

    endpoint: str
    bucket: str

    @property
    def root(self) -> str:
        """A URI for `Storage`."""
        return f"s3://{self.bucket}/root"

    def with_new_bucket(self) -> "S3Server":
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        return S3Server(self.endpoint, name)

    @contextlib.contextmanager
    def failing(self, faults: Faults) -> "Iterator[FaultyProxy]":
        """A proxy before this server, for the length of the block."""
        proxy = FaultyProxy(self.endpoint, faults)
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.is_over.set()
            proxy.shutdown()
            proxy.server_close()
            thread.join()


@contextlib.contextmanager
def running_s3() -> Iterator[S3Server]:
    """The server, on a free port, for the length of the block."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Server(f"http://{host}:{port}", "")
    finally:
        server.stop()


def s3_environment(endpoint: str) -> dict[str, str]:
    """The variables by which every S3 client, also in other processes, finds the server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def pointed_at(endpoint: str) -> contextlib.AbstractContextManager[None]:
    """This process's S3 clients go to `endpoint` within the block."""
    return environment({"AWS_ENDPOINT_URL": endpoint})


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to the server, but for those that `faults` strike."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, faults: Faults):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.faults = urlsplit(upstream).netloc, faults
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.is_over = threading.Event()
        self.n_requests = 0
        self.n_struck = {"error": 0, "lost": 0, "stall": 0}
        self._random, self._lock = random.Random(faults.seed), threading.Lock()

    def strike(self) -> str | None:
        """What happens to the next request: "error", "lost", "stall" or None."""
        shares = {
            "error": self.faults.error_share,
            "lost": self.faults.lost_share,
            "stall": self.faults.stall_share,
        }
        with self._lock:
            self.n_requests += 1
            drawn = self._random.random()
            for kind, share in shares.items():
                if drawn < share:
                    self.n_struck[kind] += 1
                    return kind
                drawn -= share
        return None

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up on us is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _pass_on(self) -> None:
        body = self._body()
        time.sleep(self.server.faults.delay_s)
        struck = self.server.strike()
        if struck == "stall":
            self.server.is_over.wait(self.server.faults.stall_s)
        elif struck == "error":
            self._answer(500 if len(body) % 2 else 503, {"Content-Type": "application/xml"}, b"")
            return
        if struck != "stall":
            upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
            kept = {
                name: value
                for name, value in self.headers.items()
                if name.lower() != "transfer-encoding"
            }
            upstream.request(
                self.command, self.path, body, kept | {"Content-Length": str(len(body))}
            )
            answer = upstream.getresponse()
            content, headers = answer.read(), dict(answer.getheaders())
            upstream.close()
            if struck is None:
                self._answer(answer.status, headers, content)
                return
        self.close_connection = True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        is_head = self.command == "HEAD"
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = (
            next((v for k, v in headers.items() if k.lower() == "content-length"), "0")
            if is_head
            else str(len(content))
        )
        self.send_header("Content-Length", length)
        self.end_headers()
        if not is_head:
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        """Not a line for every request."""
