from policies.decider import Decider
from trimtab.domain.action import Action, ActionState
from trimtab.domain.assessment import ANOMALY
from trimtab.domain.control_loop import ControlLoop, LoopRunState
from trimtab.domain.decision import Decision
from trimtab.domain.input import Notice, Tick
from trimtab.domain.policy import ActionKind, ActionStep, PolicyMode, TargetSelector

HEAL = "heal-crashed-vnfc"


def test_the_first_tick_tells_the_loops_state(world):
    (told,) = world.tick()
    assert isinstance(told, ControlLoop)
    assert told.run_state is LoopRunState.RUNNING
    assert world.tick(times=3) == []


def test_a_crash_is_healed_verified_and_over(world):
    world.crash()
    world.tick()
    (decision,) = world.decisions()
    (action,) = world.intended()
    assert (decision.policy, decision.outcome.value, decision.rung) == (HEAL, "act", 0)
    assert decision.action_ids == (action.id,)
    assert decision.policy_location == "policies/rules/heal-crashed-vnfc.yaml:3"
    assert (action.kind, action.target_id, action.actuator) == (ActionKind.HEAL, world.FW0, "mano")
    assert dict(action.native_ids) == {
        "vim": "server-0", "vnfm": "vnf-1", "vnfm.vnfc": "vnfc-0",
    }  # fmt: skip
    assert dict(decision.evidence)["cause.symptom"] == "process-gone"
    world.carry_out(action)
    world.recover()
    world.tick(times=5)
    assert world.verdicts() == ["EFFECTIVE"]
    world.resolve()
    world.tick(times=60)
    assert world.outcomes() == ["act", "refused"]
    assert world.guard("present") == (False, f"{world.FW0} no longer shows process-gone")
    assert world.decider._state.ladders == {}
    assert world.decider._state.incidents == {}
    assert world.decider._state.locks == {}


