"""Connects what runs with Trimtab's own metrics, from outside: nothing that is measured knows of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from analytics.assessor import Assessor
from trimtab.app.derive import Derived
from trimtab.domain.incident import IncidentState
from trimtab.domain.input import Output
from trimtab.domain.policy import PolicySet
from trimtab.drivers.live import LiveDriver
from trimtab.drivers.loop import Loop
from trimtab.ports import Actuator
from trimtab.store.questions import ActionFilter, AlarmFilter, IncidentFilter, PageRequest
from trimtab.store.read_model import ReadModel
from trimtab.telemetry import Telemetry
from trimtab.telemetry.metered import MeteredActuator, MeteredMachine

STANDING_MAX = 10_000  # open alarms, incidents and actions that are looked up after a restart


def metered_actuators(
    actuators: Mapping[str, Actuator], telemetry: Telemetry
) -> dict[str, Actuator]:
    """Return the actuators with their requests measured."""
    return {name: MeteredActuator(actuator, telemetry) for name, actuator in actuators.items()}


def meter(
    telemetry: Telemetry,
    driver: LiveDriver,
    derived: Derived,
    policies: PolicySet,
) -> None:
    """Measure the machines' steps, and show what the driver knows of itself.

    To be called before the driver starts: what stood when the last run ended is shown and not counted again.
    """
    loop = driver.loop
    telemetry.policies(policy.name for policy in policies.policies)
    telemetry.restore(_standing(derived.read_model))
    assessors = [machine for machine in loop.assessors if isinstance(machine, Assessor)]
    _meter_machines(loop, telemetry)
    telemetry.queue_dropped("derivation", 0)
    telemetry.journal_unwritable(False)

    def read() -> None:
        telemetry.series(driver.series_known)
        telemetry.journal_size(driver.journal.size_bytes)
        telemetry.store_lag(max(driver.last_turn_seq - derived.position(), 0))
        unused = Counter[str]()
        for assessor in assessors:
            unused.update(asdict(assessor.counters))
        for reason, samples in unused.items():
            telemetry.unused(reason, samples)

    telemetry.watch(read)


def _standing(read_model: ReadModel) -> list[Output]:
    """Return what is open: assessments, alarms, incidents, actions, and the loop's own state."""
    page = PageRequest(STANDING_MAX)
    loop = read_model.loop()
    return [
        *read_model.latest_assessments(),
        *read_model.alarms(AlarmFilter(open_only=True), page).items,
        *read_model.incidents(IncidentFilter(state=IncidentState.OPEN), page).items,
        *read_model.actions(ActionFilter(open_only=True), page).items,
        *([loop] if loop is not None else []),
    ]


def _meter_machines(loop: Loop, telemetry: Telemetry) -> None:
    """Put a stopwatch around each machine; a wrapped one steps and snapshots as the machine inside."""
    loop.assessors = [
        cast(Any, MeteredMachine(machine, "assessor", telemetry)) for machine in loop.assessors
    ]
    loop.correlator = cast(Any, MeteredMachine(loop.correlator, "correlator", telemetry))
    loop.decider = cast(Any, MeteredMachine(loop.decider, "decider", telemetry))
