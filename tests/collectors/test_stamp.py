"""The session-sender against reflectors of our own making, honest and not, and against the lab's."""

import asyncio
import errno
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from collectors.stamp import StampCollector
from collectors.stamp_flow import Flow

pytestmark = pytest.mark.anyio
SERVICE = "acme/service/vpn"
NTP_EPOCH = 2_208_988_800


def ntp(seconds_unix: float) -> bytes:
    """Time as RFC 5905 has it, written here independently of the collector's."""
    whole = int(seconds_unix)
    return struct.pack("!LL", whole + NTP_EPOCH, int((seconds_unix - whole) * 2**32))


class Reflector(asyncio.DatagramProtocol):
    """A small reflector written from RFC 8762 section 4.3.1; `change` may spoil its answers.

    `change(number, packet, received)` returns the answers to send for the number-th packet.
    """

    def __init__(self, estimate: int, change: Callable[..., list[bytes]] | None = None) -> None:
        self.estimate = estimate
        self.change = change
        self.packets: list[tuple[bytes, tuple[str, int]]] = []
        self.stateful = False
        self.shift_seconds = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.append((data, addr))
        received = time.time() + self.shift_seconds
        assert len(data) == 44
        answer = bytearray(44)
        answer[0:4] = data[0:4]
        answer[4:12] = ntp(time.time() + self.shift_seconds)
        answer[12:14] = self.estimate.to_bytes(2, "big")
        answer[14:16] = data[14:16]
        answer[16:24] = ntp(received)
        answer[24:38] = data[0:14]
        answer[40] = 64
        answers = [bytes(answer)]
        if self.change is not None:
            answers = self.change(len(self.packets) - 1, bytes(answer))
        for each in answers:
            self.transport.sendto(each, addr)


@asynccontextmanager
async def reflecting(reflector: Reflector) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: reflector, local_addr=("127.0.0.1", 0)
    )
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


