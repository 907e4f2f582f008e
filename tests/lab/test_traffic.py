"""How a second of a customer's traffic is judged."""

from lab.traffic import Second, judge

MS = 1_000_000


def test_a_fine_second():
    assert judge(Second(200, [2 * MS] * 200)) == (0.002, False)


def test_loss_up_to_five_percent_is_borne_and_more_is_not():
    assert judge(Second(100, [MS] * 95))[1] is False
    assert judge(Second(100, [MS] * 94))[1] is True


def test_the_percentile_is_the_nearest_rank():
    assert judge(Second(100, [MS] * 95 + [90 * MS] * 5)) == (0.001, False)
    assert judge(Second(100, [MS] * 94 + [90 * MS] * 6)) == (0.09, True)
    assert judge(Second(100, [MS] * 94 + [40 * MS] * 6)) == (0.04, False)


def test_nothing_arrived_and_nothing_sent():
    assert judge(Second(10, [])) == (None, True)
    assert judge(Second(0, [])) == (None, False)
