"""The recorder: one synced line an action, findable after a crash that tore a line."""

import json
from pathlib import Path
from typing import Any

import pytest

from actuators import record
from actuators.record import Record
from trimtab.domain.codec import from_plain
from trimtab.domain.policy import ActionKind
from trimtab.ports import SubmissionOutcome

pytestmark = pytest.mark.anyio


def a_recorder(path: Path, clock: Any) -> Record:
    return Record("it", Record.Config(path=str(path)), clock)


@pytest.mark.parametrize("kind", list(ActionKind))
async def test_every_kind_is_written_down_whole(
    tmp_path: Path, clock: Any, make_action: Any, kind: ActionKind
) -> None:
    file = tmp_path / "actions.jsonl"
    action = make_action(kind, steps="2")
    submission = await a_recorder(file, clock).submit(action)
    assert submission.outcome is SubmissionOutcome.DONE
    [line] = [json.loads(line) for line in file.read_text().splitlines()]
    assert (line["format"], line["id"], line["kind"]) == (1, action.id, kind.value)
    assert from_plain(line["action"]) == action


async def test_a_line_that_a_crash_cut_off_spoils_no_other(
    tmp_path: Path, clock: Any, make_action: Any
) -> None:
    file = tmp_path / "actions.jsonl"
    recorder = a_recorder(file, clock)
    first, second, third = (make_action(identifier=name) for name in ("a-1", "a-2", "a-3"))
    await recorder.submit(first)
    await recorder.submit(second)
    file.write_bytes(file.read_bytes()[:-20])
    assert (await recorder.find(first, 0)).operation is not None
    torn = await recorder.find(second, 0)
    assert torn.asked
    assert torn.operation is None
    await recorder.submit(third)
    assert (await recorder.find(third, 0)).operation is not None
    assert len(file.read_text().splitlines()) == 3


async def test_what_can_not_be_written_is_refused(
    tmp_path: Path, clock: Any, make_action: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = a_recorder(tmp_path / "missing" / "actions.jsonl", clock)
    assert (await nowhere.submit(make_action())).outcome is SubmissionOutcome.REFUSED
    full = a_recorder(Path("/dev/full"), clock)
    assert (await full.submit(make_action())).outcome is SubmissionOutcome.REFUSED
    monkeypatch.setattr(record, "FILE_BYTES_MAX", 10)
    limited = a_recorder(tmp_path / "actions.jsonl", clock)
    refused = await limited.submit(make_action())
    assert refused.outcome is SubmissionOutcome.REFUSED
    assert "its limit" in refused.detail


async def test_a_file_that_can_not_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, clock: Any, make_action: Any
) -> None:
    found = await a_recorder(tmp_path, clock).find(make_action(), 0)
    assert not found.asked
