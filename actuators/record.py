"""Writes down what would have been done, as JSON lines, and does nothing else. Takes every kind of action.

A line: {"format": 1, "at": RFC 3339, "id": the action's id, "kind": ..., "target": ..., "action": {as journaled}}.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from trimtab.domain.action import Action, Operation
from trimtab.domain.codec import to_plain
from trimtab.domain.time import rfc3339
from trimtab.ports import Clock, Found, Submission, SubmissionOutcome

FORMAT = 1
FILE_BYTES_MAX = 256 * 1024 * 1024


class Record:
    """A file that takes every action and always succeeds, as long as it can be written."""

    kind: ClassVar[str] = "record"

    class Config(BaseModel):
        """Which file to append to; its folder must exist."""

        model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

        path: str

    def __init__(self, name: str, config: Config, clock: Clock) -> None:
        self.name = name
        self._path = Path(config.path)
        self._clock = clock
        self._writing = asyncio.Lock()

    async def submit(self, action: Action) -> Submission:
        """Append a line and sync it. A file that can't be written refuses; a line cut off or not synced is UNKNOWN."""
        line = {
            "format": FORMAT,
            "at": rfc3339(self._clock.now_ns()),
            "id": action.id,
            "kind": action.kind.value,
            "target": action.target_id,
            "action": to_plain(action),
        }
        blob = json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        async with self._writing:
            outcome, detail = await asyncio.to_thread(self._append, blob)
        operation = self._recorded(action) if outcome is SubmissionOutcome.DONE else None
        return Submission(outcome, detail, operation)

    async def poll(self, action: Action, operation: Operation) -> Operation:
        """Return the operation: what is written is done."""
        return operation

    async def find(self, action: Action, since_ns: int) -> Found:
        """Look for the action's line in the file, whenever it was written: the id says enough."""
        async with self._writing:
            try:
                found = await asyncio.to_thread(self._holds, action.id)
            except OSError as error:
                return Found(asked=False, detail=str(error))
        if found:
            return Found(True, self._recorded(action), "its line is there")
        return Found(asked=True, detail="no line has its id")

    async def close(self) -> None:
        """Hold nothing: the file is opened for each line."""

    def _recorded(self, action: Action) -> Operation:
        return Operation(
            self.name, action.id, "recorded", True, True, f"written to {self._path.name}"
        )

    def _append(self, blob: bytes) -> tuple[SubmissionOutcome, str]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            return SubmissionOutcome.REFUSED, str(error)
        try:
            size = os.fstat(descriptor).st_size
            if size + len(blob) > FILE_BYTES_MAX:
                return SubmissionOutcome.REFUSED, f"{self._path} holds {size} bytes: its limit"
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            whole = b"\n" + blob if torn else blob  # a line that a crash cut off stays by itself
            written = os.write(descriptor, whole)
        except OSError as error:  # nothing of the line was written
            os.close(descriptor)
            return SubmissionOutcome.REFUSED, str(error)
        try:
            os.fsync(descriptor)
        except OSError as error:
            return SubmissionOutcome.UNKNOWN, str(error)
        finally:
            os.close(descriptor)
        if written != len(whole):
            return SubmissionOutcome.UNKNOWN, f"only {written} of {len(whole)} bytes were written"
        return SubmissionOutcome.DONE, "written"

    def _holds(self, action_id: str) -> bool:
        try:
            lines = self._path.open("rb")
        except FileNotFoundError:
            return False
        with lines:
            return any(_id(line) == action_id for line in lines)


def _id(line: bytes) -> Any:
    try:
        parsed = json.loads(line)
    except ValueError:
        return None  # cut off by a crash
    return parsed.get("id") if isinstance(parsed, dict) else None
