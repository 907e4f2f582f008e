"""The rules by which rows become windows, and windows alarms."""

from collections.abc import Callable
from typing import Any

import pytest

from analytics.assessor import Assessor
from trimtab.domain import codec
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.command import Command, CommandKind, CommandResult
from trimtab.domain.configuration import AnomalyRule, BindingRule, Configuration
from trimtab.domain.identity import content_id
from trimtab.domain.input import ClockJump, Notice, SeriesAdded, SeriesRetired, Tick
from trimtab.domain.kpi import Kpi, KpiDefinition, LabelMatcher, Statistic
from trimtab.domain.managed_object import Alias, InventoryChange, ObjectKind, managed_object
from trimtab.domain.samples import SampleFlag
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.sls import SlsTerms
from trimtab.domain.time import NS_PER_SECOND as S

T0 = 1_700_000_000 * S
OBJ = "p/vnfc/a"
SERVICE = "acme/service/s"
SERIES = Series.of("m", {"obj": OBJ})
PROMISED = Series.of("m", {"obj": SERVICE})
Configure = Callable[..., Configuration]


def kpi(statistic: Statistic = Statistic.MEAN, **more: Any) -> KpiDefinition:
    plain = {"name": "k", "object_kind": ObjectKind.VNFC, "series": "m", "window_ns": S}
    return KpiDefinition(statistic=statistic, unit="x", **{**plain, **more})


def bound(**more: Any) -> ServiceLevelObjective:
    plain = {"name": "o", "object_kind": ObjectKind.VNFC, "kpi": "k", "bound": 10.0,
             "comparator": Comparator.AT_MOST, "clear_after_ns": 0}  # fmt: skip
    return ServiceLevelObjective(**{**plain, **more})


def of(kind: type, outputs: list[Any]) -> list[Any]:
    return [value for value in outputs if isinstance(value, kind)]


class Watch:
    """One series of one object: say its value second by second."""

    def __init__(self, feed: Any, series: Series = SERIES) -> None:
        self.feed, self.series, self.at = feed, series, T0

    def start(self, configuration: Configuration) -> "Watch":
        self.feed.step(configuration, Tick(T0))
        return self

    def say(self, *values: float | None, flag: int = 0) -> list[Any]:
        """Let a second pass for each value, None for a silent one."""
        outputs = []
        for value in values:
            self.at += S
            rows = [] if value is None else [(self.series, self.at - S // 2, value)]
            batch = self.feed.rows("src/a", rows, flag) if rows else []
            outputs += self.feed.step(*batch, Tick(self.at))
        return outputs


def values(outputs: list[Any]) -> list[tuple[int, float | None]]:
    return [((item.end_ns - T0) // S, item.value) for item in of(Kpi, outputs)]


def test_a_window_is_out_within_two_seconds_of_its_end(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi()]))
    found = []
    for value in (1.0, 2.0, 3.0, 4.0):
        found += [(item.end_ns, item.value, watch.at) for item in of(Kpi, watch.say(value))]
    assert [(end, value) for end, value, _ in found] == [(T0 + S, 1.0), (T0 + 2 * S, 2.0)]
    assert all(now - end <= 2 * S for end, _, now in found)


def test_a_kpi_value_is_named_by_its_content(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi()]))
    first = of(Kpi, watch.say(1.0, 2.0, 3.0))[0]
    assert first.context.id == content_id("kpi", OBJ, "k", first.end_ns)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (Statistic.MEAN, 4.0), (Statistic.SUM, 12.0), (Statistic.COUNT, 3.0), (Statistic.MIN, 1.0),
        (Statistic.MAX, 7.0), (Statistic.LAST, 4.0), (Statistic.PERCENTILE, 7.0),
        (Statistic.RANGE, 6.0), (Statistic.VARIATION, 6.0),
    ],
)  # fmt: skip
def test_statistics_of_a_rolling_window(
    feed: Any, configure: Configure, statistic: Statistic, expected: float
) -> None:
    watch = Watch(feed).start(configure([kpi(statistic, window_ns=3 * S)]))
    outputs = watch.say(100.0, 1.0, 7.0, 4.0, 4.0, 4.0)
    assert dict(values(outputs))[4] == expected