@asynccontextmanager
async def reflecting_in_a_thread(reflector: Reflector) -> AsyncIterator[str]:
    """Reflect from a loop of its own, so that a stall of ours does not stall the far end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = loop.create_datagram_endpoint(lambda: reflector, local_addr=("127.0.0.1", 0))
    transport, _ = asyncio.run_coroutine_threadsafe(made, loop).result(timeout=5)
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        loop.call_soon_threadsafe(transport.close)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        loop.close()


def sender(
    journal: Any, clock: Any, address: str, *, synchronised: bool = True, **session: Any
) -> Any:
    session = {"rate_per_second": 200.0, "timeout_seconds": 0.3, **session}
    config = StampCollector.Config.model_validate(
        {
            "sessions": [{"service": SERVICE, "address": address, **session}],
            "clock_synchronised": synchronised,
            "flush_seconds": 0.1,
        }
    )
    return StampCollector("test", config, journal, clock)


SYNCHRONISED, FREE_RUNNING = 0x8001, 0x0001


async def test_delay_one_way_where_both_clocks_are_synchronised(
    journal, clock, running, until
) -> None:
    reflector = Reflector(SYNCHRONISED)
    async with reflecting(reflector) as address:
        probing = sender(journal, clock, address)
        async with running(probing, journal):
            await until(lambda: len(journal.values("probe_delay_seconds")) >= 40)
    series = [series for series, _, _ in journal.rows("probe_delay_seconds")]
    assert {one.label("direction") for one in series} == {"forward"}
    assert {one.label("service") for one in series} == {SERVICE}
    assert {one.label("flow") for one in series} == {str(n) for n in range(8)}
    assert len({addr for _, addr in reflector.packets}) == 8
    assert all(0 <= value < 1 for value in journal.values("probe_delay_seconds"))
    assert set(journal.values("probe_lost")) == {0.0}
    assert not journal.gaps()
    assert journal.all_finite()


@pytest.mark.parametrize("ours, theirs", [(True, FREE_RUNNING), (False, SYNCHRONISED)])
async def test_round_trip_where_a_clock_is_not(
    journal, clock, running, until, ours, theirs
) -> None:
    reflector = Reflector(theirs)
    reflector.shift_seconds = 1_000.0
    async with reflecting(reflector) as address:
        probing = sender(journal, clock, address, synchronised=ours)
        async with running(probing, journal):
            await until(lambda: len(journal.values("probe_delay_seconds")) >= 10)
    directions = {s.label("direction") for s, _, _ in journal.rows("probe_delay_seconds")}
    assert directions == {"round_trip"}
    assert all(0 <= value < 1 for value in journal.values("probe_delay_seconds"))


@pytest.mark.parametrize("shift_seconds", [-5.0, 5.0])
async def test_an_impossible_delay_is_no_sample(
    journal, clock, running, until, shift_seconds
) -> None:
    reflector = Reflector(SYNCHRONISED)
    reflector.shift_seconds = shift_seconds
    async with reflecting(reflector) as address, running(sender(journal, clock, address), journal):
        await until(lambda: journal.counted().get("suspect", 0) >= 10)
    assert not journal.values("probe_delay_seconds")
    assert set(journal.values("probe_lost")) == {0.0}


async def test_what_is_not_answered_is_lost_and_told_once(journal, clock, running, until) -> None:
    reflector = Reflector(SYNCHRONISED, lambda n, answer: [] if n % 4 == 0 else [answer])
    async with reflecting(reflector) as address:
        probing = sender(journal, clock, address)
        async with running(probing, journal):
            await until(lambda: len(journal.values("probe_lost")) >= 80)
    lost = journal.values("probe_lost")
    assert 0.1 < sum(lost) / len(lost) < 0.4
    times = [(series, at) for series, at, _ in journal.rows("probe_lost")]
    assert len(times) == len(set(times))


async def test_nobody_there_is_loss_not_a_gap(journal, clock, running, until) -> None:
    async with reflecting(Reflector(SYNCHRONISED)) as address:
        pass
    async with running(sender(journal, clock, address), journal):
        await until(lambda: len(journal.values("probe_lost")) >= 20)
    assert set(journal.values("probe_lost")) == {1.0}
    assert not journal.gaps()


async def test_duplicates_and_reordered_answers(journal, clock, running, until) -> None:
    held: list[bytes] = []

    def change(number: int, answer: bytes) -> list[bytes]:
        if number % 2 == 0:
            held.append(answer)
            return []
        return [answer, answer, held.pop()]

    async with reflecting(Reflector(SYNCHRONISED, change)) as address:
        probing = sender(journal, clock, address, flows=1)
        async with running(probing, journal):
            await until(lambda: len(journal.values("probe_lost")) >= 40)
    assert set(journal.values("probe_lost")) == {0.0}
    counts = dict(probing.stats().other)
    assert counts["duplicate"] >= 10
    assert counts["reordered"] >= 10


async def test_a_stateful_reflector_tells_the_way_there_from_the_way_back(
    journal, clock, running, until
) -> None:
    reflected = 0

    def change(number: int, answer: bytes) -> list[bytes]:
        nonlocal reflected
        if number % 5 == 1:
            return []  # lost on the way there: the reflector never saw it
        reflected += 1
        numbered = (reflected - 1).to_bytes(4, "big") + answer[4:]
        return [] if number % 5 == 3 else [numbered]

    async with reflecting(Reflector(SYNCHRONISED, change)) as address:
        probing = sender(journal, clock, address, flows=1, reflector_stateful=True)
        async with running(probing, journal):
            await until(lambda: sum(journal.values("probe_reverse_lost_total")[-1:]) >= 5)
    forward, reverse = (
        journal.values("probe_forward_lost_total"),
        journal.values("probe_reverse_lost_total"),
    )
    assert forward == sorted(forward)
    assert abs(forward[-1] - reverse[-1]) <= 2


async def test_packets_that_are_not_ours_are_counted_and_left_alone(
    journal, clock, running, until
) -> None:
    def change(number: int, answer: bytes) -> list[bytes]:
        other_time = answer[:28] + b"12345678" + answer[36:]
        other_session = answer[:14] + b"\xff\xfe" + answer[16:]
        unknown = answer[:24] + (10**6).to_bytes(4, "big") + answer[28:]
        return [answer[:20], other_time, other_session, unknown]

    async with reflecting(Reflector(SYNCHRONISED, change)) as address:
        probing = sender(journal, clock, address)
        async with running(probing, journal):
            await until(lambda: len(journal.values("probe_lost")) >= 10)
    assert set(journal.values("probe_lost")) == {1.0}
    counts = dict(probing.stats().other)
    assert counts["foreign"] >= 40
    assert not journal.values("probe_delay_seconds")


async def test_an_answer_after_the_timeout_does_not_undo_the_loss(
    journal, clock, running, until
) -> None:
    late: list[tuple[float, bytes]] = []

    def change(number: int, answer: bytes) -> list[bytes]:
        late.append((time.monotonic() + 0.25, answer))
        due = [old for at, old in late if at < time.monotonic()]
        late[:] = [pair for pair in late if pair[1] not in due]
        return due

    async with reflecting(Reflector(SYNCHRONISED, change)) as address:
        probing = sender(journal, clock, address, flows=1, timeout_seconds=0.05)
        async with running(probing, journal):
            await until(lambda: dict(probing.stats().other).get("late", 0) >= 5)
    assert set(journal.values("probe_lost")) == {1.0}
    assert not journal.values("probe_delay_seconds")


async def test_what_we_could_not_send_is_a_gap_not_loss(
    journal, clock, running, until, monkeypatch
) -> None:
    """A fake failure of the network stack: real ENOBUFS can't be had on demand."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    async with reflecting(Reflector(SYNCHRONISED)) as address:
        probing = sender(journal, clock, address)
        async with running(probing, journal):
            await until(lambda: journal.values("probe_lost"))
            monkeypatch.setattr(Flow, "send", full)
            await until(journal.gaps)
            monkeypatch.undo()
            seen = len(journal.values("probe_lost"))
            await until(lambda: len(journal.values("probe_lost")) > seen + 20)
    assert set(journal.values("probe_lost")) == {0.0}
    assert {gap.reason for gap in journal.gaps()} == {"unreachable"}
    assert "No buffer space" in journal.gaps()[0].detail
    assert SERVICE in journal.gaps()[0].detail


