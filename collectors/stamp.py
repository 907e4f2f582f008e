"""STAMP session-sender (RFC 8762, RFC 8972): active probes over several flows, delay and loss of each."""

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from collectors.delivery import Account, CollectorStats, Outlet
from collectors.discovery import split_address
from collectors.stall import STALL_LIMIT_SECONDS
from collectors.stamp_flow import Flow, Outcome, Stamping, open_socket
from collectors.stamp_loss import OneWayLoss
from collectors.stamp_packet import error_estimate
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND, ns_from_seconds
from trimtab.errors import CollectorError
from trimtab.ports import Clock, Gap, GapReason, ReadingSink, SeriesIndex

SESSIONS_MAX = 1_000
FLOWS_MAX = 256
RATE_MAX_PER_SECOND = 1_000.0
RESOLVE_TIMEOUT_SECONDS = 5.0
RESOLVE_AGAIN_SECONDS = 5.0
FIRST_SSID, LAST_SSID = 1, 65_535  # RFC 8972: 0 says that there is none
Row = tuple[int, int, float]


class ProbedService(BaseModel):
    """One service that is probed end to end.

    `service` is the object's id, `address` its reflector, `host:port`. Every flow has a source port of its own, so
    that a chain which spreads flows by hash is probed on every instance. `reflector_stateful` says that the reflector
    numbers what it receives (RFC 8762 section 4.3): then loss is told apart by direction.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    service: str = Field(min_length=1, max_length=256)
    address: str
    flows: int = Field(default=8, ge=1, le=FLOWS_MAX)
    rate_per_second: float = Field(default=20.0, gt=0, le=RATE_MAX_PER_SECOND)
    timeout_seconds: float = Field(default=1.0, ge=0.01, le=60)
    reflector_stateful: bool = False

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            split_address(value)
        except CollectorError as error:
            raise ValueError(str(error)) from None
        return value


class StampCollector:
    """Send STAMP probes and tell what came of each, at the time it was sent.

    `probe_lost` is 0 or 1 for each probe once it was answered or timed out. `probe_delay_seconds` has the direction
    `forward` only where both clocks are synchronised (both S bits), else `round_trip` less the reflector's own time. A
    delay that is negative or otherwise impossible is suspect: counted, never a sample. What could not be sent is a gap,
    not loss. From a stateful reflector come `probe_forward_lost_total` and `probe_reverse_lost_total` besides.
    """

    kind: ClassVar[str] = "stamp"

    class Config(BaseModel):
        """Settings of a prober. `clock_synchronised` is a promise: this machine's clock follows UTC."""

        model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

        sessions: list[ProbedService] = Field(min_length=1, max_length=SESSIONS_MAX)
        clock_synchronised: bool = False
        clock_error_seconds: float = Field(default=0.001, gt=0, le=10)
        timestamp_format: Literal["ntp", "ptp"] = "ntp"
        ptp_utc_offset_seconds: int = Field(default=37, ge=0, le=1_000)
        flush_seconds: float = Field(default=0.2, ge=0.1, le=10)

    def __init__(self, name: str, config: Config, index: SeriesIndex, clock: Clock) -> None:
        self.name = name
        self.source = f"{self.kind}/{name}"
        self.account = Account()
        self._config = config
        self._index = index
        self._clock = clock
        self._outlet = Outlet(self.source, clock, self.account)
        ptp = config.timestamp_format == "ptp"
        self._stamping = Stamping(
            error_estimate(
                config.clock_error_seconds, synchronised=config.clock_synchronised, ptp=ptp
            ),
            ptp,
            config.ptp_utc_offset_seconds,
        )

    def stats(self) -> CollectorStats:
        """Return what was done so far. `other` counts probes, answers that were odd, and suspect delays."""
        return self.account.stats()

    async def run(self, sink: ReadingSink) -> None:
        """Probe until cancelled."""
        sessions = [
            _Session(settings, self._index, self.account) for settings in self._config.sessions
        ]
        ssid = FIRST_SSID
        try:
            async with asyncio.TaskGroup() as group:
                for session in sessions:
                    group.create_task(self._probe(session, ssid))
                    ssid = (ssid - 1 + session.settings.flows) % LAST_SSID + 1
                while True:
                    await asyncio.sleep(self._config.flush_seconds)
                    await self._flush(sessions, sink)
        finally:
            for session in sessions:
                session.close()

    async def _probe(self, session: "_Session", first_ssid: int) -> None:
        await self._open(session, first_ssid)
        loop = asyncio.get_running_loop()
        step = 1.0 / session.settings.rate_per_second
        due = loop.time()
        turn = 0
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            late = loop.time() - due
            if late > STALL_LIMIT_SECONDS + step:
                missed = int(late / step)
                session.unsent[GapReason.TIMEOUT, "our own loop was late"] += missed
                due += missed * step
            flow = session.flows[turn % len(session.flows)]
            turn += 1
            due += step
            try:
                flow.send(self._clock.now_ns())
                self.account.other["probes"] += 1
            except OSError as error:
                session.unsent[GapReason.UNREACHABLE, error.strerror or str(error)] += 1

    async def _open(self, session: "_Session", first_ssid: int) -> None:
        """Open the session's sockets, trying until the address can be resolved."""
        while True:
            try:
                return await session.open(first_ssid, self._stamping)
            except (OSError, ValueError) as error:  # a name may also be none at all
                detail = str(error) or "the name was not resolved in time"
                session.unsent[GapReason.UNREACHABLE, detail] += 1
            await asyncio.sleep(RESOLVE_AGAIN_SECONDS)

    async def _flush(self, sessions: list["_Session"], sink: ReadingSink) -> None:
        rows: list[Row] = []
        gaps: list[Gap] = []
        refused: Counter[str] = Counter()
        for session in sessions:
            rows += session.rows(refused)
            for (reason, detail), count in session.unsent.items():
                text = f"{session.settings.service}: {count} probes not sent: {detail}"
                gaps.append(self._outlet.gap(reason, text))
            session.unsent.clear()
        if not (rows or gaps or refused):
            return
        batch = SampleBatch.from_rows(self.source, rows) if rows else None
        reading = self._outlet.reading(batch, gaps=tuple(gaps), refused=refused)
        if await self._outlet.put(sink, reading) and any(session.answered for session in sessions):
            self.account.last_success_ns = self._clock.now_ns()


