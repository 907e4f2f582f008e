"""Service level metrics against the digest's vectors, and against the same formulae written plainly over lists."""

from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.sls.account import Account
from analytics.sls.quantiles import EXACT_MAX, GROWTH, Quantiles
from trimtab.domain import codec
from trimtab.domain.kpi import KpiDefinition, LabelMatcher, Statistic
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.sls import Maintenance, PairGroup, SlsReport, SlsTerms, measured_by
from trimtab.domain.time import NS_PER_SECOND as S

# standards digest, section 6.10; slot 0 there is slot 1 here.
LOSSES = [0, 0, .9, .9, 0, 0, .8, .8, .8, .8, .8, .8, 0, 0, 0, .9, 0, 0, 0, 0, 0, .7, .7, .7, 0, 0, 0, 0]  # fmt: skip
DELAYS = [10, 12, 11, 50, 10, 13, 12, 11, 10, 14]
KEY = ("", "", "")


def terms(**changes: Any) -> SlsTerms:
    plain: dict[str, Any] = {
        "loss_threshold_ratio": 0.5, "consecutive_slots": 4, "high_loss_run": 2,
        "measurement_interval_ns": 25 * S, "late_after_ns": 0, "delay_percentiles": (50.0, 90.0, 95.0),
    }  # fmt: skip
    return SlsTerms(**{**plain, **changes})


def account(chosen: SlsTerms, *lengths: int) -> Account:
    return Account("acme/service/vpn", chosen, lengths or (chosen.measurement_interval_ns,), 0)


