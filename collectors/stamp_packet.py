"""STAMP test packets, unauthenticated mode: RFC 8762 section 4.2.1 and 4.3.1, session identifier by RFC 8972.

A sender's packet is 44 bytes: sequence number, timestamp, error estimate, session identifier (SSID), zeros. The
answer is of the same length and holds, besides, when the reflector received it and what the sender had written.
"""

import math
import struct
from dataclasses import dataclass

from trimtab.domain.time import NS_PER_SECOND

PACKET_BYTES = 44
_SENDER = struct.Struct("!I8sHH28x")
_ANSWER = struct.Struct("!I8sHH8sI8sHxxB3x")
_HALVES = struct.Struct("!II")
_NTP_UNIX_SECONDS = 2_208_988_800  # 1900 to 1970
_WRAP_SECONDS = 1 << 32
_S_BIT, _Z_BIT = 0x8000, 0x4000
_SCALE_SHIFT, _SCALE_MASK, _MULTIPLIER_MASK = 8, 0x3F, 0xFF
_FRACTIONS = 1 << 32  # of a second


@dataclass(frozen=True, slots=True)
class Answer:
    """A reflected packet. Timestamps are the 8 bytes as they came; `decode_ns` makes times of them."""

    sequence: int
    sent: bytes
    error_estimate: int
    ssid: int
    received: bytes
    sender_sequence: int
    sender_timestamp: bytes


def encode_packet(sequence: int, timestamp: bytes, error_estimate: int, ssid: int) -> bytes:
    """Return a sender's packet."""
    return _SENDER.pack(sequence, timestamp, error_estimate, ssid)


def decode_answer(packet: bytes) -> Answer | None:
    """Return what a reflected packet says; None if it is too short to be one."""
    if len(packet) < PACKET_BYTES:
        return None
    fields = _ANSWER.unpack_from(packet)
    return Answer(*fields[:7])


def encode_ns(time_ns: int, *, ptp: bool, utc_offset_seconds: int = 0) -> bytes:
    """Return a time as 64 bits: NTP (seconds since 1900 and a binary fraction) or truncated PTPv2.

    PTPv2 counts TAI seconds since 1970 and nanoseconds; `utc_offset_seconds` is TAI less UTC.
    """
    seconds, rest = divmod(time_ns, NS_PER_SECOND)
    if ptp:
        return _HALVES.pack((seconds + utc_offset_seconds) % _WRAP_SECONDS, rest)
    fraction = rest * _FRACTIONS // NS_PER_SECOND
    return _HALVES.pack((seconds + _NTP_UNIX_SECONDS) % _WRAP_SECONDS, fraction)


def decode_ns(
    timestamp: bytes, error_estimate: int, near_ns: int, *, utc_offset_seconds: int = 0
) -> int:
    """Return the time nearest to `near_ns` that 8 bytes can mean; the Z bit tells NTP from PTPv2.

    Seconds have 32 bits and wrap (NTP's do in February 2036), hence the hint.
    """
    whole: int
    part: int
    whole, part = _HALVES.unpack(timestamp)
    if error_estimate & _Z_BIT:
        since_1970, rest = whole - utc_offset_seconds, min(part, NS_PER_SECOND - 1)
    else:
        since_1970 = whole - _NTP_UNIX_SECONDS
        rest = -(-part * NS_PER_SECOND // _FRACTIONS)
    near_seconds = near_ns // NS_PER_SECOND
    wraps = round((near_seconds - since_1970) / _WRAP_SECONDS)
    return (since_1970 + wraps * _WRAP_SECONDS) * NS_PER_SECOND + rest


def error_estimate(error_seconds: float, *, synchronised: bool, ptp: bool) -> int:
    """Return the 16 bits of an error estimate (RFC 4656 section 4.1.2): S, Z, scale, multiplier.

    The error is multiplier * 2^(scale - 32) seconds, rounded up; the multiplier is never 0.
    """
    units = max(1, math.ceil(error_seconds * _FRACTIONS))
    scale = max(0, units.bit_length() - 8)
    multiplier = -(-units // (1 << scale))
    if multiplier > _MULTIPLIER_MASK:
        scale, multiplier = scale + 1, -(-multiplier // 2)
    bits = min(scale, _SCALE_MASK) << _SCALE_SHIFT | multiplier
    return bits | (_S_BIT if synchronised else 0) | (_Z_BIT if ptp else 0)


def is_synchronised(estimate: int) -> bool:
    """Return the S bit: the clock follows UTC."""
    return bool(estimate & _S_BIT)


def error_ns(estimate: int) -> int:
    """Return the error that an estimate stands for, in ns, rounded up."""
    scale = estimate >> _SCALE_SHIFT & _SCALE_MASK
    return -(-(estimate & _MULTIPLIER_MASK) * (1 << scale) * NS_PER_SECOND // _FRACTIONS)
