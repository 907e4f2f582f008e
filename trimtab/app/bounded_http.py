"""HTTP/1.1 as the server parses it, with a limit on what a request may say before its body."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """Refuse a request whose line, headers and trailers are longer than HEAD_BYTES_MAX, whole or not yet.

    The parser itself has no limit: it would keep an endless header until memory ends.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_bytes = 0
        self._unfinished_bytes = 0  # that came since the parser last made something of what came

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head_bytes = self._unfinished_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the path."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body: the receivers have limits of their own on these."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._unfinished_bytes = 0
        super().on_message_complete()

    def _count(self, size_bytes: int) -> None:
        self._unfinished_bytes = 0
        self._head_bytes += size_bytes
        if self._head_bytes > HEAD_BYTES_MAX:
            raise ValueError("the head of the request is too long")
