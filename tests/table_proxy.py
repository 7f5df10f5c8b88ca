"""An HTTP proxy before DynamoDB in which a rule may answer a call itself, or change the answer of the server.

It plays what no emulator does: AWS takes minutes for an index, and refuses a second change of a table meanwhile.
"""

import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Forward = Callable[[], tuple[int, Body]]
Rule = Callable[[str, Body, Forward], tuple[int, Body]]
"""Gets the operation's name, its request, and the function that asks the server; returns status and answer.

A request that the rule has changed is sent as it is then.
"""

IN_USE = {"__type": "com.amazonaws.dynamodb.v20120810#ResourceInUseException", "message": "Table is being updated"}


class TableProxy:
    """Listens on loopback from its construction on, until `close`. `rule` sees each call, on a thread of its own."""

    def __init__(self, to_port: int, rule: Rule) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(to_port, rule))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(to_port: int, rule: Rule) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"]))
            operation = self.headers["x-amz-target"].rpartition(".")[2]

            request = json.loads(asked)

            def forward() -> tuple[int, Body]:
                line = http.client.HTTPConnection("127.0.0.1", to_port, timeout=30)
                body = json.dumps(request).encode()
                headers = {key: text for key, text in self.headers.items() if key.lower() != "content-length"}
                try:
                    line.request("POST", "/", body, headers)
                    answer = line.getresponse()
                    return answer.status, json.loads(answer.read())
                finally:
                    line.close()

            status, body = rule(operation, request, forward)
            answered = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.0")
            self.send_header("content-length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    return Handler
