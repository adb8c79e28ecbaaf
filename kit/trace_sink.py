"""A receiver of traces that forgets them, unless asked not to. With one a service samples, exports, gives exemplars."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Forget(BaseHTTPRequestHandler):
    # An exporter keeps its connection.
    protocol_version = "HTTP/1.1"
    kept: list[bytes] | None = None

    def do_POST(self) -> None:
        """Takes what is sent; the answer is an empty ExportTraceServiceResponse (OTLP/HTTP, binary protobuf)."""
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.kept is not None:
            self.kept.append(sent)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def trace_sink(kept: list[bytes] | None = None) -> Iterator[str]:
    """Receives OTLP over HTTP at the address that it yields; appends each export to `kept`, if that is given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Sink", (_Forget,), {"kept": kept}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
