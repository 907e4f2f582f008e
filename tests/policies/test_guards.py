from dataclasses import replace

import pytest

from trimtab.domain.action import ActionState
from trimtab.domain.assessment import ANOMALY, SHIFTED
from trimtab.domain.policy import ActionKind, PolicyMode

HEAL = "heal-crashed-vnfc"
HOUR = 3_600


def started(world):
    return [item for item in world.sent() if item.kind is not ActionKind.HAND_OVER]


def test_every_guard_is_asked_even_when_one_refuses(world):
    world.tick()
    world.command("pause")
    world.crash()
    world.incident(world.FW0, confidence=0.1)
    world.tick()
    (decision,) = world.decisions(HEAL)
    assert decision.outcome.value == "refused"
    assert [item.guard for item in decision.guards] == [
        "run_state", "freeze", "present", "confidence", "cooldown", "budget", "concurrency",
        "lock", "blast_radius", "approval",
    ]  # fmt: skip
    assert [item.guard for item in decision.guards if not item.passed] == [
        "run_state",
        "confidence",
    ]


@pytest.mark.parametrize("order", ["pause", "kill"])
def test_nothing_starts_while_paused_or_killed(world, order):
    world.tick()
    assert world.command(order).applied
    world.crash()
    world.tick(times=120)
    assert world.sent() == []
    assert world.guard("run_state")[0] is False


def test_what_was_handed_over_while_paused_is_told_on_resume(world):
    world.tick()
    world.command("pause")
    world.service(world.BAD)
    world.incident(None)
    world.tick(times=70)
    assert world.outcomes() == ["hand_over"]
    assert world.sent() == []
    world.command("resume")
    world.tick(times=5)
    assert [item.kind for item in world.sent()] == [ActionKind.HAND_OVER]


def test_an_unsure_cause_is_left_to_people_after_a_while(world):
    world.crash()
    world.incident(world.FW0, confidence=0.2)
    world.tick(times=29)
    assert world.outcomes(HEAL) == ["refused"]
    world.tick(times=3)
    assert world.outcomes(HEAL) == ["refused", "hand_over"]
    assert "confidence" in world.decisions(HEAL)[-1].reason


def test_cooldown_is_for_a_policy_and_a_cause(world):
    world.crash()
    world.tick()
    world.carry_out(world.intended()[0])
    world.recover()
    world.tick(times=4)
    world.resolve()
    world.tick()
    world.trouble(world.FW0, "process-gone")
    world.incident(world.FW0, name="incident-2")
    world.trouble(world.RTR0, "process-gone")
    world.incident(world.RTR0, name="incident-3")
    world.tick()
    assert [item.target_id for item in started(world)] == [world.FW0, world.RTR0]
    assert world.decisions(HEAL)[1].guards[4].passed is False
    world.tick(times=20)
    assert [item.target_id for item in started(world)] == [world.FW0, world.RTR0, world.FW0]


def test_the_budget_of_an_hour_holds_and_comes_back(world_of, only):
    world = world_of(
        only(HEAL, guard__actions_per_hour_max=2, guard__cooldown_ns=0, verify__within_ns=10**13)
    )
    for index in range(4):
        name = f"incident-{index}"
        world.trouble(world.FW0, "process-gone")
        world.incident(world.FW0, name=name, services=())
        world.tick()
        for action in world.intended():
            world.carry_out(action)
        world.recover()
        world.tick(times=4)
        if index < 3:
            world.resolve(name)
            world.tick()
    assert len(started(world)) == 2
    world.trouble(world.FW0, "process-gone")
    world.tick(HOUR)
    assert len(started(world)) == 3


def test_a_move_of_all_guests_counts_each_against_the_budget(world_of, only):
    world = world_of(only("migrate-from-noisy-host", guard__actions_per_hour_max=1))
    world.trouble(world.HOST1, "pressure")
    world.service(world.BAD)
    world.incident(world.HOST1, "pressure")
    world.tick(times=5)
    assert started(world) == []
    assert world.guard("budget") == (False, "0 of 1 in the last hour, 0 of 60 in all, 2 wanted")


def test_one_ladder_at_once_where_the_policy_says_so(world_of, only):
    world = world_of(only(HEAL, guard__concurrency_max=1))
    world.crash(world.FW0)
    world.trouble(world.RTR0, "process-gone")
    world.incident(world.RTR0, name="incident-2")
    world.tick()
    assert len(started(world)) == 1
    assert world.guard("concurrency")[0] is False


