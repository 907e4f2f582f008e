"""The loop: equal inputs give equal outputs, however they are cut, sharded, or interrupted."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.app.machines import machines
from trimtab.domain import codec
from trimtab.domain.action import Action, ActionState
from trimtab.domain.alarm import Alarm
from trimtab.domain.incident import Incident
from trimtab.domain.input import Input, Numbered, Output
from trimtab.domain.kpi_batch import spell_out
from trimtab.domain.samples import SampleBatch
from trimtab.domain.time import NS_PER_SECOND
from trimtab.drivers.loop import Loop

Turns = list[list[Input]]
Script = Callable[[dict[int, tuple[float, float, float]]], Turns]

A_CRASH = dict.fromkeys(range(6, 20), (0.6, 0.0, 1.0))
readings = st.tuples(st.sampled_from((0.0, 0.02, 0.5)), st.sampled_from((0.0, 1.0)), st.just(1.0))
scripts = st.dictionaries(st.integers(1, 25), readings, max_size=25)


def run(loop: Loop, turns: Turns, first_seq: int = 0) -> list[Output]:
    outputs: list[Output] = []
    seq = first_seq
    for inputs in turns:
        now = getattr(inputs[-1], "at_ns", 0)
        outputs.extend(loop.step([Numbered(seq + n, value) for n, value in enumerate(inputs)], now))
        seq += len(inputs)
    return outputs


def as_bytes(outputs: list[Output]) -> list[bytes]:
    return [codec.encode(value) for value in spell_out(outputs)]


def row_by_row(turns: Turns) -> Turns:
    """Cut every batch into batches of one row."""
    cut: Turns = []
    for inputs in turns:
        made: list[Input] = []
        for value in inputs:
            if isinstance(value, SampleBatch):
                made.extend(value.take(slice(row, row + 1)) for row in range(len(value)))
            else:
                made.append(value)
        cut.append(made)
    return cut


def test_a_crash_becomes_alarm_incident_and_heal(script: Script) -> None:
    outputs = run(Loop(machines()), script(A_CRASH))
    raised = {value.symptom for value in outputs if isinstance(value, Alarm)}
    assert {"loss", "process-gone"} <= raised
    causes = [value.causes[0] for value in outputs if isinstance(value, Incident) and value.causes]
    assert causes[-1].object_id == "provider/vnfc/fw-0"
    actions = [value for value in outputs if isinstance(value, Action)]
    assert [(a.kind, a.target_id, a.state) for a in actions] == [
        ("heal", "provider/vnfc/fw-0", ActionState.INTENDED)
    ]
    assert actions[0].native_id("vnfm") == "vnf-0"
    detected_ns = min(v.reported_at_ns for v in outputs if isinstance(v, Alarm))
    assert actions[0].created_at_ns - detected_ns <= 5 * NS_PER_SECOND


def test_all_well_means_nothing_is_done(script: Script) -> None:
    outputs = run(Loop(machines()), script({20: (0.0, 1.0, 1.0)}))
    assert not [value for value in outputs if isinstance(value, (Alarm, Incident, Action))]


@settings(max_examples=6, deadline=None)
@given(values=scripts)
def test_a_second_run_gives_equal_bytes(
    script: Script, values: dict[int, tuple[float, float, float]]
) -> None:
    turns = script(values)
    assert as_bytes(run(Loop(machines()), turns)) == as_bytes(run(Loop(machines()), turns))


@settings(max_examples=6, deadline=None)
@given(values=scripts)
def test_batch_borders_do_not_matter(
    script: Script, values: dict[int, tuple[float, float, float]]
) -> None:
    turns = script(values)
    assert as_bytes(run(Loop(machines()), turns)) == as_bytes(
        run(Loop(machines()), row_by_row(turns))
    )


@settings(max_examples=6, deadline=None)
@given(values=scripts)
def test_two_shards_give_what_one_gives(
    script: Script, values: dict[int, tuple[float, float, float]]
) -> None:
    turns = script(values)
    assert as_bytes(run(Loop(machines()), turns)) == as_bytes(
        run(Loop(machines(), shards=2), turns)
    )


@settings(max_examples=6, deadline=None)
@given(values=scripts, cut=st.integers(0, 25))
def test_carrying_on_from_a_snapshot_equals_never_having_stopped(
    script: Script, values: dict[int, tuple[float, float, float]], cut: int
) -> None:
    turns = script(values)
    whole = as_bytes(run(Loop(machines()), turns))
    loop = Loop(machines())
    first = run(loop, turns[:cut])
    blob = loop.snapshot()
    restored = Loop.restore(machines(), blob)
    assert restored.snapshot() == blob
    seq = sum(len(inputs) for inputs in turns[:cut])
    assert as_bytes([*first, *run(restored, turns[cut:], seq)]) == whole
