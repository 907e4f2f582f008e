"""Terms: what an objective asks, as columns. Many goals share them: there is a row for each objective and interval."""

from analytics.columns import NEVER, Column, Columns
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective


class Terms(Columns):
    """Hold a row for each (objective, SLS interval, whether one sample may breach it), for as long as the table."""

    def __init__(self) -> None:
        super().__init__(
            {
                "bound": Column("f8", 0.0),
                "sign": Column("f8", 1.0),
                "hysteresis": Column("f8", 0.0),
                "raise_after": Column("i8", 0),
                "clear_after": Column("i8", 0),
                "by_one": Column("?", 0),
                "burns": Column("?", 0),
                "allowed": Column("f8", 1.0),
                "interval": Column("i8", NEVER),
            }
        )
        self.objectives: dict[int, ServiceLevelObjective] = {}
        # By name, as hashing all that an objective says takes longer than all else; namesakes are told apart.
        self._rows: dict[tuple[str, int, bool], list[int]] = {}

    def of(self, objective: ServiceLevelObjective, service: Service | None, by_one: bool) -> int:
        """Return the row of an objective, for a service or (None) for resources."""
        key = (objective.name, service.interval_ns if service else 0, by_one)
        namesakes = self._rows.setdefault(key, [])
        for row in namesakes:
            if self.objectives[row] is objective:
                return row
        namesakes.append(self._add(objective, service, by_one))
        return namesakes[-1]

    def _add(self, objective: ServiceLevelObjective, service: Service | None, by_one: bool) -> int:
        row = self.allocate()
        self.objectives[row] = objective
        self["bound"][row] = objective.bound
        self["sign"][row] = 1.0 if objective.comparator is Comparator.AT_MOST else -1.0
        self["hysteresis"][row] = objective.hysteresis
        self["raise_after"][row] = objective.raise_after_ns
        self["clear_after"][row] = objective.clear_after_ns
        self["by_one"][row] = by_one
        if service is not None:
            self["interval"][row] = max(1, service.interval_ns)
            self["burns"][row] = objective.burn_rate_alarms
            self["allowed"][row] = 1.0 - objective.target_ratio
        return row
