"""A server on this machine that stands for the mirrors of the data scripts, the good and the bad."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

CONTENT = np.random.default_rng(0).bytes(300_000)


class Handler(BaseHTTPRequestHandler):
    """Serves server.files at /<kind>/<name>, every kind of server in its own way."""

    def do_GET(self):
        _, kind, name = self.path.split("/")
        wanted = self.headers.get("Range")
        self.server.requests.append((kind, name, wanted))
        content = self.server.files.get(name, b"")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        try:
            getattr(self, kind)(content, start)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had enough

    def answer(self, status, body, **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def whole(self, content, start):
        self.answer(200, content, Content_Length=len(content))

    def ranged(self, content, start):
        if not start:
            return self.whole(content, start)
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(206, content[start:], Content_Length=len(content) - start, Content_Range=span)

    def other_range(self, content, start):
        self.answer(206, content, Content_Length=len(content), Content_Range=f"bytes 0-{len(content) - 1}/*")

    def dropped(self, content, start):
        self.answer(200, content[: len(content) // 2], Content_Length=len(content))

    def wrong(self, content, start):
        self.answer(200, bytes(len(content)), Content_Length=len(content))

    def login_page(self, content, start):
        self.answer(200, b"<html>Sign in</html>", Content_Length=20)

    def endless(self, content, start):
        self.answer(200, content)
        for _ in range(1000):
            self.wfile.write(bytes(1 << 16))
            self.server.sent_in_vain += 1 << 16

    def missing(self, content, start):
        self.send_error(404)

    def silent(self, content, start):
        self.server.closing.wait(10)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.requests, server.sent_in_vain = {"data.bin": CONTENT}, [], 0
        server.closing = threading.Event()
        server.url = lambda kind: f"http://127.0.0.1:{server.server_port}/{kind}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
