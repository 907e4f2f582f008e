"""Time as an integer of nanoseconds since the Unix epoch, UTC: the only form that crosses a stage."""

from datetime import UTC, datetime

NS_PER_SECOND = 1_000_000_000
NS_PER_MILLISECOND = 1_000_000


def ns_from_seconds(seconds: float) -> int:
    """Return whole nanoseconds for a duration or an epoch time in seconds."""
    return round(seconds * NS_PER_SECOND)


def seconds_from_ns(time_ns: int) -> float:
    """Return seconds as a float; loses precision below a microsecond for epoch times."""
    return time_ns / NS_PER_SECOND


def rfc3339(time_ns: int) -> str:
    """Format an epoch time as RFC 3339 in UTC with milliseconds, as every northbound API wants it."""
    moment = datetime.fromtimestamp(time_ns // NS_PER_SECOND, tz=UTC)
    milliseconds = time_ns % NS_PER_SECOND // NS_PER_MILLISECOND
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def ns_from_rfc3339(text: str) -> int:
    """Parse RFC 3339 with an offset. Raises ValueError when malformed or without an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write e.g. 2026-01-01T00:00:00Z")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * NS_PER_SECOND + moment.microsecond * 1_000
