"""What every receiver of pushed samples does alike: admit a request, resolve its series, screen its rows, answer."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from collectors.delivery import Account, CollectorStats, Outlet
from collectors.push import (
    PLAIN_TEXT,
    AsgiReceive,
    AsgiSend,
    BodyIncomplete,
    BodyTooLarge,
    MalformedRequest,
    Message,
    RequestTooLarge,
    answer,
)
from collectors.settings import pattern
from trimtab.domain.samples import SampleBatch, SampleFlag
from trimtab.domain.series import (
    LABEL_VALUE_BYTES_MAX,
    LABELS_PER_SERIES_MAX,
    Series,
    longer_than,
)
from trimtab.domain.time import NS_PER_SECOND
from trimtab.ports import Clock, GapReason, Reading, ReadingSink, SeriesIndex

FUTURE_LIMIT_NS = 10 * NS_PER_SECOND
RETRY_AFTER_SECONDS = 5
# What stands in for a series' id when a sample is not taken; the word is what is counted.
SKIPPED, LABEL_LIMIT, SERIES_CAP, LABEL_NAME = -1, -2, -3, -4
REFUSALS = {LABEL_LIMIT: "label_limit", SERIES_CAP: "series_cap", LABEL_NAME: "label_name"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request; 503 gets its Retry-After by itself."""

    status: int
    body: bytes = b""
    content_type: str = PLAIN_TEXT
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: int, text: str) -> Self:
        """Answer in plain words."""
        return cls(status, text.encode())


@dataclass(slots=True)
class Rows:
    """The samples of a request in its order: id (or a code below 0 for what is not taken), time, value, staleness.

    ids int64, time_ns int64, value float64, stale bool. `refused` counts what never became a row.
    """

    ids: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    stale: npt.NDArray[np.bool_]
    refused: Counter[str]


