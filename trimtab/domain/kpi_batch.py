"""KPIs in columns: the shape in which they leave the assessor, one by one only where somebody looks at one."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.domain.context import Context
from trimtab.domain.identity import content_id
from trimtab.domain.kpi import Kpi, KpiDefinition
from trimtab.domain.managed_object import ObjectKind

KPIS_SHOWN_MAX = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class KpiBatch:
    """Hold KPIs whose windows closed together, in columns: the only shape in which KPI volume moves.

    One row a KPI of one object: object_id (str), definition int16 (a place in `definitions`), end_ns int64, value
    float64 (NaN where nothing was measured), samples int64, suspect bool; read-only. Rows come in no order that
    means anything. `kpi` and `kpis` make values of those rows that somebody wants to see. `population` says how many
    KPIs the assessor keeps in all.
    """

    definitions: tuple[KpiDefinition, ...]
    object_id: npt.NDArray[np.object_]
    definition: npt.NDArray[np.int16]
    end_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    samples: npt.NDArray[np.int64]
    suspect: npt.NDArray[np.bool_]
    population: int = 0

    def __post_init__(self) -> None:
        rows = len(self.object_id)
        for column in (
            self.object_id, self.definition, self.end_ns, self.value, self.samples, self.suspect,
        ):  # fmt: skip
            if len(column) != rows:
                raise ValueError("the columns of a KPI batch differ in length")
            column.setflags(write=False)

    def __len__(self) -> int:
        return len(self.object_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KpiBatch) and sorted(self.kpis(), key=_content) == sorted(
            other.kpis(), key=_content
        )

    __hash__ = None  # type: ignore[assignment]  # columns are no dictionary key

    def kpi(self, row: int) -> Kpi:
        """Return one row as a value with its identity."""
        definition = self.definitions[self.definition[row]]
        object_id, end_ns = str(self.object_id[row]), int(self.end_ns[row])
        value = float(self.value[row])
        name = content_id("kpi", object_id, definition.name, end_ns)
        return Kpi(
            Context(name), object_id, definition.name, end_ns, definition.window_ns,
            None if math.isnan(value) else value, int(self.samples[row]), definition.unit,
            bool(self.suspect[row]),
        )  # fmt: skip

    def kpis(self, rows: npt.NDArray[np.intp] | None = None) -> Iterator[Kpi]:
        """Yield the chosen rows (all, when none are named) as values."""
        for row in range(len(self)) if rows is None else rows.tolist():
            yield self.kpi(row)

    def shown(self) -> npt.NDArray[np.intp]:
        """Return the rows that views of single values hold (read model, exposition, sinks).

        All where no more than KPIS_SHOWN_MAX are kept; else those of services, up to as many a batch. The others are
        in the sample history, and whoever leaves them out counts them.
        """
        if max(len(self), self.population) <= KPIS_SHOWN_MAX:
            return np.arange(len(self))
        services = self._rows([item.object_kind is ObjectKind.SERVICE for item in self.definitions])
        return services[:KPIS_SHOWN_MAX]

    def named(self, names: set[str]) -> npt.NDArray[np.intp]:
        """Return the rows of KPIs by some names."""
        return self._rows([item.name in names for item in self.definitions])

    def _rows(self, wanted: list[bool]) -> npt.NDArray[np.intp]:
        rows: npt.NDArray[np.intp] = np.flatnonzero(
            np.array(wanted, dtype=np.bool_)[self.definition]
        )
        return rows


def spell_out(values: Iterable[object]) -> list[object]:
    """Return values with the KPIs of all batches one by one in front, in the order of time, object and name.

    What a step says, then, whatever its cut into batches, instances and shards.
    """
    kpis: list[Kpi] = []
    others: list[object] = []
    for value in values:
        if isinstance(value, KpiBatch):
            kpis.extend(value.kpis())
        else:
            others.append(value)
    return [*sorted(kpis, key=_content), *others]


def _content(kpi: Kpi) -> tuple[int, str, str]:
    return (kpi.end_ns, kpi.object_id, kpi.name)
