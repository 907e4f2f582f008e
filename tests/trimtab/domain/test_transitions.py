"""The lives of actions and alarms: what is allowed is done and noted, what is not is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.domain import action as actions
from trimtab.domain import alarm as alarms
from trimtab.domain.action import Action, ActionState, Operation
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.context import Context
from trimtab.domain.policy import ActionKind
from trimtab.errors import IllegalTransition

PROPOSED = Action(
    Context("action-1", "decision-1"), "action-1", "decision-1", "incident-1", ActionKind.HEAL,
    "provider/vnfc/fw-0", "vnfm", ActionState.PROPOSED, 1, 1, 100,
    parameters=(("cause", "crash"),), native_ids=(("vnfm", "42"),),
)  # fmt: skip
RAISED = Alarm(
    Context("alarm-1"), "alarm-1", "acme/service/vpn", "delay", "delay",
    AlarmType.QUALITY_OF_SERVICE, "thresholdCrossed", PerceivedSeverity.MAJOR,
    AlarmState.UNACKNOWLEDGED, 1, 1, 1, 0.5, 0.1, "seconds", "delay is over its bound", True,
)  # fmt: skip


def with_state(state: ActionState) -> Action:
    return replace(PROPOSED, state=state)


@pytest.mark.parametrize("before", list(ActionState))
@pytest.mark.parametrize("after", list(ActionState))
def test_an_action_changes_only_as_the_table_says(before: ActionState, after: ActionState) -> None:
    allowed = after in actions.TRANSITIONS[before]
    if allowed:
        changed = with_state(before).transition(after, 7, "why")
        assert (changed.state, changed.changed_at_ns, changed.detail) == (after, 7, "why")
    else:
        with pytest.raises(IllegalTransition, match="action-1"):
            with_state(before).transition(after, 7)


def test_nothing_that_may_have_been_accepted_is_ever_sent_again() -> None:
    """Walk the table: from UNKNOWN, ACCEPTED or an end no way leads back to SENDING."""
    for start in (ActionState.UNKNOWN, ActionState.ACCEPTED, *actions.TERMINAL):
        reached = {start}
        waiting = [start]
        while waiting:
            for following in actions.TRANSITIONS[waiting.pop()] - reached:
                reached.add(following)
                waiting.append(following)
        assert ActionState.SENDING not in reached - {start}


def test_sending_only_follows_a_durable_intent() -> None:
    leading = {
        s for s, following in actions.TRANSITIONS.items() if ActionState.SENDING in following
    }
    assert leading == {ActionState.INTENDED}


def test_only_a_refusal_counts_another_attempt() -> None:
    deferred = with_state(ActionState.SENDING).transition(ActionState.DEFERRED, 3)
    again = deferred.transition(ActionState.INTENDED, 4)
    assert (PROPOSED.attempt, deferred.attempt, again.attempt) == (1, 1, 2)


def test_an_operation_once_known_stays_known() -> None:
    operation = Operation("vnfm", "op-1", "PROCESSING", False, False)
    accepted = with_state(ActionState.SENDING).transition(
        ActionState.ACCEPTED, 3, operation=operation
    )
    assert accepted.transition(ActionState.UNKNOWN, 4).operation == operation
    assert accepted.parameter("cause") == "crash"
    assert accepted.parameter("other", "none") == "none"
    assert accepted.native_id("vnfm") == "42"
    assert accepted.native_id("vim") is None


@given(st.lists(st.sampled_from(AlarmState), max_size=6))
def test_an_alarm_is_open_until_cleared_and_then_for_ever_cleared(steps: list[AlarmState]) -> None:
    alarm = RAISED
    for at_ns, to in enumerate(steps, start=2):
        if to not in alarms.TRANSITIONS[alarm.state]:
            with pytest.raises(IllegalTransition):
                alarm.transition(to, at_ns)
            continue
        alarm = alarm.transition(to, at_ns, by="ana")
        assert alarm.changed_at_ns == at_ns
        assert alarm.raised_at_ns == 1
    cleared = alarm.state is AlarmState.CLEARED
    assert cleared == (alarm.severity is PerceivedSeverity.CLEARED)
    assert cleared == (alarm.cleared_at_ns is not None)
    assert cleared <= (AlarmState.CLEARED in steps)


def test_an_acknowledgement_names_who_gave_it() -> None:
    acknowledged = RAISED.transition(AlarmState.ACKNOWLEDGED, 5, by="ana")
    assert acknowledged.acknowledged_by == "ana"
    assert acknowledged.transition(AlarmState.CLEARED, 6).acknowledged_by == "ana"


def test_every_state_is_in_its_table() -> None:
    assert set(actions.TRANSITIONS) == set(ActionState)
    assert set(alarms.TRANSITIONS) == set(AlarmState)
    assert {
        ActionState.SUCCEEDED, ActionState.FAILED, ActionState.UNKNOWN, ActionState.CANCELLED,
    } == actions.TERMINAL  # fmt: skip
