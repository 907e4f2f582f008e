"""Test packets and what follows from them, without a network."""

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.stamp_flow import Outcome
from collectors.stamp_loss import OneWayLoss
from collectors.stamp_packet import (
    decode_answer,
    decode_ns,
    encode_ns,
    encode_packet,
    error_estimate,
    error_ns,
    is_synchronised,
)

PTP, NTP = 0x4001, 0x0001


def ns(year: int) -> int:
    return int(datetime(year, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_the_packet_has_44_bytes_in_the_order_of_the_rfc() -> None:
    packet = encode_packet(7, b"12345678", 0x8001, 0x1234)
    assert packet == b"\x00\x00\x00\x0712345678\x80\x01\x12\x34" + bytes(28)


def test_an_answer_is_read_from_its_offsets() -> None:
    answer = bytes(range(44))
    found = decode_answer(answer + b"padding")
    assert found is not None
    assert found.sequence == 0x00010203
    assert found.sent == answer[4:12]
    assert found.error_estimate == 0x0C0D
    assert found.ssid == 0x0E0F
    assert found.received == answer[16:24]
    assert found.sender_sequence == 0x18191A1B
    assert found.sender_timestamp == answer[28:36]
    assert decode_answer(answer[:43]) is None


def test_known_timestamps() -> None:
    # 2000-01-01 is second 3155673600 of NTP's era (RFC 5905, figure 4); half a second is 2^31.
    time_ns = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000 + 500_000_000
    assert encode_ns(time_ns, ptp=False) == struct.pack("!II", 3_155_673_600, 2**31)
    assert encode_ns(time_ns, ptp=True) == struct.pack("!II", 946_684_800, 500_000_000)
    assert encode_ns(time_ns, ptp=True, utc_offset_seconds=37)[:4] == struct.pack("!I", 946_684_837)


@given(
    st.integers(ns(2020), ns(2100)), st.booleans(), st.integers(0, 40), st.integers(-(10**9), 10**9)
)
def test_a_time_survives_also_beyond_2036(time_ns: int, ptp: bool, offset: int, away: int) -> None:
    stamp = encode_ns(time_ns, ptp=ptp, utc_offset_seconds=offset)
    near = time_ns + away * 1_000_000_000
    assert decode_ns(stamp, PTP if ptp else NTP, near, utc_offset_seconds=offset) == time_ns


@given(st.floats(1e-9, 10.0), st.booleans(), st.booleans())
def test_an_error_estimate_never_promises_too_much(
    seconds: float, synchronised: bool, ptp: bool
) -> None:
    estimate = error_estimate(seconds, synchronised=synchronised, ptp=ptp)
    assert estimate & 0xFF  # RFC 4656: a multiplier of 0 is no estimate
    assert is_synchronised(estimate) is synchronised
    assert bool(estimate & 0x4000) is ptp
    assert seconds * 1e9 <= error_ns(estimate) <= seconds * 1e9 * 1.02 + 2


def outcomes(reflected: list[int | None]) -> list[Outcome]:
    """Return outcomes of probes in the order of sending: the reflector's number, or None for a lost one."""
    return [
        Outcome(number, number, lost=seen is None, reflector_sequence=seen or 0)
        for number, seen in enumerate(reflected)
    ]


@pytest.mark.parametrize(
    "reflected, forward, reverse",
    [
        ([0, 1, 2], 0, 0),
        ([0, None, None, 1], 2, 0),
        ([0, None, None, 3], 0, 2),
        ([0, None, None, 2], 1, 1),
        ([None, None, 0, 1], 0, 0),  # before the first answer nobody knows
        ([0, None], 0, 0),
        ([9, None, 0, 1], 0, 0),  # the reflector has started anew
        ([2**32 - 1, None, 0], 1, 0),  # its numbers wrap
    ],
)
def test_loss_by_direction(reflected: list[int | None], forward: int, reverse: int) -> None:
    loss = OneWayLoss()
    loss.take(outcomes(reflected))
    assert (loss.forward, loss.reverse) == (forward, reverse)


@given(st.lists(st.sampled_from(["there", "back", "none"]), max_size=40), st.randoms())
def test_loss_by_direction_in_any_order_of_answers(fates: list[str], random: object) -> None:
    seen = 0
    reflected: list[int | None] = []
    for fate in ["none", *fates, "none"]:
        reflected.append(seen if fate == "none" else None)
        seen += fate != "there"
    shuffled = outcomes(reflected)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    loss = OneWayLoss()
    for outcome in shuffled:
        loss.take([outcome])
    assert (loss.forward, loss.reverse) == (fates.count("there"), fates.count("back"))