@pytest.mark.parametrize(
    ("statistic", "expected"), [(Statistic.RATE, 25.0), (Statistic.INCREASE, 50.0)]
)
def test_counters_with_a_reset(
    feed: Any, configure: Configure, statistic: Statistic, expected: float
) -> None:
    watch = Watch(feed).start(configure([kpi(statistic, window_ns=2 * S)]))
    outputs = watch.say(100.0, 120.0, 20.0, 50.0, 50.0, 50.0)
    assert dict(values(outputs))[4] == expected  # 20 after the restart, then 30


def test_a_ratio_is_of_increases(feed: Any, configure: Configure) -> None:
    feed.step(configure([kpi(Statistic.RATIO, divisor_series="n", window_ns=2 * S)]), Tick(T0))
    other = Series.of("n", {"obj": OBJ})
    outputs = []
    for second in range(1, 7):
        at = T0 + second * S - S // 2
        rows = feed.rows("s", [(SERIES, at, 5.0 * second), (other, at, 50.0 * second)])
        outputs += feed.step(*rows, Tick(T0 + second * S))
    assert dict(values(outputs))[4] == pytest.approx(0.1)


def test_hysteresis_and_holds(feed: Any, configure: Configure) -> None:
    objective = bound(hysteresis=2.0, raise_after_ns=2 * S, clear_after_ns=S)
    watch = Watch(feed).start(configure([kpi()], [objective]))
    story = [5, 11, 11, 9, 11, 11, 11, 9, 9, 7, 9, 7, 7, 7, 7, 7]
    outputs = watch.say(*map(float, story))
    alarms = [
        (item.state, (item.changed_at_ns - T0) // S, item.value) for item in of(Alarm, outputs)
    ]
    # Two beyond the bound do not hold long enough, three do; 9 is within the bound, but not by 2.
    assert alarms == [(AlarmState.UNACKNOWLEDGED, 7, 11.0), (AlarmState.CLEARED, 13, 11.0)]
    troubles = [(item.status.value, (item.since_ns - T0) // S) for item in of(Trouble, outputs)]
    assert troubles == [("NOT_FULFILLED", 5), ("FULFILLED", 13)]
    raised, cleared = of(Alarm, outputs)
    assert raised.id == cleared.id
    assert raised.raised_at_ns == T0 + 7 * S
    assert raised.reported_at_ns > raised.raised_at_ns
    assert "is 11 x, should be at most 10 x" in raised.text


def test_at_least_is_breached_from_below(feed: Any, configure: Configure) -> None:
    objective = bound(comparator=Comparator.AT_LEAST, bound=1.0, symptom="process-gone")
    watch = Watch(feed).start(configure([kpi()], [objective]))
    outputs = watch.say(1.0, 1.0, 0.0, 0.0, 0.0)
    (trouble,) = of(Trouble, outputs)
    assert (trouble.symptom, trouble.objective, trouble.value) == ("process-gone", "o", 0.0)
    assert trouble.active
    assert trouble.confidence == 1.0


def test_silence_is_indeterminate_and_clears_nothing(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    outputs = watch.say(5.0, 11.0, 11.0, *[None] * 10)
    assert [item.state for item in of(Alarm, outputs)] == [AlarmState.UNACKNOWLEDGED]
    assert [item.status for item in of(Trouble, outputs)] == [
        FulfilmentStatus.NOT_FULFILLED, FulfilmentStatus.INDETERMINATE,
    ]  # fmt: skip
    late = of(Kpi, outputs)[-1]
    assert (late.value, late.samples) == (None, 0)
    again = watch.say(5.0, 5.0, 5.0)
    assert [item.state for item in of(Alarm, again)] == [AlarmState.CLEARED]


def test_silence_closes_two_periods_and_the_grace_after_the_end(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi()], late_after_ns=S))
    watch.say(1.0, 1.0)
    closed = {}
    for _ in range(8):
        closed.update({item.end_ns: watch.at for item in of(Kpi, watch.say(None))})
    assert all(now == end + 3 * S for end, now in closed.items() if end > T0 + 2 * S)


def test_what_was_never_heard_of_becomes_indeterminate(feed: Any, configure: Configure) -> None:
    inventory = InventoryChange("configuration", T0, (managed_object(OBJ),))
    watch = Watch(feed).start(configure([kpi()], [bound()], inventory=inventory))
    outputs = watch.say(*[None] * 8)
    assert [item.status for item in of(Trouble, outputs)] == [FulfilmentStatus.INDETERMINATE]
    assert of(Alarm, outputs) == []


def test_nothing_to_measure_is_excused_by_a_breach_that_the_same_source_reports(
    feed: Any, configure: Configure
) -> None:
    delay = kpi(name="delay", series="d")
    kpis, objectives = [kpi(), delay], [bound(), bound(name="delay", kpi="delay")]
    feed.step(configure(kpis, objectives), Tick(T0))
    outputs = []
    for second in range(1, 16):
        at = T0 + second * S - S // 2
        lost = second >= 6
        rows = [(SERIES, at, 11.0 if lost else 0.0)]
        rows += [] if lost else [(Series.of("d", {"obj": OBJ}), at, 1.0)]
        outputs += feed.step(*feed.rows("s", rows), Tick(T0 + second * S))
    told = {(item.objective, item.status.value) for item in of(Trouble, outputs)}
    assert ("o", "NOT_FULFILLED") in told
    assert ("delay", "INDETERMINATE") not in told
    assert [item.value for item in of(Kpi, outputs) if item.name == "delay"][-1] is None


def test_a_late_row_is_counted_and_causes_nothing(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi(window_ns=3 * S)], [bound()]))
    watch.say(1.0, 1.0, 1.0, 1.0, 1.0)
    feed.step(*feed.rows("src/a", [(SERIES, T0 + S // 4, 1e6)]))
    outputs = watch.say(1.0, 1.0, 1.0, 1.0)
    assert feed.machine.counts()["late"] == 1
    assert of(Trouble, outputs) == []
    assert {item.value for item in of(Kpi, outputs)} == {1.0}


def test_rows_from_the_future_are_refused_and_told_once_a_minute(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    watch.say(1.0, 1.0, 1.0)
    notices = []
    for _ in range(5):
        ahead = feed.rows("src/a", [(SERIES, watch.at + 20 * S, 1e6)])
        notices += of(Notice, [*feed.step(*ahead), *watch.say(1.0)])
    assert feed.machine.counts()["future"] == 5
    (notice,) = notices
    assert notice.subject == "src/a"
    assert OBJ in notice.text
    assert {value for _, value in values(watch.say(1.0, 1.0))} == {1.0}


def test_order_of_arrival_within_a_window_does_not_matter(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi(Statistic.LAST)]))
    rows = [(SERIES, T0 + part * S // 10, float(part)) for part in (3, 9, 1, 5)]
    feed.step(*feed.rows("src/a", rows))
    outputs = watch.say(9.5, 0.0, 0.0)
    assert dict(values(outputs))[1] == 9.0


def test_of_two_samples_at_one_time_the_first_counts(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi()]))
    at = T0 + S // 2
    feed.step(*feed.rows("src/a", [(SERIES, at, 4.0), (SERIES, at, 8.0)]), *[])
    outputs = watch.say(16.0, 0.0, 0.0)
    first = of(Kpi, outputs)[0]
    assert (first.value, first.samples) == (4.0, 1)


def test_too_few_samples_are_no_value(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi(samples_min=3, window_ns=3 * S)]))
    found = dict(values(watch.say(1.0, 1.0, None, *[1.0] * 6)))
    assert found[1] is None
    assert found[4] is None
    assert found[6] == 1.0


def test_first_partial_windows_of_a_new_object_raise_nothing(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi(window_ns=4 * S)], [bound()]))
    outputs = watch.say(100.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert of(Trouble, outputs) == []


def test_a_clock_jump_marks_windows_and_alone_raises_nothing(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    watch.say(1.0, 1.0)
    feed.step(ClockJump(watch.at, 2 * S))
    outputs = watch.say(11.0, 11.0, 1.0, 1.0, 1.0)
    suspect = {(item.end_ns - T0) // S for item in of(Kpi, outputs) if item.suspect}
    assert suspect == {2, 3, 4}  # all that hold a moment between before and after
    assert of(Alarm, outputs) == []
    assert of(Alarm, watch.say(11.0, 11.0, 11.0))


def test_samples_in_doubt_alone_raise_nothing(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    outputs = watch.say(1.0, 1.0, 1.0) + watch.say(11.0, 11.0, 11.0, flag=SampleFlag.SUSPECT)
    assert of(Alarm, outputs) == []
    assert any(item.suspect and item.value == 11.0 for item in of(Kpi, outputs))


def test_a_stale_mark_frees_the_slot_once_its_rows_are_read(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi(Statistic.INCREASE, window_ns=2 * S)]))
    watch.say(1.0, 2.0, 3.0)
    feed.step(*feed.rows("src/a", [(SERIES, watch.at, 0.0)], SampleFlag.STALE))
    assert feed.machine.counts()["slots"] == 1
    watch.say(*[None] * 12)
    assert feed.machine.counts()["slots"] == 0
    assert feed.machine.counts()["kpis"] == 0  # no objective asks for it, so it goes, too
    outputs = watch.say(50.0, 51.0, 52.0, 53.0, 54.0)
    # The series that comes back is a new one: 50 is where it starts, no increase.
    assert [value for _, value in values(outputs) if value is not None] == [1.0, 2.0]


def test_a_series_that_is_silent_for_long_gives_its_slot_back(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi()]))
    watch.say(1.0, 1.0)
    for _ in range(40):
        watch.at += 10 * S
        feed.step(Tick(watch.at))
    assert feed.machine.counts()["slots"] == 0


