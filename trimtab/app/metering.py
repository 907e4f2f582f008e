"""Connects what runs with Trimtab's own metrics, from outside: nothing that is measured knows of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from fastapi import FastAPI

from analytics.assessor import Assessor
from trimtab.app.derive import Derived
from trimtab.drivers.live import LiveDriver
from trimtab.drivers.loop import Loop
from trimtab.ports import Actuator
from trimtab.telemetry import Telemetry
from trimtab.telemetry.metered import MeteredActuator, MeteredApp, MeteredMachine


def metered_actuators(
    actuators: Mapping[str, Actuator], telemetry: Telemetry
) -> dict[str, Actuator]:
    """Return the actuators with their requests measured."""
    return {name: MeteredActuator(actuator, telemetry) for name, actuator in actuators.items()}


def meter(telemetry: Telemetry, driver: LiveDriver, derived: Derived, api: FastAPI) -> None:
    """Measure the machines' steps and the API's requests, and show what the driver knows of itself."""
    loop = driver.loop
    assessors = [machine for machine in loop.assessors if isinstance(machine, Assessor)]
    _meter_machines(loop, telemetry)
    api.add_middleware(cast(Any, MeteredApp), telemetry=telemetry)
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


def _meter_machines(loop: Loop, telemetry: Telemetry) -> None:
    """Put a stopwatch around each machine; a wrapped one steps and snapshots as the machine inside."""
    loop.assessors = [
        cast(Any, MeteredMachine(machine, "assessor", telemetry)) for machine in loop.assessors
    ]
    loop.correlator = cast(Any, MeteredMachine(loop.correlator, "correlator", telemetry))
    loop.decider = cast(Any, MeteredMachine(loop.decider, "decider", telemetry))