@pytest.mark.parametrize(
    ("other", "symptom", "free"),
    [
        ("FW0", "unreachable", False),  # the same
        ("HOST1", "pressure", False),  # around it
        ("FW", "overload", False),  # made of it
        ("FW1", "unreachable", True),  # a sibling
        ("HOST2", "pressure", True),
    ],
)
def test_overlapping_targets_wait(world, other, symptom, free):
    world.crash(world.FW0)
    world.tick()
    assert len(started(world)) == 1
    other = getattr(world, other)
    world.trouble(other, symptom)
    world.incident(other, symptom, name="incident-2")
    world.tick(times=5)
    assert (len(started(world)) > 1) is free
    if not free:
        assert world.guard("lock")[0] is False


def test_a_lock_lasts_until_the_verification_ended(world):
    world.crash(world.FW0)
    world.tick()
    world.carry_out(world.intended()[0])
    world.trouble(world.FW0, "unreachable")
    world.incident(world.FW0, "unreachable", name="incident-2")
    world.tick(times=10)
    assert world.guard("lock")[0] is False


def test_a_wide_outage_stops_the_hand(world):
    for vnfc in (world.FW0, world.FW1, world.RTR0, "provider/vnfc/cpe-0"):
        world.trouble(vnfc, "process-gone")
    world.incident(world.FW0)
    world.tick()
    assert started(world) == []
    assert world.guard("blast_radius") == (False, "4 of 3 vnfc in trouble or under action")
    world.tick(times=31)
    assert world.outcomes(HEAL)[-1] == "hand_over"


@pytest.mark.parametrize(("stalled", "moved"), [(1, True), (2, True), (3, False)])
def test_a_site_whose_hosts_all_stall_is_not_one_noisy_host(world, stalled, moved):
    hosts = [world.HOST1, world.HOST2, "provider/host/host-3"][:stalled]
    for host in hosts:
        world.trouble(host, "pressure")
    world.service(world.BAD)
    world.incident(world.HOST1, "pressure")
    world.tick(times=5)
    assert bool(started(world)) is moved
    passed, detail = world.guard("blast_radius")
    assert passed is moved
    assert ("pressure of 3 at once, 2 allowed" in detail) is not moved
    if not moved:
        world.tick(times=60)
        assert "hand_over" in world.outcomes("migrate-from-noisy-host")


def test_other_troubles_of_other_hosts_are_no_common_cause(world):
    for host, symptom, status in (
        (world.HOST1, "pressure", world.BAD),
        (world.HOST2, "unreachable", world.BAD),
        ("provider/host/host-3", "pressure", world.OK),
        ("provider/host/host-4", "pressure", world.SILENT),
    ):
        world.trouble(host, symptom, status)
    world.service(world.BAD)
    world.incident(world.HOST1, "pressure")
    world.tick(times=5)
    assert {item.kind for item in started(world)} == {ActionKind.MIGRATE}


@pytest.mark.parametrize("silent", ["FW0", "HOST1"])
def test_what_is_silent_while_the_packets_flow_is_left_alone(world, silent):
    silent = getattr(world, silent)
    world.trouble(silent, "unreachable")
    world.service(world.OK)
    world.incident(silent, "unreachable", services=())
    world.tick(times=120)
    assert world.sent() == []
    world.service(world.BAD)
    world.incident(silent, "unreachable")
    world.tick(times=10)
    assert {item.kind for item in started(world)} == {ActionKind.HEAL}


@pytest.mark.parametrize("what", ["service", "cause", "unknown"])
def test_silence_freezes_and_says_so(world, what):
    world.crash()
    if what == "service":
        world.service(world.SILENT)
    elif what == "cause":
        world.trouble(world.FW0, "process-gone", world.SILENT)
    else:
        world.incident(world.FW0, unknown=(world.HOST1,))
    world.tick(times=40)
    assert world.sent() == []
    assert world.outcomes(HEAL) == ["frozen"]
    assert world.guard("freeze")[0] is False


def test_no_delay_beside_total_loss_is_evidence_and_does_not_freeze(world):
    world.crash()
    world.service(world.SILENT, objective="delay")
    world.tick()
    assert len(started(world)) == 1


