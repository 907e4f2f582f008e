"""KPIs in columns: rows become values with their identities, and views of single values stay small."""

import math
from dataclasses import replace

import numpy as np
import pytest

from trimtab.domain.identity import content_id
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.kpi_batch import KPIS_SHOWN_MAX, KpiBatch, spell_out
from trimtab.domain.managed_object import ObjectKind

DELAY = KpiDefinition("delay", ObjectKind.SERVICE, "delay", Statistic.MEAN, "seconds")
LOAD = KpiDefinition("load", ObjectKind.VNFC, "load", Statistic.MEAN, "ratio")


def batch(rows: int, services: int = 0) -> KpiBatch:
    names = [f"t/service/s{n}" if n < services else f"t/vnfc/v{n}" for n in range(rows)]
    return KpiBatch(
        (DELAY, LOAD),
        np.array(names, dtype=np.object_),
        np.array([0 if n < services else 1 for n in range(rows)], dtype=np.int16),
        np.full(rows, 5, dtype=np.int64),
        np.arange(rows, dtype=np.float64),
        np.full(rows, 3, dtype=np.int64),
        np.zeros(rows, dtype=np.bool_),
    )


def test_a_row_becomes_a_value_with_the_identity_of_its_content() -> None:
    kpi = batch(2, services=1).kpi(0)
    assert (kpi.object_id, kpi.name, kpi.value, kpi.unit) == (
        "t/service/s0",
        "delay",
        0.0,
        "seconds",
    )
    assert kpi.context.id == content_id("kpi", "t/service/s0", "delay", 5)


def test_what_was_not_measured_has_no_value() -> None:
    one = batch(1)
    nothing = KpiBatch(
        one.definitions, one.object_id, one.definition, one.end_ns, np.array([math.nan]),
        one.samples, one.suspect,
    )  # fmt: skip
    assert nothing.kpi(0).value is None


def test_all_of_a_small_batch_is_shown_and_the_services_of_a_large_one() -> None:
    assert len(batch(KPIS_SHOWN_MAX).shown()) == KPIS_SHOWN_MAX
    large = batch(KPIS_SHOWN_MAX + 1, services=7)
    assert [kpi.object_id for kpi in large.kpis(large.shown())] == [
        f"t/service/s{n}" for n in range(7)
    ]
    assert len(batch(2 * KPIS_SHOWN_MAX, services=2 * KPIS_SHOWN_MAX).shown()) == KPIS_SHOWN_MAX


def test_few_of_many_kpis_are_not_shown_either() -> None:
    few = replace(batch(3, services=1), population=KPIS_SHOWN_MAX + 1)
    assert few.shown().tolist() == [0]


def test_only_what_is_asked_for_by_name_is_made() -> None:
    mixed = batch(6, services=2)
    assert [kpi.name for kpi in mixed.kpis(mixed.named({"delay"}))] == ["delay", "delay"]
    assert not list(mixed.kpis(mixed.named({"unheard"})))


def test_the_cut_into_batches_leaves_no_trace_when_spelled_out() -> None:
    whole, one, two = batch(9), batch(3), batch(9)
    rest = KpiBatch(
        two.definitions, two.object_id[3:], two.definition[3:], two.end_ns[3:], two.value[3:],
        two.samples[3:], two.suspect[3:],
    )  # fmt: skip
    assert spell_out([rest, "else", one]) == spell_out([whole, "else"])
    assert whole == batch(9)
    assert whole != one


def test_columns_of_different_lengths_are_refused() -> None:
    one = batch(2)
    with pytest.raises(ValueError, match="length"):
        KpiBatch(
            one.definitions, one.object_id[:1], one.definition, one.end_ns, one.value, one.samples,
            one.suspect,
        )  # fmt: skip
