"""A transport for openstacksdk that reads no answer for ever, nor one without end. Imported with the SDK, when used.

The SDK's own timeout is for each read of the socket: a target that sends a little now and then holds a thread as long
as it likes, and its memory too.
"""

import time
from typing import Any

import requests
from keystoneauth1.session import TCPKeepAliveAdapter

ANSWER_BYTES_MAX = 32 * 1024 * 1024
CHUNK_BYTES = 64 * 1024


class BoundedTransport(TCPKeepAliveAdapter):
    """Read each answer whole, within `seconds` and ANSWER_BYTES_MAX. Raises requests' ReadTimeout beyond either."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        super().__init__()

    def send(
        self, request: requests.PreparedRequest, *rest: Any, **named: Any
    ) -> requests.Response:
        """Send one request; the answer's body is read here."""
        until = time.monotonic() + self._seconds
        response = super().send(request, *rest, **{**named, "stream": True})
        chunks = []
        size = 0
        for chunk in response.iter_content(CHUNK_BYTES):
            size += len(chunk)
            if size > ANSWER_BYTES_MAX or time.monotonic() > until:
                response.close()
                raise requests.exceptions.ReadTimeout(f"{size} bytes, and no end", request=request)
            chunks.append(chunk)
        response._content = b"".join(chunks)
        return response
