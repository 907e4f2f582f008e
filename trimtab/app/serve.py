"""`trimtab run`: the loop, the API and the console in one process, until told to stop."""

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi.concurrency import run_in_threadpool

from trimtab.app.assembly import Assembly, assemble
from trimtab.app.bounded_http import BoundedHttp
from trimtab.app.settings import load_settings
from trimtab.errors import TrimtabError

log = logging.getLogger("trimtab")

LAB_PROFILE = "lab"
SERVER_STOP_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 75  # longer than the minute at which many senders push
SERVER_TICK_SECONDS = 1.0  # for the Date header
# So long the loop may wait for a thread that derives or decodes to give the interpreter up; Python's own is 5 ms.
SWITCH_SECONDS = 0.0005
# Python looks for cycles after 700 new objects: of a million new series, which stay, that took a tenth of the time.
COLLECT_AFTER = (100_000, 50, 100)
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


async def serve(path: Path, stop: asyncio.Event, *, lab: bool) -> int:
    """Run until `stop` is set; return the exit code. Raises TrimtabError with a message when it can't start."""
    logging.basicConfig(
        level=os.environ.get("TRIMTAB_LOG_LEVEL", "INFO"), format=LOG_FORMAT, stream=sys.stderr
    )
    for chatty in ("apscheduler", "httpx2", "httpcore2", "httpx", "keystoneauth", "openstack"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECT_AFTER)
    settings = load_settings(path)
    if settings.profile == LAB_PROFILE and not lab:
        raise TrimtabError(
            f"{path}: the profile `lab` shortens every timing and is refused here; use `production`"
        )
    listener = _listen(settings.file.api.host, settings.file.api.port)
    assembly = await assemble(settings)
    # What is loaded by now stays, so nobody need look through it for cycles. By a worker thread, as the first one loads
    # what the actuators' HTTP client needs: 18 ms, for which the first action would wait.
    await run_in_threadpool(gc.freeze)
    server = _Server(
        uvicorn.Config(
            assembly.api, http=BoundedHttp, log_config=None, access_log=False, lifespan="on",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(SERVER_STOP_SECONDS), server_header=False,
        )
    )  # fmt: skip
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    try:
        await assembly.start()
        log.info(
            "the loop runs; console on http://%s:%d/",
            settings.file.api.host,
            settings.file.api.port,
        )
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            raise TrimtabError("the API's server ended by itself")
    finally:
        await _stop(assembly, server, serving)
    return 0


async def _stop(assembly: Assembly, server: "_Server", serving: "asyncio.Task[None]") -> None:
    assembly.api.state.context.subscribers.close()
    server.leave()
    try:
        await asyncio.wait_for(asyncio.shield(serving), SERVER_STOP_SECONDS * 2)
    except TimeoutError:
        serving.cancel()
    await assembly.stop()


class _Server(uvicorn.Server):
    """A server without signal handling of its own, as the command line has its own; it wakes once a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Ask it to stop."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Keep the Date header right until asked to stop."""
        while not await self.on_tick(0):
            try:
                async with asyncio.timeout(SERVER_TICK_SECONDS):
                    await self._leaving.wait()
            except TimeoutError:
                pass  # the next second

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Take the port first: whoever can't have it must learn so before anything else starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only of a socket that names TCP does asyncio switch Nagle's algorithm off: 40 ms an answer on a kept connection.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise TrimtabError(
            f"{host}:{port} can't be listened on: {error.strerror}; free it, or set api.port"
        ) from error
    return listener
