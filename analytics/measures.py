"""What a trouble is measured by: the KPI behind its objective, as the configuration has it."""

from analytics.binding import kind_of
from trimtab.domain.assessment import Trouble
from trimtab.domain.configuration import Configuration
from trimtab.domain.kpi import KpiDefinition
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.time import NS_PER_SECOND

# Without a service objective to go by: how long what is over may still show above.
LINGER_MIN_NS = 10 * NS_PER_SECOND

Key = tuple[str, str]  # object id, objective


def key_of(trouble: Trouble) -> Key:
    """Return what tells two troubles apart: whose, and by which objective."""
    return trouble.object_id, trouble.objective or trouble.symptom


def kpi_of(trouble: Trouble, configuration: Configuration | None) -> KpiDefinition | None:
    """Return the KPI that shows a trouble, None where none is configured."""
    if configuration is None:
        return None
    kind = kind_of(trouble.object_id)
    names = {
        item.kpi
        for item in configuration.objectives
        if item.name == trouble.objective and item.object_kind == kind
    }
    found = (item for item in configuration.kpis if item.object_kind == kind and item.name in names)
    return next(found, None)


def unit_of(trouble: Trouble, configuration: Configuration | None) -> str:
    """Return the unit of a trouble's value and bound, an empty text when it is not known."""
    kpi = kpi_of(trouble, configuration)
    return kpi.unit if kpi else ""


def window_of(trouble: Trouble, configuration: Configuration | None) -> int:
    """Return over how many ns the value of a trouble was measured, 0 when it is not known."""
    kpi = kpi_of(trouble, configuration)
    return kpi.window_ns if kpi else 0


def linger_of(configuration: Configuration) -> int:
    """Return how long a trouble that ended may still show in the services above it: their window, and the hold."""
    windows = {
        (item.object_kind, item.name): item.window_ns + 3 * item.granularity_ns
        for item in configuration.kpis
    }
    spans = [
        windows.get((item.object_kind, item.kpi), 0) + item.clear_after_ns
        for item in configuration.objectives
        if item.object_kind is ObjectKind.SERVICE
    ]
    return max([LINGER_MIN_NS, *(span + configuration.late_after_ns for span in spans)])