def test_every_value_walks_back_to_its_incident(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.carry_out(action)
    (decision,) = world.decisions()
    (verification,) = world.verifications()
    assert decision.context.parent_id == "incident-1"
    assert action.context.parent_id == decision.id
    assert verification.context.parent_id == action.id


def test_nothing_is_said_twice(world):
    world.crash()
    world.tick(0.25, times=40)
    assert world.outcomes(HEAL) == ["act"]


def test_an_ineffective_rung_leads_to_the_next_and_then_to_people(world):
    world.crash()
    world.tick()
    for kind in (ActionKind.HEAL, ActionKind.MIGRATE):
        (action,) = world.intended()
        assert action.kind is kind
        world.carry_out(action)
        world.tick(times=31)
    assert world.verdicts() == ["INEFFECTIVE", "INEFFECTIVE"]
    assert world.outcomes(HEAL) == ["act", "act", "hand_over"]
    told = world.intended()
    assert [item.kind for item in told] == [ActionKind.HAND_OVER]
    assert "migrate did not help" in told[0].parameter("reason")
    world.tick(times=200)
    assert len(world.sent()) == 3


def test_a_failed_operation_goes_to_the_next_rung_at_once(world):
    world.crash()
    world.tick()
    world.carry_out(world.intended()[0], "failed")
    (action,) = world.intended()
    assert action.kind is ActionKind.MIGRATE
    assert "heal failed" in world.decisions()[-1].reason


def test_an_unknown_outcome_goes_to_people_and_keeps_the_lock(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    world.result(action, "unknown", "connection lost")
    assert world.outcomes() == ["act", "hand_over"]
    world.resolve()
    world.tick(times=100)
    world.incident(world.FW0, name="incident-2")
    world.tick()
    assert world.guard("lock")[0] is False
    assert world.command("reset", world.FW0).applied
    world.tick()
    assert world.decisions()[-1].outcome.value == "act"


def test_missing_telemetry_after_an_action_goes_to_people(world):
    world.crash()
    world.tick()
    world.carry_out(world.intended()[0])
    world.trouble(world.FW0, "process-gone", world.SILENT)
    world.service(world.SILENT)
    world.tick(times=31)
    assert world.verdicts() == ["INCONCLUSIVE"]
    assert world.outcomes() == ["act", "hand_over"]
    assert "frozen" in world.decisions()[-1].reason


def test_a_hold_that_breaks_starts_anew(world):
    world.crash()
    world.tick()
    world.carry_out(world.intended()[0])
    world.recover()
    world.tick(times=2)
    world.service(world.BAD)
    world.tick()
    world.service(world.OK)
    world.tick(times=2)
    assert world.verdicts() == []
    world.tick()
    assert world.verdicts() == ["EFFECTIVE"]


def test_a_service_that_joins_later_is_verified_too(world):
    world.trouble(world.FW0, "process-gone")
    world.incident(world.FW0, services=())
    world.tick()
    world.carry_out(world.intended()[0])
    world.service(world.BAD)
    world.incident(world.FW0, services=(world.VPN,))
    world.trouble(world.FW0, "process-gone", world.OK)
    world.tick(times=10)
    assert world.verdicts() == []
    world.service(world.OK)
    world.tick(times=3)
    assert world.verdicts() == ["EFFECTIVE"]


def test_an_incident_that_resolves_meanwhile_is_still_verified(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.recover()
    world.resolve()
    world.tick(times=3)
    world.carry_out(action)
    world.tick(times=5)
    assert world.verdicts() == ["EFFECTIVE"]


def test_a_refusal_is_tried_again_when_the_target_said(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    world.result(action, "deferred", "409", wait=3)
    world.tick(times=2)
    assert world.intended() == []
    world.tick()
    (again,) = world.intended()
    assert (again.id, again.attempt) == (action.id, 2)


def test_refusals_end_in_the_next_rung(world):
    world.crash()
    world.tick()
    for _ in range(10):
        (action,) = world.intended()
        world.result(action, "sending")
        world.result(action, "deferred", "503", wait=0.1)
        world.tick(0.2)
    assert world.actions[action.id].state is ActionState.FAILED
    assert world.intended()[0].kind is ActionKind.MIGRATE


def test_a_refused_action_is_not_sent_so_late_that_its_end_would_be_in_doubt(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    whole_seconds = (action.deadline_ns - action.created_at_ns) / 1e9
    world.result(action, "deferred", "503", wait=whole_seconds * 0.9)
    world.tick(whole_seconds * 0.93)
    assert world.actions[action.id].state is ActionState.DEFERRED
    world.tick(whole_seconds * 0.1)
    assert world.actions[action.id].state is ActionState.FAILED
    assert world.actions[action.id].detail == "refused until its deadline: 503"


def test_a_refused_action_is_dropped_when_its_incident_resolves(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    world.result(action, "deferred", "409", wait=3)
    world.resolve()
    world.tick(times=5)
    assert world.actions[action.id].state is ActionState.CANCELLED
    assert world.decider._state.locks == {}


def test_an_operation_without_end_goes_to_people(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.result(action, "sending")
    world.result(action, "accepted")
    world.tick(times=21)
    assert world.actions[action.id].state is ActionState.UNKNOWN
    assert world.outcomes() == ["act", "hand_over"]
    late = world.result(action, "succeeded")
    assert late == [] or all(isinstance(item, Notice) for item in late)


def test_an_intent_without_any_word_goes_to_people_and_stays_locked(world):
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.tick(times=21)
    assert world.actions[action.id].state is ActionState.FAILED
    assert world.outcomes() == ["act", "hand_over"]
    assert world.decider._state.locks[action.id].stuck


def test_guests_are_moved_one_action_each(world):
    world.trouble(world.HOST1, "pressure")
    world.service(world.BAD)
    world.incident(world.HOST1, "pressure")
    world.tick(times=2)
    actions = world.intended()
    assert [item.target_id for item in actions] == [world.FW0, world.RTR0]
    world.carry_out(actions[0])
    assert world.verifications() == []
    world.carry_out(actions[1], "failed")
    assert len(world.verifications()) == 1
    world.trouble(world.HOST1, "pressure", world.OK)
    world.service(world.OK)
    world.tick(times=4)
    assert world.verdicts() == ["EFFECTIVE"]
    assert world.outcomes("migrate-from-noisy-host")[:1] == ["act"]
    assert [item.rung for item in world.decisions() if item.outcome.value == "act"] == [0]


def test_an_overloaded_vnf_is_scaled_out_as_a_whole(world):
    world.trouble(world.FW0, "overload")
    world.service(world.BAD)
    world.incident(world.FW0, "overload")
    world.tick(times=2)
    (action,) = world.intended()
    assert (action.kind, action.target_id) == (ActionKind.SCALE_OUT, world.FW)
    assert dict(action.native_ids) == {"vnfm": "vnf-1"}


def test_two_causes_in_one_incident_do_not_swing_to_and_fro(world):
    world.crash()
    world.tick()
    world.carry_out(world.intended()[0])
    for turn in range(12):
        cause = (world.RTR0, world.FW0)[turn % 2]
        world.incident(cause)
        world.trouble(cause, "process-gone")
        world.tick(times=31)
        for action in world.intended():
            if action.kind is not ActionKind.HAND_OVER:
                world.carry_out(action)
    kinds = [(item.kind.value, item.target_id) for item in world.sent()]
    assert len(kinds) == len(set(kinds)), "no rung was climbed twice on one cause"
    assert world.outcomes()[-1] == "hand_over"


def test_other_policies_wait_while_a_ladder_works(world):
    world.crash()
    world.tick(times=62)
    waiting = world.decisions("breach-without-cause")
    assert waiting == [] or waiting[0].outcome.value in ("refused", "hand_over")
    assert [item for item in world.sent() if item.kind is ActionKind.HAND_OVER]


def test_the_more_important_policy_decides(world_of, only):
    world = world_of(only(HEAL, "heal-hung-vnfc", when='cause.kind == "vnfc"', for_ns=0, unless=""))
    world.crash()
    world.tick()
    first, second = world.decisions()
    assert (first.policy, first.outcome.value) == (HEAL, "act")
    assert (second.policy, second.outcome.value) == ("heal-hung-vnfc", "refused")
    assert second.guards[0].guard == "ladder"


def test_observe_tells_what_it_would_do_and_does_not_stop_others(world_of, only, shipped):
    from dataclasses import replace

    watching = replace(only(HEAL).policies[0], name="watcher", priority=10, mode=PolicyMode.OBSERVE)
    policies = replace(shipped, policies=(watching, *shipped.policies))
    world = world_of(policies)
    world.crash()
    world.tick()
    assert world.outcomes("watcher") == ["observe"]
    assert world.decisions("watcher")[0].action_ids == ()
    assert world.outcomes(HEAL) == ["act"]


def test_a_rung_that_cannot_be_done_is_passed_over(world_of, only, configured):
    kinds = (ActionKind.MIGRATE, ActionKind.HAND_OVER)
    world = world_of(only(HEAL), configured(kinds))
    world.crash()
    world.tick()
    refused, acted = world.decisions()
    assert (refused.outcome.value, refused.guards[0].guard) == ("refused", "actuator")
    assert (acted.outcome.value, acted.rung) == ("act", 1)


def test_a_notice_goes_out_before_the_rung_that_follows(world_of, only):
    ladder = (ActionStep(ActionKind.NOTIFY), ActionStep(ActionKind.HEAL))
    world = world_of(only(HEAL, ladder=ladder))
    world.crash()
    world.tick()
    assert [item.kind for item in world.sent()] == [ActionKind.NOTIFY, ActionKind.HEAL]


def test_a_policy_that_only_tells_does_so_once(world_of, only):
    world = world_of(only(HEAL, ladder=(ActionStep(ActionKind.NOTIFY),)))
    world.crash()
    world.tick(times=30)
    assert [item.kind for item in world.sent()] == [ActionKind.NOTIFY]
    assert world.outcomes() == ["act"]


def test_no_cause_and_no_rule_goes_to_people(world):
    world.service(world.BAD)
    world.incident(None)
    world.tick(times=59)
    assert world.decisions() == []
    world.tick(times=2)
    assert world.outcomes() == ["hand_over"]
    assert world.sent()[0].target_id == world.VPN


def test_for_must_hold_without_a_break(world_of, only):
    world = world_of(only(HEAL, for_ns=3 * 10**9))
    world.crash()
    world.tick(times=3)
    world.incident(world.FW0, "other")
    world.tick()
    world.incident(world.FW0)
    world.tick(times=3)
    assert world.sent() == []
    world.tick()
    assert len(world.sent()) == 1


def test_unless_stops_a_policy(world_of, only):
    world = world_of(only(HEAL, unless='cause.host == "provider/host/host-1"'))
    world.crash()
    world.tick(times=5)
    assert world.decisions() == []


def test_a_condition_that_cannot_be_told_freezes(world_of, only):
    world = world_of(only(HEAL, when="kpi.queue_fill > 0.5"))
    world.crash()
    world.tick()
    (decision,) = world.decisions()
    assert decision.outcome.value == "frozen"
    assert "queue_fill" in decision.reason
    world.kpi(world.FW0, "queue_fill", 0.9)
    world.tick()
    assert world.outcomes() == ["frozen", "act"]
    assert dict(world.decisions()[-1].evidence)["kpi.queue_fill"] == "0.9"


def test_a_kpi_that_is_not_renewed_is_not_known(world_of, only):
    world = world_of(only(HEAL, when="kpi.queue_fill > 0.5", for_ns=60 * 10**9))
    world.kpi(world.FW0, "queue_fill", 0.9)
    world.crash()
    world.tick(times=100)
    assert world.outcomes() == ["frozen"]


def test_more_than_the_ladders_of_one_incident_go_to_people(world_of, only):
    world = world_of(only(HEAL, guard__cooldown_ns=0, guard__actions_per_hour_max=50))
    world.crash()
    for _ in range(60):
        world.tick()
        for action in world.intended():
            if action.kind is not ActionKind.HAND_OVER:
                world.carry_out(action)
                world.recover()
        world.crash()
    assert world.outcomes()[-1] in ("hand_over", "act")
    assert len([item for item in world.sent() if item.kind is not ActionKind.HAND_OVER]) <= 8


def test_a_step_outside_its_containment_is_impossible(world_of, only):
    ladder = (ActionStep(ActionKind.SCALE_OUT, TargetSelector.CAUSE_VNF),)
    world = world_of(only(HEAL, ladder=ladder, when='cause.kind == "host"'))
    world.trouble(world.HOST1, "unreachable")
    world.incident(world.HOST1, "unreachable")
    world.tick()
    assert world.outcomes() == ["refused", "hand_over"]
    assert world.decisions()[0].guards[0].guard == "target"


def test_batches_do_not_matter(world, world_of, shipped):
    world.crash()
    world.tick(times=2)
    world.carry_out(world.intended()[0])
    world.tick(times=40)
    one_batch = Decider()
    from trimtab.domain.input import Numbered

    numbered = [Numbered(index, value) for index, (value, _) in enumerate(world.inputs)]
    assert one_batch.step(numbered, world.now) == world.out
    assert one_batch.snapshot() == world.decider.snapshot()


def test_a_policy_that_does_not_compile_freezes_and_never_raises(world_of, only):
    world = world_of(only(HEAL, when="nonsense("))
    world.crash()
    world.tick(times=3)
    assert world.outcomes() == ["frozen"]


def test_removed_policies_finish_their_ladder(world, only):
    world.crash()
    world.tick()
    world.give(only("breach-without-cause"))
    world.carry_out(world.intended()[0])
    world.recover()
    world.tick(times=4)
    assert world.verdicts() == ["EFFECTIVE"]


def test_outputs_are_only_what_a_decider_gives(world):
    world.crash()
    world.tick(times=5)
    world.give(Tick(world.now))
    assert {type(item) for item in world.out} <= {Action, Decision, ControlLoop, Notice}


def test_an_anomaly_starts_nothing_and_makes_no_healed_target_ill(world):
    world.trouble(world.FW0, ANOMALY)
    world.incident(world.FW0, ANOMALY, services=(), confidence=0.9)
    world.tick(times=60)
    assert world.intended() == []
    world.crash()
    world.tick()
    (action,) = world.intended()
    world.carry_out(action)
    world.recover()
    world.trouble(world.FW0, ANOMALY)
    world.tick(times=5)
    assert world.verdicts() == ["EFFECTIVE"]
