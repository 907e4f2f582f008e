"""Connects what runs with Trimtab's own metrics, from outside: nothing that is measured knows of it."""

from collections import Counter
from dataclasses import asdict

from analytics.assessor import Assessor
from trimtab.app.derive import Derived
from trimtab.domain.incident import IncidentState
from trimtab.domain.input import Output
from trimtab.domain.policy import PolicySet
from trimtab.drivers.live import LiveDriver
from trimtab.store.questions import ActionFilter, AlarmFilter, IncidentFilter, PageRequest
from trimtab.store.read_model import ReadModel
from trimtab.telemetry import Telemetry
from trimtab.telemetry.metered import MeteredMachine

STANDING_MAX = 10_000  # open alarms, incidents and actions that are looked up after a restart


def meter(telemetry: Telemetry, driver: LiveDriver, derived: Derived, policies: PolicySet) -> None:
    """Show what the driver and the machines know of themselves, read anew at every scrape.

    To be called before the driver starts: what stood when the last run ended is shown and not counted again.
    """
    telemetry.policies(policy.name for policy in policies.policies)
    telemetry.restore(standing(derived.read_model))
    telemetry.queue_dropped("derivation", 0)
    telemetry.journal_unwritable(False)

    def read() -> None:
        telemetry.series(len(driver.index))
        telemetry.journal_size(driver.journal.size_bytes)
        telemetry.store_lag(max(driver.last_turn_seq - derived.position(), 0))
        unused = Counter[str]()
        held_back = 0
        for assessor in assessors_of(driver):
            held_back += assessor.counts()["changes_held_back"]
            unused.update(asdict(assessor.counters))
        for reason, samples in unused.items():
            telemetry.unused(reason, samples)
        telemetry.changes_held_back(held_back)
        for (cap, name), requests in driver.index.quota.refused.items():
            telemetry.series_refused(cap, name, requests)

    telemetry.watch(read)


def assessors_of(driver: LiveDriver) -> list[Assessor]:
    """Return the assessors themselves, out of their stopwatches."""
    inside = [
        machine.machine if isinstance(machine, MeteredMachine) else machine
        for machine in driver.loop.assessors
    ]
    return [machine for machine in inside if isinstance(machine, Assessor)]


def standing(read_model: ReadModel) -> list[Output]:
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