def test_thawing_lets_it_act(world):
    world.crash()
    world.service(world.SILENT)
    world.tick(times=5)
    world.service(world.BAD)
    world.tick()
    assert world.outcomes(HEAL) == ["frozen", "act"]


def test_a_refused_action_is_not_sent_again_into_silence(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    world.result(action, "deferred", "409", wait=1)
    world.service(world.SILENT)
    world.tick(times=5)
    assert len(world.sent()) == 1
    world.service(world.BAD)
    world.tick()
    assert len(world.sent()) == 2


def test_killed_stops_the_resending_too(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    world.result(action, "deferred", "409", wait=1)
    world.command("kill")
    world.tick(times=30)
    assert len(world.sent()) == 1
    assert world.actions[action.id].state is ActionState.FAILED


def test_approval_is_asked_for_once_and_given(world_of, only):
    world = world_of(only(HEAL, guard__approval=True))
    world.crash()
    world.tick(times=10)
    assert world.outcomes() == ["await_approval"]
    (action,) = world.actions.values()
    assert action.state is ActionState.PROPOSED
    assert world.command("approve_action", action.id).applied
    assert world.actions[action.id].state is ActionState.INTENDED
    world.carry_out(world.actions[action.id])
    world.recover()
    world.tick(times=4)
    assert world.verdicts() == ["EFFECTIVE"]


def test_guards_are_asked_again_at_the_approval(world_of, only):
    world = world_of(only(HEAL, guard__approval=True))
    world.crash()
    world.tick()
    (action,) = world.actions.values()
    world.service(world.SILENT)
    answer = world.command("approve_action", action.id)
    assert not answer.applied
    assert answer.reason.startswith("freeze refuses")
    world.service(world.BAD)
    world.command("pause")
    assert "run_state refuses" in world.command("approve_action", action.id).reason
    assert world.sent() == []


def test_a_recommendation_does_not_stop_other_policies(world_of, shipped):
    recommended = replace(
        shipped.policies[0], name="advice", mode=PolicyMode.RECOMMEND, priority=10,
        when='cause.symptom == "process-gone"', for_ns=0,
        ladder=next(item for item in shipped.policies if item.name == HEAL).ladder,
    )  # fmt: skip
    world = world_of(replace(shipped, policies=(recommended, *shipped.policies)))
    world.crash()
    world.tick()
    assert world.outcomes("advice") == ["recommend"]
    assert world.outcomes(HEAL) == ["act"]
    advised = next(item for item in world.actions.values() if item.state is ActionState.PROPOSED)
    answer = world.command("approve_action", advised.id)
    assert (answer.applied, answer.reason) == (False, f"the ladder of {HEAL} works on the incident")


def test_a_proposal_is_withdrawn_when_nothing_calls_for_it(world_of, only):
    world = world_of(only(HEAL, mode=PolicyMode.RECOMMEND))
    world.crash()
    world.tick()
    (action,) = world.actions.values()
    world.resolve()
    world.tick()
    assert world.actions[action.id].state is ActionState.CANCELLED
    assert not world.command("approve_action", action.id).applied


def test_anomalies_are_no_outage(world):
    for vnfc in (world.FW1, world.RTR0, "provider/vnfc/cpe-0"):
        world.trouble(vnfc, ANOMALY)
    world.trouble(world.FW0, "process-gone")
    world.incident(world.FW0)
    world.tick()
    assert world.guard("blast_radius")[0] is True
    assert started(world)


@pytest.mark.parametrize("confidence, outcome", [(0.9, "act"), (0.4, "refused")])
def test_what_shifted_is_acted_upon_only_where_a_policy_says_so_and_it_is_sure(
    world, world_of, only, confidence, outcome
):
    world.service(world.BAD)
    world.incident(world.FW0, symptom=SHIFTED, confidence=confidence)
    world.tick(times=3)
    assert world.outcomes(HEAL) == []  # no shipped policy speaks of it
    told = world_of(only(HEAL, when=f'cause.symptom == "{SHIFTED}"', for_ns=0, unless=""))
    told.tick()
    told.service(told.BAD)
    told.incident(told.FW0, symptom=SHIFTED, confidence=confidence)
    told.tick()
    assert told.outcomes(HEAL) == [outcome]
    assert told.guard("present")[0] is True
    assert told.guard("confidence")[0] is (outcome == "act")
