"""The machines, as the drivers get them handed in."""

from dataclasses import replace
from typing import Any

from analytics.assessor import Assessor
from analytics.correlator import Correlator
from analytics.order import output_order
from policies.decider import Decider
from trimtab.drivers.loop import Machines
from trimtab.telemetry import Telemetry
from trimtab.telemetry.metered import MeteredMachine


def machines(telemetry: Telemetry | None = None) -> Machines:
    """Return how to make and to restore the three machines; with telemetry, each step is counted and timed."""
    if telemetry is not None:
        return _metered(machines(), telemetry)
    return Machines(
        assessor=Assessor,
        correlator=Correlator,
        decider=Decider,
        restore_assessor=Assessor.restore,
        restore_correlator=Correlator.restore,
        restore_decider=Decider.restore,
        output_order=output_order,
    )


def _metered(plain: Machines, telemetry: Telemetry) -> Machines:
    def wrapped(machine: Any, name: str) -> Any:
        return MeteredMachine(machine, name, telemetry)

    return replace(
        plain,
        assessor=lambda shard, shards: wrapped(plain.assessor(shard, shards), "assessor"),
        correlator=lambda: wrapped(plain.correlator(), "correlator"),
        decider=lambda: wrapped(plain.decider(), "decider"),
        restore_assessor=lambda blob: wrapped(plain.restore_assessor(blob), "assessor"),
        restore_correlator=lambda blob: wrapped(plain.restore_correlator(blob), "correlator"),
        restore_decider=lambda blob: wrapped(plain.restore_decider(blob), "decider"),
    )