def test_a_long_silence_is_skipped_not_given_out_window_by_window(
    feed: Any, configure: Configure
) -> None:
    inventory = InventoryChange("configuration", T0, (managed_object(OBJ),))
    watch = Watch(feed).start(configure([kpi()], [bound()], inventory=inventory))
    watch.say(1.0, 1.0, 1.0)
    outputs = feed.step(Tick(T0 + 7_200 * S))
    assert len(of(Kpi, outputs)) <= 70
    assert feed.machine.counts()["skipped_windows"] > 7_000
    assert of(Trouble, outputs)[-1].status is FulfilmentStatus.INDETERMINATE


def alias_rules(configure: Configure) -> Configuration:
    return configure(
        [kpi()],
        bindings=(BindingRule((LabelMatcher("uuid", ".+", regex=True),), "{uuid}", "vim"),),
        inventory=InventoryChange(
            "vim",
            T0,
            (managed_object("p/vnfc/a"), managed_object("p/vnfc/b")),
            (
                Alias("p/vnfc/a", "vim", "u1", T0, T0 + 3 * S),
                Alias("p/vnfc/b", "vim", "u1", T0 + 3 * S),
            ),
        ),
    )


def test_an_alias_binds_at_the_samples_own_time(feed: Any, configure: Configure) -> None:
    series = Series.of("m", {"uuid": "u1"})
    feed.step(alias_rules(configure), Tick(T0))
    rows = [(series, T0 + second * S - S // 2, float(second)) for second in range(1, 7)]
    outputs = feed.step(*feed.rows("vim", rows), Tick(T0 + 12 * S), Tick(T0 + 20 * S))
    found = {
        (item.object_id[-1], (item.end_ns - T0) // S): item.value
        for item in of(Kpi, outputs)
        if item.value is not None
    }
    assert found == {("a", 1): 1.0, ("a", 2): 2.0, ("a", 3): 3.0,
                     ("b", 4): 4.0, ("b", 5): 5.0, ("b", 6): 6.0}  # fmt: skip


def test_two_objects_claiming_one_alias_is_told(feed: Any, configure: Configure) -> None:
    feed.step(alias_rules(configure), Tick(T0))
    claim = InventoryChange("vim", T0, aliases=(Alias("p/vnfc/c", "vim", "u1", T0),))
    (notice,) = of(Notice, feed.step(claim, Tick(T0 + S)))
    assert "u1 is claimed by p/vnfc/c" in notice.text


def test_a_removed_object_ends_its_troubles_and_stragglers_revive_nothing(
    feed: Any, configure: Configure
) -> None:
    inventory = InventoryChange("configuration", T0, (managed_object(OBJ),))
    watch = Watch(feed).start(configure([kpi()], [bound()], inventory=inventory))
    watch.say(5.0, 11.0, 11.0, 11.0)
    removal = InventoryChange("sd", watch.at, removed_object_ids=(OBJ,))
    feed.step(removal)
    outputs = watch.say(11.0)
    (alarm,), (trouble,) = of(Alarm, outputs), of(Trouble, outputs)
    assert alarm.state is AlarmState.CLEARED
    assert "removed from the inventory" in alarm.text
    assert not trouble.active
    assert watch.say(11.0, 11.0, 11.0, 11.0) == []
    feed.step(InventoryChange("sd", watch.at, (managed_object(OBJ),)))
    assert of(Kpi, watch.say(5.0, 5.0, 5.0, 5.0))


def acknowledge(feed: Any, alarm_id: str, at: int, kind: CommandKind) -> list[Any]:
    return list(feed.step(Command(f"c{at}", kind, "noc", at, alarm_id), Tick(at)))


def test_alarms_are_acknowledged_and_refusals_say_why(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    (alarm,) = of(Alarm, watch.say(5.0, 11.0, 11.0, 11.0))
    told = acknowledge(feed, alarm.id, watch.at, CommandKind.ACKNOWLEDGE_ALARM)
    (acknowledged,), (result,) = of(Alarm, told), of(CommandResult, told)
    assert (acknowledged.state, acknowledged.acknowledged_by) == (AlarmState.ACKNOWLEDGED, "noc")
    assert result.applied
    told = acknowledge(feed, alarm.id, watch.at, CommandKind.UNACKNOWLEDGE_ALARM)
    assert of(Alarm, told)[0].state is AlarmState.UNACKNOWLEDGED
    assert of(Alarm, watch.say(5.0, 5.0, 5.0))[0].state is AlarmState.CLEARED
    (refused,) = acknowledge(feed, alarm.id, watch.at, CommandKind.ACKNOWLEDGE_ALARM)
    assert not refused.applied
    assert alarm.id in refused.reason


@pytest.mark.parametrize("subject", ["", "alarm-1", "nonsense", "alarm-x-a7"])
def test_exactly_one_shard_answers_for_an_unknown_alarm(subject: str, feed: Any) -> None:
    command = Command("c", CommandKind.ACKNOWLEDGE_ALARM, "noc", T0, subject)
    inputs = feed.number(command, Tick(T0))
    answers = [of(CommandResult, Assessor(shard, 3).step(inputs, T0)) for shard in range(3)]
    assert sorted(map(len, answers)) == [0, 0, 1]


def test_a_service_is_assessed_every_period_with_its_budget(
    feed: Any, configure: Configure
) -> None:
    service = Service(SERVICE, "acme", "s", interval_ns=100 * S)
    definition = kpi(object_kind=ObjectKind.SERVICE)
    objective = bound(object_kind=ObjectKind.SERVICE, target_ratio=0.9)
    watch = Watch(feed, PROMISED).start(configure([definition], [objective], services=(service,)))
    outputs = watch.say(*[5.0] * 6, 11.0, 11.0, *[5.0] * 6)
    told = of(Assessment, outputs)
    assert [item.end_ns for item in told] == sorted({item.end_ns for item in told})
    assert len(told) >= 10
    last = told[-1]
    assert last.observed is FulfilmentStatus.FULFILLED
    assert last.compliance is FulfilmentStatus.NOT_FULFILLED  # 2 of 12 missed, 1 of 10 may
    assert last.budget_left_ratio == pytest.approx(1 - 2 / 10)
    assert of(Alarm, outputs)[0].service_affecting


def test_a_service_heading_for_its_bound_is_predicted_to_miss_it(
    feed: Any, configure: Configure
) -> None:
    service = Service(SERVICE, "acme", "x")
    definition = kpi(object_kind=ObjectKind.SERVICE)
    objective = bound(object_kind=ObjectKind.SERVICE)
    watch = Watch(feed, PROMISED).start(configure([definition], [objective], services=(service,)))
    wobble = [0.05 * ((7 * row) % 5 - 2) for row in range(60)]
    outputs = watch.say(*[0.2 * row + wobble[row] for row in range(60)])
    told = of(Assessment, outputs)
    assert told[0].predicted is None
    ahead = [item for item in told if item.foreseen and item.foreseen.in_seconds is not None]
    crossing = next(item.end_ns for item in told if item.value is not None and item.value > 10.0)
    assert ahead
    assert all(item.predicted is FulfilmentStatus.NOT_FULFILLED for item in ahead)
    assert all(item.observed is FulfilmentStatus.FULFILLED for item in ahead)
    first = ahead[0]
    assert crossing - first.end_ns >= 10 * S
    assert first.foreseen.in_seconds == pytest.approx((crossing - first.end_ns) / S, abs=4.0)
    assert first.foreseen.low_seconds <= first.foreseen.in_seconds <= first.foreseen.high_seconds
    assert told[-1].foreseen.reason == "beyond the bound already"


def test_a_resource_is_assessed_when_it_changes(feed: Any, configure: Configure) -> None:
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    outputs = watch.say(5.0, 5.0, 5.0, 11.0, 11.0, 5.0, 5.0, 5.0)
    # That it was well at first is no news.
    assert [item.observed.value for item in of(Assessment, outputs)] == [
        "NOT_FULFILLED", "FULFILLED",
    ]  # fmt: skip


def test_a_new_bound_keeps_the_alarm_and_a_dropped_objective_clears_it(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    (alarm,) = of(Alarm, watch.say(5.0, 11.0, 11.0, 11.0))
    feed.step(configure([kpi()], [bound(bound=10.5)], hash="h2"))
    assert of(Alarm, watch.say(11.0, 11.0)) == []
    feed.step(configure([kpi()], [], hash="h3"))
    (cleared,) = of(Alarm, watch.say(11.0))
    assert (cleared.id, cleared.state) == (alarm.id, AlarmState.CLEARED)
    assert "configured no more" in cleared.text
    assert [value for _, value in values(watch.say(7.0, 7.0, 7.0))][-1] == 7.0


def test_a_burst_tells_what_seconds_would_have_told(feed: Any, configure: Configure) -> None:
    story = [5.0, 5.0, 11.0, 11.0, 5.0, 5.0, 5.0]
    rows = [(SERIES, T0 + at * S + S // 2, value) for at, value in enumerate(story)]
    feed.step(configure([kpi()], [bound()]), Tick(T0))
    outputs = feed.step(*feed.rows("src/a", rows), Tick(T0 + 8 * S))
    told = [
        (item.status.value, (item.since_ns - T0) // S, (item.at_ns - T0) // S)
        for item in of(Trouble, outputs)
    ]
    assert told == [("NOT_FULFILLED", 3, 3), ("FULFILLED", 5, 5)]
    assert [item.state for item in of(Alarm, outputs)] == [
        AlarmState.UNACKNOWLEDGED, AlarmState.CLEARED,
    ]  # fmt: skip


def test_numbers_of_slots_leave_no_trace(feed: Any, configure: Configure) -> None:
    """The order in which slots were opened is history; a restored assessor numbers them anew."""
    low, high = (Series.of("m", {"obj": OBJ, "n": str(number)}) for number in range(2))
    feed.step(
        configure([kpi(window_ns=2 * S)]), *feed.rows("x", [(low, 0, 0.0), (high, 0, 0.0)])[:2]
    )
    story = [{high: "a"}, {high: "a", low: "b"}, {high: "c", low: "d"}, {high: "a", low: "b"}]
    for second, told in enumerate(story, start=1):
        now = T0 + second * S
        rows = [feed.rows(source, [(series, now, 1.0)]) for series, source in told.items()]
        restored = Assessor.restore(feed.machine.snapshot())
        numbered = feed.number(*(item for inputs in rows for item in inputs), Tick(now))
        assert restored.step(numbered, now) == feed.machine.step(numbered, now)
        assert restored.snapshot() == feed.machine.snapshot()


def test_rows_that_bind_to_nothing_are_counted(feed: Any, configure: Configure) -> None:
    feed.step(configure([kpi()]), Tick(T0))
    unread, homeless = Series.of("other", {"obj": OBJ}), Series.of("m", {"x": "y"})
    feed.step(*feed.rows("s", [(unread, T0, 1.0), (homeless, T0, 1.0)]), Tick(T0 + S))
    assert feed.machine.counts()["unbound"] == 2


def test_before_any_configuration_there_is_nothing_to_say(feed: Any) -> None:
    assert feed.step(*feed.rows("s", [(SERIES, T0, 1.0)]), Tick(T0 + S)) == []
    assert feed.machine.counts()["unbound"] == 1


def test_a_series_that_is_retired_is_forgotten_and_known_again_when_it_speaks(
    feed: Any, configure: Configure
) -> None:
    watch = Watch(feed).start(configure([kpi()]))
    watch.say(1.0, 2.0, 3.0)
    feed.step(SeriesRetired((0,)))
    table = feed.machine.catalogue.table
    assert set(table.series) == {0}  # its slot still lingers
    watch.say(4.0, 5.0, 6.0)
    feed.step(SeriesAdded(0, SERIES))
    assert values(watch.say(7.0, 8.0))[-1][1] == 6.0
    watch.at += 400 * S
    feed.step(Tick(watch.at))
    feed.step(SeriesRetired((0, 77)))
    assert table.series == {}
    machine = Assessor.restore(feed.machine.snapshot())
    assert machine.snapshot() == feed.machine.snapshot()
    feed.step(SeriesAdded(0, SERIES))
    assert values(watch.say(9.0, 10.0, 11.0, 12.0))[-1][1] == 10.0


def statuses(outputs: list[Any]) -> list[str]:
    return [item.status.value for item in of(Trouble, outputs)]


def test_a_source_that_lags_is_not_silent_and_one_that_stops_is(
    feed: Any, configure: Configure
) -> None:
    """Two objects of one source, which falls ever further behind: it speaks of the other, and of long ago."""
    other = Series.of("m", {"obj": "p/vnfc/b"})
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    for _ in range(5):
        watch.at += S
        both = [(SERIES, watch.at - S // 2, 1.0), (other, watch.at - S // 2, 1.0)]
        assert statuses(feed.step(*feed.rows("src/a", both), Tick(watch.at))) == []
    stuck = watch.at
    for number in range(40):
        watch.at += S
        slow = [(other, stuck + number * S // 20, 1.0)]
        assert statuses(feed.step(*feed.rows("src/a", slow), Tick(watch.at))) == []
    told = []
    for _ in range(6):
        watch.at += S
        told += statuses(feed.step(Tick(watch.at)))
    assert told == ["INDETERMINATE"] * 2


def test_the_lag_of_one_source_buys_no_time_for_another(feed: Any, configure: Configure) -> None:
    other = Series.of("m", {"obj": "p/vnfc/b"})
    watch = Watch(feed).start(configure([kpi()], [bound()]))
    told = []
    for number in range(20):
        watch.at += S
        rows = feed.rows("src/slow", [(other, T0 + number * S // 20, 1.0)])
        if number < 5:
            rows += feed.rows("src/prompt", [(SERIES, watch.at - S // 2, 1.0)])
        told += of(Trouble, feed.step(*rows, Tick(watch.at)))
    assert [item.object_id for item in told] == [OBJ]


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 5e-324])
def test_values_at_the_end_of_numbers_can_be_written_down(
    feed: Any, configure: Configure, value: float
) -> None:
    kpis = [
        kpi(item, name=item.value, window_ns=2 * S, percentile=90.0, divisor_series="m")
        for item in Statistic
    ]
    sums = KpiDefinition("k", ObjectKind.SERVICE, "m", Statistic.MEAN, "x", window_ns=S)
    objectives = [bound(name=item.name, kpi=item.name) for item in kpis]
    told = SlsTerms("m", "m", measurement_interval_ns=2 * S, consecutive_slots=2, late_after_ns=0)
    feed.step(
        configure(
            [*kpis, sums], objectives, services=(Service(SERVICE, "acme", "s", (OBJ,), sls=told),),
            anomalies=AnomalyRule(),
        ),
        Tick(T0),
    )  # fmt: skip
    for second in range(1, 90):
        near = 1.0 + second % 3 if second < 70 else value
        at = T0 + second * S - S // 2
        rows = [(series, at - place, near) for series in (SERIES, PROMISED) for place in range(4)]
        for output in feed.step(*feed.rows("src/a", rows), Tick(T0 + second * S)):
            codec.encode(output)
    Assessor.restore(feed.machine.snapshot())
