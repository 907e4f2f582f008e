"""The machines, as the drivers get them handed in."""

from analytics.assessor import Assessor
from analytics.correlator import Correlator
from analytics.order import output_order
from policies.decider import Decider
from trimtab.drivers.loop import Machines


def machines() -> Machines:
    """Return how to make and to restore the three machines."""
    return Machines(
        assessor=Assessor,
        correlator=Correlator,
        decider=Decider,
        restore_assessor=Assessor.restore,
        restore_correlator=Correlator.restore,
        restore_decider=Decider.restore,
        output_order=output_order,
    )
