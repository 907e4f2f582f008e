import pytest

from trimtab.domain.action import ActionState
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.policy import PolicyMode

HEAL = "heal-crashed-vnfc"


def test_the_kill_switch_survives_and_only_reset_ends_it(world):
    world.tick()
    assert world.command("kill").applied
    world.decider = type(world.decider).restore(world.decider.snapshot())
    answer = world.command("resume")
    assert (answer.applied, answer.reason) == (
        False,
        "the loop is killed; only reset ends the kill switch",
    )
    assert not world.command("pause").applied
    assert world.command("reset").applied
    world.crash()
    world.tick()
    assert world.outcomes(HEAL) == ["act"]


def test_who_turned_the_loop_is_told(world):
    world.tick()
    world.command("pause", actor="bob")
    last = [item for item in world.out if isinstance(item, ControlLoop)][-1]
    assert (last.run_state.value, last.changed_by, last.reason) == ("paused", "bob", "because")


def test_the_same_command_is_answered_once_and_for_all(world):
    world.tick()
    first = world.command("pause", name="c-1")
    world.command("resume")
    assert world.command("pause", name="c-1") == first
    assert world.decider._state.loop.run_state.value == "running"


def test_a_second_pause_changes_nothing(world):
    world.tick()
    world.command("pause")
    before = len([item for item in world.out if isinstance(item, ControlLoop)])
    assert world.command("pause").applied
    assert len([item for item in world.out if isinstance(item, ControlLoop)]) == before


def test_alarms_are_another_machines(world):
    assert world.command("acknowledge_alarm", "alarm-1") is None


@pytest.mark.parametrize("kind", ["approve_action", "reject_action", "cancel_action"])
def test_unknown_actions_are_refused_with_a_reason(world, kind):
    answer = world.command(kind, "action-nowhere")
    assert (answer.applied, answer.reason) == (False, "there is no open action action-nowhere")


def test_a_rejected_proposal_is_not_made_again(world_of, only):
    world = world_of(only(HEAL, mode=PolicyMode.RECOMMEND))
    world.crash()
    world.tick()
    (action,) = world.actions.values()
    assert world.command("reject_action", action.id).applied
    assert world.actions[action.id].state is ActionState.CANCELLED
    assert "rejected by ann" in world.actions[action.id].detail
    world.tick(times=30)
    assert world.outcomes() == ["recommend"]


def test_what_is_being_sent_can_not_be_cancelled(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    assert world.command("cancel_action", action.id).reason == "the action is being sent"
    world.result(action, "sending")
    world.result(action, "accepted")
    assert world.command("cancel_action", action.id).reason == "the action is accepted"


def test_a_refused_action_can_be_cancelled(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    world.result(action, "deferred", "503", wait=5)
    assert world.command("cancel_action", action.id).applied
    world.tick(times=30)
    assert len(world.sent()) == 1
    assert world.decider._state.locks == {}


def test_an_incident_can_be_given_back_to_automation(world):
    world.service(world.BAD)
    world.incident(None)
    world.tick(times=62)
    assert world.outcomes() == ["hand_over"]
    world.crash()
    world.tick(times=5)
    assert world.outcomes() == ["hand_over"]
    assert world.command("reset", "incident-1").applied
    world.tick()
    assert world.outcomes()[-1] == "act"


def test_reset_of_nothing_is_refused(world):
    world.tick()
    assert not world.command("reset", "provider/vnfc/nothing").applied
    assert world.command("reset").applied is True  # it runs: nothing to end


def test_one_of_several_proposals_may_be_approved(world_of, only):
    world = world_of(only("migrate-from-noisy-host", guard__approval=True))
    world.trouble(world.HOST1, "pressure")
    world.service(world.BAD)
    world.incident(world.HOST1, "pressure")
    world.tick(times=2)
    first, second = world.actions.values()
    assert world.command("approve_action", first.id).applied
    assert world.command("reject_action", second.id).applied
    world.carry_out(world.actions[first.id])
    world.service(world.OK)
    world.tick(times=4)
    assert world.verdicts() == ["EFFECTIVE"]
