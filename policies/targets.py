"""From a rung to what it acts on, and through which actuator."""

from policies.scene import Scene
from trimtab.domain.incident import Cause
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.policy import ActionKind, ActionStep, TargetSelector

TARGETS_MAX = 64


def targets_of(scene: Scene, step: ActionStep, cause: Cause | None) -> tuple[tuple[str, ...], str]:
    """Return what a rung acts on, sorted, or nothing and why."""
    if cause is None:
        return (), "the incident has no cause to act on"
    if step.target is TargetSelector.CAUSE:
        return (cause.object_id,), ""
    if step.target is TargetSelector.CAUSE_VNF:
        if scene.containment.kind(cause.object_id) is ObjectKind.VNF:
            return (cause.object_id,), ""
        whole = scene.containment.whole(cause.object_id)
        if whole is None:
            return (), f"{cause.object_id} is part of no known VNF"
        return (whole,), ""
    guests = scene.containment.guests(cause.object_id)
    if not guests:
        return (), f"nothing is known to run on {cause.object_id}"
    if len(guests) > TARGETS_MAX:
        return (), f"{len(guests)} guests on {cause.object_id}, over {TARGETS_MAX}"
    return guests, ""


def actuator_of(scene: Scene, kind: ActionKind, named: str = "") -> str:
    """Return the actuator for a kind of action, empty when none is configured."""
    if named:
        return named
    configuration = scene.state.configuration
    for binding in configuration.actuators if configuration is not None else ():
        if binding.kind is kind:
            return binding.actuator
    return ""