def tell(to: Account, slot: int, loss: float, key: tuple[str, ...] = KEY, series: int = 1) -> None:
    """Ten probes in a slot, of which a share is lost."""
    times = (slot - 1) * S + np.arange(1, 11) * (S // 10)
    lost = (np.arange(10) < round(loss * 10)).astype(float)
    to.add(key, series, times, lost, lossy=True)


def reports(to: Account, losses: list[float | None], key: tuple[str, ...] = KEY) -> list[SlsReport]:
    found = []
    for slot, loss in enumerate(losses, start=1):
        if loss is not None:
            tell(to, slot, loss, key)
        found += to.advance(slot * S)
    return found


def test_the_digests_availability_vector() -> None:
    (report,) = reports(account(terms()), list(LOSSES))
    assert (report.start_ns, report.end_ns, report.suspect) == (0, 25 * S, False)
    found = report.service
    assert found.availability_ratio == 0.6
    assert (found.slots, found.slots_known, found.slots_available) == (25, 25, 15)
    assert found.high_loss_intervals == 5
    assert found.consecutive_high_loss_intervals == 2
    (report,) = reports(account(terms(high_loss_run=3)), list(LOSSES))
    assert report.service.consecutive_high_loss_intervals == 1


def test_maintenance_counts_for_nothing() -> None:
    # The digest's slots 8 and 9 are the seconds from 8 to 10.
    window = Maintenance(8 * S, 10 * S)
    (report,) = reports(account(terms(maintenance=(window,))), list(LOSSES))
    assert report.service.availability_ratio == pytest.approx(15 / 23)
    assert report.service.slots == 23
    assert not report.suspect


def test_loss_counts_only_frames_of_available_slots() -> None:
    (report,) = reports(account(terms()), list(LOSSES))
    found = report.service
    available = [loss for slot, loss in enumerate(LOSSES[:25]) if not 6 <= slot <= 15]
    assert found.frames_sent == 10 * len(available)
    assert found.frame_loss_ratio == pytest.approx(sum(available) / len(available))


def with_delays(to: Account, losses: list[float], delays: list[float]) -> SlsReport:
    """Ten delays in each slot."""
    found: list[SlsReport] = []
    for slot, loss in enumerate(losses, start=1):
        tell(to, slot, loss)
        times = (slot - 1) * S + np.arange(1, 11) * (S // 10)
        to.add(("", "", "forward"), 2, times, np.array(delays, float), lossy=False)
        found += to.advance(slot * S)
    (report,) = found
    return report


def test_the_digests_delay_vector() -> None:
    report = with_delays(account(terms(separation_ns=S // 10)), [0.0] * 29, DELAYS)
    found = report.service
    assert found.frame_delay == ((50.0, 11.0), (90.0, 14.0), (95.0, 50.0))
    assert found.mean_frame_delay == pytest.approx(15.3)
    assert found.frame_delay_range == 40.0
    assert found.exact
    assert found.delays == 250
    assert [pair.pair for pair in report.pairs] == ["direction=forward"]
    steps = [abs(b - a) for a, b in zip(DELAYS * 25, (DELAYS * 25)[1:], strict=False)]
    assert found.inter_frame_delay_variation == sorted(steps)[ceil(0.95 * len(steps)) - 1]


def test_delays_of_unavailable_slots_do_not_qualify() -> None:
    losses = [0.0] * 10 + [0.9] * 8 + [0.0] * 12
    to = account(terms(delay_percentiles=(100.0,)))
    for slot, loss in enumerate(losses, start=1):
        tell(to, slot, loss)
        delay = 99.0 if loss else 1.0
        to.add(KEY, 2, np.array([slot * S]), np.array([delay]), lossy=False)
    (report,) = to.advance(len(losses) * S)
    assert report.service.frame_delay == ((100.0, 1.0),)
    assert report.service.delays == 25 - 8


def test_a_lost_probe_does_not_shift_what_is_compared() -> None:
    """Frames 100 ms apart, every third lost: only those exactly the separation apart are compared."""
    to = account(terms(separation_ns=S // 10, variation_percentile=100.0))
    times = np.arange(1, 300) * (S // 10)
    kept = np.arange(1, 300) % 3 != 0
    to.add(KEY, 2, times[kept], (np.arange(1, 300) % 3).astype(float)[kept] * 5, lossy=False)
    (report,) = to.advance(30 * S)
    assert report.service.inter_frame_delay_variation == 5.0  # 1 and 2, never 2 and 4


def test_group_availability_vector() -> None:
    """Two sets, slots 1 1 0 0 1 1 and 1 0 0 1 1 1; n = 1, so that a slot is what it lost."""
    for least, expected in ((1, 5 / 6), (2, 0.5)):
        group = PairGroup("dual", (("from=a",), ("from=b",)), least)
        chosen = terms(
            consecutive_slots=1, high_loss_run=9, groups=(group,), measurement_interval_ns=6 * S
        )
        to = account(chosen)
        for slot, states in enumerate(zip([1, 1, 0, 0, 1, 1], [1, 0, 0, 1, 1, 1], strict=True), 1):
            for name, up in zip("ab", states, strict=True):
                tell(to, slot, 0.0 if up else 0.9, (name, "", ""), ord(name))
        (report,) = to.advance(6 * S)
        assert report.groups[0].ratio == pytest.approx(expected)
        # The set rule: of all pairs the least available.
        assert report.service.availability_ratio == pytest.approx(4 / 6)


def test_a_group_that_names_a_pair_nobody_tells_of_is_unknown() -> None:
    group = PairGroup("dual", (("from=a",), ("from=nowhere",)))
    (report,) = reports(account(terms(groups=(group,))), [0.0] * 28, ("a", "", ""))
    assert report.groups[0].ratio is None
    assert report.suspect


def test_silence_holds_the_state_and_is_told() -> None:
    silent: list[float | None] = [None] * 10
    (report,) = reports(account(terms()), [*[0.0] * 10, *silent, *[0.0] * 9])
    assert report.service.availability_ratio == 1.0
    assert (report.service.slots, report.service.slots_known) == (25, 15)
    assert report.suspect


def test_a_service_that_falls_silent_is_reported_all_the_same() -> None:
    silent: list[float | None] = [None] * 200
    found = reports(account(terms()), [*[0.0] * 26, *silent])
    assert len(found) >= 5
    last = found[-1].service
    assert last.availability_ratio is None
    assert last.frame_loss_ratio is None
    assert found[-1].suspect


def test_what_comes_too_late_is_counted_and_changes_nothing() -> None:
    to = account(terms())
    tell(to, 1, 0.0)
    to.advance(5 * S)
    assert to.add(KEY, 1, np.array([2 * S, 6 * S]), np.array([1.0, 0.0]), lossy=True) == 1


def test_a_frame_told_of_twice_counts_once() -> None:
    to = account(terms())
    for slot in range(1, 30):
        tell(to, slot, 0.5)
        tell(to, slot, 0.0)
    (report,) = to.advance(29 * S)
    assert report.service.frames_sent == 250
    assert report.service.frame_loss_ratio == 0.5


def test_long_periods_add_up_to_what_their_parts_hold() -> None:
    chosen = terms(measurement_interval_ns=5 * S)
    to = account(chosen, 5 * S, 20 * S)
    rng = np.random.default_rng(3)
    told: list[float] = []
    found = []
    for slot in range(1, 45):
        tell(to, slot, 0.0)
        delays = rng.random(10)
        told += delays.tolist()
        times = (slot - 1) * S + np.arange(1, 11) * (S // 10)
        to.add(KEY, 2, times, delays, lossy=False)
        found += to.advance(slot * S)
    whole = [report for report in found if report.end_ns - report.start_ns == 20 * S]
    assert len(whole) == 2
    assert len(found) == 2 + 8
    expected = sorted(told[:200])
    assert dict(whole[0].service.frame_delay)[95.0] == expected[ceil(0.95 * 200) - 1]
    assert whole[0].service.mean_frame_delay == pytest.approx(sum(told[:200]) / 200)


def test_pairs_that_are_measured_no_more_rest_and_come_back() -> None:
    chosen = terms(measurement_interval_ns=100 * S)
    to = account(chosen, 100 * S, 600 * S)
    found = []
    for slot in range(1, 620):
        tell(to, slot, 0.0, ("a", "", ""))
        if slot <= 50 or slot > 450:
            tell(to, slot, 0.0, ("b", "", ""), 2)
        found += to.advance(slot * S)
    names = [[pair.pair for pair in report.pairs] for report in found]
    both, alone = ["from=a", "from=b"], ["from=a"]
    # Its silence is reported for as long as it may be a gap; the long period remembers it.
    assert names == [both, both, both, alone, both, both, both]


KNOWN = st.sampled_from([0.0, 0.0, 0.0, 0.3, 0.6, 1.0])
LOSS = st.one_of(st.none(), KNOWN)


def plainly(losses: list[float], n: int, threshold: float) -> list[int]:
    """The digest's definition over a whole list."""
    found: list[int] = []
    for k in range(len(losses) - n + 1):
        window = losses[k : k + n]
        before = found[-1] if found else 1
        if all(loss > threshold for loss in window) and before:
            found.append(0)
        elif all(loss <= threshold for loss in window) and not before:
            found.append(1)
        else:
            found.append(before)
    return found


@given(st.lists(KNOWN, min_size=20, max_size=60), st.integers(1, 5), st.integers(1, 7))
def test_it_is_the_definition_however_often_time_passes(
    losses: list[float], n: int, stride: int
) -> None:
    length = 16
    chosen = terms(consecutive_slots=n, high_loss_run=2, measurement_interval_ns=length * S)
    to, found = account(chosen), []
    for slot, loss in enumerate(losses, start=1):
        tell(to, slot, loss)
        if slot % stride == 0 or slot == len(losses):
            found += to.advance(slot * S)
    states = plainly(losses, n, 0.5)
    assert len(found) == len(states) // length
    for number, report in enumerate(found):
        span = range(number * length, (number + 1) * length)
        high = [states[k] == 1 and losses[k] > 0.5 for k in span]
        runs = sum(
            high[k] and high[k - 1] and (k == 1 or not high[k - 2]) for k in range(1, length)
        )
        performance = report.service
        assert performance.availability_ratio == sum(states[k] for k in span) / length
        assert performance.high_loss_intervals == sum(high)
        assert performance.consecutive_high_loss_intervals == runs
        sent = [losses[k] for k in span if states[k]]
        assert performance.frames_sent == 10 * len(sent)
        assert performance.frames_lost == pytest.approx(sum(round(10 * loss) for loss in sent))


@given(st.lists(LOSS, min_size=1, max_size=50), st.integers(0, 49))
def test_an_account_goes_on_from_its_state(losses: list[float | None], cut: int) -> None:
    chosen = terms(measurement_interval_ns=5 * S, consecutive_slots=3)
    one, other = account(chosen, 5 * S, 10 * S), account(chosen, 5 * S, 10 * S)
    for slot, loss in enumerate(losses, start=1):
        if slot == cut + 1:
            other = Account.from_state(other.service_id, chosen, other.state())
        for each in (one, other):
            if loss is not None:
                tell(each, slot, loss)
                each.add(("", "", "x"), 2, np.array([slot * S]), np.array([loss]), lossy=False)
        assert one.advance(slot * S) == other.advance(slot * S)


def test_percentiles_of_many_values_are_within_a_thousandth() -> None:
    values = np.random.default_rng(1).lognormal(-6, 1, 5 * EXACT_MAX)
    whole, parts = Quantiles(), Quantiles()
    whole.add(values)
    for part in np.array_split(values, 7):
        one = Quantiles()
        one.add(part)
        parts.merge(one)
    assert not whole.exact
    assert whole.count == parts.count == len(values)
    for percent in (0.1, 50.0, 95.0, 99.9, 100.0):
        exact = np.sort(values)[ceil(percent / 100 * len(values) - 1e-9) - 1]
        assert whole.percentile(percent) == parts.percentile(percent)
        assert whole.percentile(percent) == pytest.approx(exact, rel=(GROWTH - 1) / 2 + 1e-9)


def kpi(statistic: Statistic, series: str, **more: Any) -> KpiDefinition:
    return KpiDefinition("k", ObjectKind.SERVICE, series, statistic, "x", **more)


def test_an_objectives_kpi_is_found_in_the_report() -> None:
    report = with_delays(account(terms(separation_ns=S // 10)), [0.0] * 29, DELAYS)
    report = codec.decode(codec.encode(report))
    delay, lost = "probe_delay_seconds", "probe_lost"
    assert measured_by(kpi(Statistic.PERCENTILE, delay, percentile=90.0), report) == 14.0
    assert measured_by(kpi(Statistic.PERCENTILE, delay, percentile=91.0), report) is None
    assert measured_by(kpi(Statistic.MEAN, delay), report) == pytest.approx(15.3)
    assert measured_by(kpi(Statistic.RANGE, delay, percentile=95.0), report) == 40.0
    assert measured_by(kpi(Statistic.MEAN, lost), report) == 0.0
    assert measured_by(kpi(Statistic.AVAILABILITY, lost), report) == 1.0
    assert measured_by(kpi(Statistic.MEAN, "other"), report) is None
    backwards = (LabelMatcher("direction", "backward"),)
    assert measured_by(kpi(Statistic.MEAN, delay, where=backwards), report) is None


def test_losses_without_delays_are_reported_for_themselves_until_delays_come() -> None:
    to = account(terms())
    found = []
    for slot in range(1, 60):
        tell(to, slot, 0.0)
        if slot > 27:  # before the first period is decided, but none of its slots
            to.add(("", "", "forward"), 2, np.array([slot * S]), np.array([0.1]), lossy=False)
        found += to.advance(slot * S)
    assert [[pair.pair for pair in report.pairs] for report in found] == [
        ["all"], ["direction=forward"],
    ]  # fmt: skip


def test_maintenance_that_overlaps_counts_once_and_may_outlast_the_period() -> None:
    windows = (
        Maintenance(8 * S, 10 * S),
        Maintenance(9 * S, 12 * S),
        Maintenance(24 * S, 10**6 * S),
    )
    (report,) = reports(account(terms(maintenance=windows)), [0.0] * 29)
    assert report.service.slots == 25 - 4 - 1
    assert not report.suspect


def test_doubt_about_what_was_reported_long_ago_leaves_nothing_behind() -> None:
    to = account(terms())
    reports(to, [0.0] * 60)
    for second in range(50):
        to.doubt(second * S, second * S)
    assert to.doubted == set()
    to.doubt(70 * S, 70 * S)
    assert len(to.doubted) == 1
