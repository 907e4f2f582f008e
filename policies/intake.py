"""What the Decider is told and only remembers: incidents, troubles, assessments, KPIs, alarms, inventory, policies."""

from collections.abc import Iterator
from typing import TypeVar

from policies.book import Book
from policies.scene import Scene
from policies.state import (
    ALARMS_MAX,
    INCIDENTS_MAX,
    NAMES_PER_OBJECT_MAX,
    OBJECTS_PER_TABLE_MAX,
    State,
)
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.configuration import Configuration
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import DeciderInput
from trimtab.domain.kpi import Kpi
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.policy import PolicySet

T = TypeVar("T")


class Intake:
    """Puts inputs into the state."""

    def __init__(self, state: State, book: Book) -> None:
        self._state = state
        self._book = book
        self._kpi_names: set[str] = set()
        self._learn_kpi_names()

    def read_of(self, batch: KpiBatch) -> Iterator[Kpi]:
        """Yield what some policy reads: KPI values are by far the most numerous inputs, and few policies read any."""
        return batch.kpis(batch.named(self._kpi_names))

    def take(self, scene: Scene, value: DeciderInput) -> bool:
        """Take one input in; True when the inventory changed."""
        match value:
            case Kpi() if value.name in self._kpi_names:
                self._put(scene, "kpis", self._state.kpis, value.object_id, value.name, value)
            case Assessment():
                self._assessment(scene, value)
            case Trouble():
                self._trouble(scene, value)
            case Alarm():
                self._alarm(scene, value)
            case Incident():
                self._incident(scene, value)
            case PolicySet():
                self._policies(value)
            case Configuration():
                self._configure(value)
                return True
            case InventoryChange():
                self._inventory(value)
                return True
            case _:
                pass
        return False

    def _configure(self, configuration: Configuration) -> None:
        before = self._state.configuration
        if before is not None:
            still = {item.id for item in configuration.inventory.objects}
            gone = {item.id for item in before.inventory.objects} - still
            at_ns = configuration.inventory.at_ns
            removed = tuple(sorted(gone))
            self._inventory(InventoryChange("configuration", at_ns, removed_object_ids=removed))
        self._state.configuration = configuration
        self._inventory(configuration.inventory)

    def _inventory(self, change: InventoryChange) -> None:
        # The correlator tells the NOC of contradictions; twice would be noise.
        self._state.topology.apply(change)
        for gone in change.removed_object_ids:
            for table in (self._state.troubles, self._state.assessments, self._state.kpis):
                table.pop(gone, None)

    def _policies(self, policies: PolicySet) -> None:
        self._state.policies = policies
        self._book.forget()
        known = {policy.name for policy in policies.policies}
        for pair in [pair for pair in self._state.held if pair[0] not in known]:
            del self._state.held[pair]
        self._learn_kpi_names()

    def _learn_kpi_names(self) -> None:
        """Keep only KPIs that some policy reads: there may be very many others."""
        policies = self._state.policies.policies if self._state.policies is not None else ()
        at_work = [ladder.policy for ladder in self._state.ladders.values()]
        at_work += [check.policy for check in self._state.checks.values()]
        self._kpi_names = set()
        for policy in (*policies, *at_work):
            self._kpi_names |= self._book.kpis(policy)

    def _assessment(self, scene: Scene, value: Assessment) -> None:
        parts = value.object_id.split("/")
        if len(parts) > 1 and parts[1] == "service":
            table = self._state.assessments
            self._put(scene, "assessments", table, value.object_id, value.objective, value)

    def _trouble(self, scene: Scene, value: Trouble) -> None:
        """Keep what is wrong or unknown; what is fine again is dropped."""
        table = self._state.troubles
        key = value.objective or value.symptom
        if value.status is not FulfilmentStatus.FULFILLED:
            self._put(scene, "troubles", table, value.object_id, key, value)
            return
        shown = table.get(value.object_id)
        if shown is not None:
            shown.pop(key, None)
            if not shown:
                del table[value.object_id]

    def _alarm(self, scene: Scene, value: Alarm) -> None:
        alarms = self._state.alarms
        if value.state is AlarmState.CLEARED:
            alarms.pop(value.id, None)
        elif value.id in alarms or len(alarms) < ALARMS_MAX:
            alarms[value.id] = value
        else:
            scene.count("alarms")

    def _incident(self, scene: Scene, value: Incident) -> None:
        incidents = self._state.incidents
        if value.id in incidents or (
            value.state is IncidentState.OPEN and len(incidents) < INCIDENTS_MAX
        ):
            incidents[value.id] = value
        elif value.state is IncidentState.OPEN:
            scene.count("incidents")

    def _put(
        self,
        scene: Scene,
        name: str,
        table: dict[str, dict[str, T]],
        outer: str,
        inner: str,
        value: T,
    ) -> None:
        rows = table.get(outer)
        if rows is None:
            if len(table) >= OBJECTS_PER_TABLE_MAX:
                scene.count(name)
                return
            rows = table[outer] = {}
        if inner in rows or len(rows) < NAMES_PER_OBJECT_MAX:
            rows[inner] = value
        else:
            scene.count(name)