class ReceiverSettings(BaseModel):
    """Settings of a receiver. `drop_labels` are taken off every series, `labels` are put on."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    keep: str | None = None
    drop: str | None = None
    drop_labels: list[str] = Field(default_factory=list, max_length=100)
    labels: dict[str, str] = Field(default_factory=dict, max_length=20)
    body_bytes_max: int = Field(default=8_388_608, ge=1_024, le=134_217_728)
    unpacked_bytes_max: int = Field(default=67_108_864, ge=1_024, le=536_870_912)
    samples_per_request_max: int = Field(default=100_000, ge=1, le=500_000)
    requests_max: int = Field(default=32, ge=1, le=1_000)

    @field_validator("keep", "drop")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        return pattern(value)


class Receiver(ABC):
    """Take pushes at `asgi`, which the API mounts; `run` only says where the readings go, and how long.

    A kind of receiver says `refusal` (is this request addressed to me?), `take` (decode it, put it) and `failure`
    (how its protocol tells of an error).
    """

    kind: ClassVar[str]

    def __init__(
        self, name: str, config: ReceiverSettings, index: SeriesIndex, clock: Clock
    ) -> None:
        self.name = name
        self.source = f"{self.kind}/{name}"
        self.account = Account()
        self._limits = config
        self._index = index
        self._clock = clock
        self._outlet = Outlet(self.source, clock, self.account)
        self._keep = re.compile(config.keep) if config.keep else None
        self._drop = re.compile(config.drop) if config.drop else None
        self._sink: ReadingSink | None = None
        self._requests = 0

    def stats(self) -> CollectorStats:
        """Return what was done so far. `other` counts requests by answer."""
        return self.account.stats()

    async def run(self, sink: ReadingSink) -> None:
        """Take pushes until cancelled; before and after, senders are told to come again."""
        self._sink = sink
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._sink = None

    async def asgi(self, scope: Message, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request; an ASGI application."""
        if scope["type"] != "http":
            return
        reply = await self._reply(scope, receive)
        self.account.other[f"answered_{reply.status}"] += 1
        again = (("retry-after", str(RETRY_AFTER_SECONDS)),) if reply.status == 503 else ()
        await answer(send, reply.status, reply.body, (*again, *reply.headers), reply.content_type)

    @abstractmethod
    def refusal(self, scope: Message) -> Reply | None:
        """Return why a request is none for this receiver, None when it is."""

    @abstractmethod
    async def take(self, scope: Message, receive: AsgiReceive, sink: ReadingSink) -> Reply:
        """Take a request. Raises MalformedRequest, RequestTooLarge and what `read_body` raises."""

    def failure(self, scope: Message, status: int, error: Exception | str) -> Reply:
        """Say in the protocol's way what was wrong; 413, 400 and 503 come this way."""
        return Reply.text(status, str(error))

    async def _reply(self, scope: Message, receive: AsgiReceive) -> Reply:
        refusal = self.refusal(scope)
        if refusal is not None:
            return refusal
        if self._sink is None or self._requests >= self._limits.requests_max:
            return self.failure(scope, 503, "not now")
        self._requests += 1
        try:
            return await self.take(scope, receive, self._sink)
        except (BodyTooLarge, RequestTooLarge) as error:
            self._outlet.remember(GapReason.TOO_LARGE, str(error))
            return self.failure(scope, 413, error)
        except (BodyIncomplete, MalformedRequest) as error:
            self._outlet.remember(GapReason.MALFORMED, str(error))
            return self.failure(scope, 400, error)
        finally:
            self._requests -= 1

    async def put(self, sink: ReadingSink, reading: Reading) -> bool:
        """Return whether a reading is durable; one without anything in it is at once."""
        if reading.batch is None and not reading.refused:
            return True
        if not await self._outlet.put(sink, reading):
            return False
        self.account.last_success_ns = self._clock.now_ns()
        return True

    def resolve(self, name: str, labels: dict[str, str]) -> int:
        """Return the id of a series, or a code below 0: not wanted, or refused. `labels` become this receiver's."""
        if self._keep is not None and self._keep.fullmatch(name) is None:
            return SKIPPED
        if self._drop is not None and self._drop.fullmatch(name) is not None:
            return SKIPPED
        if "__name__" in labels:  # it would be taken for the name
            return LABEL_NAME
        for gone in self._limits.drop_labels:
            labels.pop(gone, None)
        labels.update(self._limits.labels)
        texts = [name, *labels, *labels.values()]
        if len(labels) > LABELS_PER_SERIES_MAX or longer_than(texts, LABEL_VALUE_BYTES_MAX):
            return LABEL_LIMIT
        found = self._index.intern(Series.of(name, labels))
        return SERIES_CAP if found is None else found

    def screen(self, rows: Rows) -> tuple[npt.NDArray[np.bool_], Counter[str]]:
        """Return which rows are taken, and why the others are not: no finite number, too far ahead, no series."""
        refused = Counter(rows.refused)
        for code, word in REFUSALS.items():
            refused[word] += int(np.count_nonzero(rows.ids == code))
        taken = rows.ids >= 0
        for word, bad in (
            ("nan", np.isnan(rows.value) & ~rows.stale),
            ("infinite", np.isinf(rows.value)),
            ("future", rows.time_ns > self._clock.now_ns() + FUTURE_LIMIT_NS),
        ):
            refused[word] += int(np.count_nonzero(taken & bad))
            taken &= ~bad
        return taken, +refused

    def reading(self, rows: Rows) -> Reading:
        """Turn rows into a reading, which holds what is taken of them and counts the rest."""
        return self.reading_of(rows, *self.screen(rows))

    def reading_of(
        self, rows: Rows, taken: npt.NDArray[np.bool_], refused: Counter[str]
    ) -> Reading:
        """Turn screened rows into a reading."""
        stale = rows.stale[taken]
        batch = SampleBatch(
            source=self.source,
            series_id=rows.ids[taken].astype(np.int32),
            time_ns=rows.time_ns[taken],
            value=np.where(stale, 0.0, rows.value[taken]),
            flags=np.where(stale, SampleFlag.STALE, SampleFlag.NONE).astype(np.uint8),
        )
        return self._outlet.reading(batch if len(batch) else None, refused=refused)