async def test_our_own_stall_is_a_gap_not_loss(journal, clock, running, until) -> None:
    reflector = Reflector(SYNCHRONISED)
    async with reflecting_in_a_thread(reflector) as address:
        probing = sender(journal, clock, address)
        async with running(probing, journal):
            await until(lambda: journal.values("probe_lost"))
            time.sleep(1.0)  # noqa: ASYNC251
            await until(journal.gaps)
            seen = len(journal.values("probe_lost"))
            await until(lambda: len(journal.values("probe_lost")) > seen + 20)
    assert set(journal.values("probe_lost")) == {0.0}
    assert "our own loop was late" in journal.gaps()[0].detail
    assert all(value < 0.2 for value in journal.values("probe_delay_seconds"))


async def test_a_name_that_nobody_knows_is_a_gap(journal, clock, running, until) -> None:
    probing = sender(journal, clock, "no-such-host.invalid:862")
    async with running(probing, journal):
        await until(journal.gaps)
    assert journal.gaps()[0].reason == "unreachable"
    assert not journal.rows()


async def test_the_lab_reflector(journal, clock, running, until, free_port, repo_root) -> None:
    if not (repo_root / "lab" / "stamp_reflector.py").is_file():
        pytest.fail("the lab has no reflector")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lab.stamp_reflector", str(free_port), cwd=Path(repo_root)
    )
    try:
        probing = sender(journal, clock, f"127.0.0.1:{free_port}")
        async with running(probing, journal):
            await until(lambda: len(journal.values("probe_delay_seconds")) >= 20)
    finally:
        process.kill()
        await process.wait()
    directions = {s.label("direction") for s, _, _ in journal.rows("probe_delay_seconds")}
    assert directions == {"forward"}
