"""Durations as people write them: `250ms`, `30s`, `5m`, `1h30m`, `7d`."""

import re

from trimtab.domain.time import NS_PER_MILLISECOND, NS_PER_SECOND

DURATION_MAX_NS = 400 * 24 * 3_600 * NS_PER_SECOND
_UNITS = {
    "ms": NS_PER_MILLISECOND,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
    "d": 24 * 3_600 * NS_PER_SECOND,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


def parse_duration(text: str) -> int:
    """Return nanoseconds. Raises ValueError (`problem; mend`) when it is not a duration."""
    if text == "0":
        return 0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"`{text}` is not a duration; write e.g. 250ms, 30s, 5m or 1h30m")
    total = sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))
    if total > DURATION_MAX_NS:
        raise ValueError(f"`{text}` is over 400 days; write a shorter one")
    return total


def format_duration(duration_ns: int) -> str:
    """Return a duration in the largest units that spell it exactly; below a millisecond it is rounded.

    >>> format_duration(90_000_000_000)
    '1m30s'
    """
    rest = round(duration_ns / NS_PER_MILLISECOND) * NS_PER_MILLISECOND
    parts = []
    for unit, size in sorted(_UNITS.items(), key=lambda pair: -pair[1]):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