@dataclass(slots=True)
class _Session:
    """The flows of one service while a `run` lasts."""

    settings: ProbedService
    index: SeriesIndex
    account: Account
    flows: list[Flow] = field(default_factory=list)
    losses: list[OneWayLoss] = field(default_factory=list)
    unsent: Counter[tuple[GapReason, str]] = field(default_factory=Counter)
    answered: bool = False
    _ids: dict[Series, int] = field(default_factory=dict)

    async def open(self, first_ssid: int, stamping: Stamping) -> None:
        """Resolve the address and open a socket a flow. Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        host, port = split_address(self.settings.address)
        async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, _, _, _, peer = found[0]
        try:
            for number in range(self.settings.flows):
                ssid = (first_ssid - 1 + number) % LAST_SSID + 1
                flow = Flow(
                    open_socket(family), (str(peer[0]), int(peer[1])), ssid,
                    ns_from_seconds(self.settings.timeout_seconds), stamping, self._count,
                )  # fmt: skip
                self.flows.append(flow)
                self.losses.append(OneWayLoss())
                loop.add_reader(flow.sock, flow.drain)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the sockets."""
        for flow in self.flows:
            asyncio.get_running_loop().remove_reader(flow.sock)
            flow.sock.close()
        self.flows.clear()
        self.losses.clear()

    def _count(self, what: str) -> None:
        self.account.other[what] += 1

    def rows(self, refused: Counter[str]) -> list[Row]:
        """Return the rows of what was answered or given up since the last call."""
        rows: list[Row] = []
        self.answered = False
        for number, (flow, loss) in enumerate(zip(self.flows, self.losses, strict=True)):
            flow.drain()
            flow.expire()
            outcomes = flow.take()
            for outcome in outcomes:
                self._add(rows, outcome, number, refused)
            if self.settings.reflector_stateful and outcomes:
                self._add_one_way(rows, loss, outcomes, number, refused)
        return rows

    def _add(self, rows: list[Row], outcome: Outcome, number: int, refused: Counter[str]) -> None:
        self.answered |= not outcome.lost
        lost = self._id("probe_lost", number, refused)
        if lost is not None:
            rows.append((lost, outcome.at_ns, float(outcome.lost)))
        if outcome.delay_ns is None:
            if not outcome.lost:
                refused["suspect"] += 1
            return
        direction = "forward" if outcome.one_way else "round_trip"
        delay = self._id("probe_delay_seconds", number, refused, direction)
        if delay is not None:
            rows.append((delay, outcome.at_ns, outcome.delay_ns / NS_PER_SECOND))

    def _add_one_way(
        self, rows: list[Row], loss: OneWayLoss, outcomes: list[Outcome], number: int,
        refused: Counter[str],
    ) -> None:  # fmt: skip
        loss.take(outcomes)
        at_ns = max(outcome.at_ns for outcome in outcomes)
        for direction, total in (("forward", loss.forward), ("reverse", loss.reverse)):
            found = self._id(f"probe_{direction}_lost_total", number, refused)
            if found is not None:
                rows.append((found, at_ns, float(total)))

    def _id(self, name: str, number: int, refused: Counter[str], direction: str = "") -> int | None:
        labels = {"service": self.settings.service, "flow": str(number), "direction": direction}
        series = Series.of(name, labels)
        found = self._ids.get(series)
        if found is None:
            found = self.index.intern(series)
            if found is None:
                refused["series_cap"] += 1
                return None
            self._ids[series] = found
        return found
