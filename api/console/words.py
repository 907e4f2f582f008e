"""How the console says things: labels, tones, and numbers with units that people read."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from trimtab.domain.action import ActionState
from trimtab.domain.alarm import AlarmState, PerceivedSeverity
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.decision import DecisionOutcome
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.domain.verification import Verdict

ABSENT = "no data"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_MEASURED = re.compile(rf"({_NUMBER}) (seconds|ratio)\b(?:(, bound )({_NUMBER})(?: \2\b)?)?")
_STATUSES = {"NOT_FULFILLED": "not fulfilled", "FULFILLED": "fulfilled", "INDETERMINATE": "unknown"}
NARROW_SPACE = "\u202f"  # between thousands, unbreakable


@dataclass(frozen=True, slots=True)
class Label:
    """A word, and its tone: good, bad, warn, unknown, info or quiet (each has a colour and an icon)."""

    text: str
    tone: str


STATUS = {
    FulfilmentStatus.FULFILLED: Label("Fulfilled", "good"),
    FulfilmentStatus.NOT_FULFILLED: Label("Not fulfilled", "bad"),
    FulfilmentStatus.INDETERMINATE: Label("Unknown", "unknown"),
}
OUTCOME = {
    DecisionOutcome.ACT: Label("Acts", "info"),
    DecisionOutcome.RECOMMEND: Label("Recommends", "warn"),
    DecisionOutcome.OBSERVE: Label("Would act", "quiet"),
    DecisionOutcome.AWAIT_APPROVAL: Label("Awaits approval", "warn"),
    DecisionOutcome.REFUSED: Label("Held back", "warn"),
    DecisionOutcome.FROZEN: Label("Frozen", "unknown"),
    DecisionOutcome.HAND_OVER: Label("Handed to people", "bad"),
}
ACTION_STATE = {
    ActionState.PROPOSED: Label("Proposed", "warn"),
    ActionState.INTENDED: Label("Intended", "info"),
    ActionState.SENDING: Label("Sending", "info"),
    ActionState.DEFERRED: Label("Deferred by the target", "warn"),
    ActionState.ACCEPTED: Label("Running", "info"),
    ActionState.SUCCEEDED: Label("Done", "good"),
    ActionState.FAILED: Label("Failed", "bad"),
    ActionState.UNKNOWN: Label("Outcome unknown", "unknown"),
    ActionState.CANCELLED: Label("Cancelled", "quiet"),
}
ACTION_KIND = {
    ActionKind.HEAL: "Heal",
    ActionKind.SCALE_OUT: "Scale out",
    ActionKind.SCALE_IN: "Scale in",
    ActionKind.MIGRATE: "Migrate",
    ActionKind.NOTIFY: "Notify",
    ActionKind.HAND_OVER: "Hand over",
}
VERDICT = {
    Verdict.EFFECTIVE: Label("Effective", "good"),
    Verdict.INEFFECTIVE: Label("Ineffective", "bad"),
    Verdict.INCONCLUSIVE: Label("Inconclusive", "unknown"),
}
VERIFYING = Label("Being verified", "info")
SEVERITY = {
    PerceivedSeverity.CRITICAL: Label("Critical", "bad"),
    PerceivedSeverity.MAJOR: Label("Major", "bad"),
    PerceivedSeverity.MINOR: Label("Minor", "warn"),
    PerceivedSeverity.WARNING: Label("Warning", "warn"),
    PerceivedSeverity.INDETERMINATE: Label("Indeterminate", "unknown"),
    PerceivedSeverity.CLEARED: Label("Cleared", "good"),
}
ALARM_STATE = {
    AlarmState.UNACKNOWLEDGED: "not acknowledged",
    AlarmState.ACKNOWLEDGED: "acknowledged",
    AlarmState.CLEARED: "cleared",
}


def short(object_id: str) -> str:
    """Return an object's own name, without tenant and kind."""
    return object_id.rpartition("/")[2]


def spaced(name: str) -> str:
    """Return a name with spaces for underscores and hyphens: `frame_loss` is read as `frame loss`."""
    return name.replace("_", " ").replace("-", " ")


def clock(at_ns: int) -> str:
    """Return the time of day in UTC."""
    return f"{datetime.fromtimestamp(at_ns // NS_PER_SECOND, tz=UTC):%H:%M:%S}"


def day(at_ns: int) -> str:
    """Return the date in UTC."""
    return f"{datetime.fromtimestamp(at_ns // NS_PER_SECOND, tz=UTC):%Y-%m-%d}"


def amount(value: float | None, unit: str) -> str:
    """Return a value with its unit: seconds as s, ms or µs, ratios in percent, absent as such."""
    if value is None:
        return ABSENT
    if unit == "seconds":
        return _seconds(value)
    if unit == "ratio":
        return _percent(value * 100)
    return f"{_number(value)} {spaced(unit).replace(' per second', '/s')}".strip()


def share(ratio: float) -> str:
    """Return a ratio as a percentage in three digits or so."""
    return f"{_number(ratio * 100)} %"


def plainly(text: str) -> str:
    """Return a machine's sentence with times of day, and with values as `amount` writes them."""

    def written(found: re.Match[str]) -> str:
        value, unit, between, bound = found.groups()
        said = amount(float(value), unit)
        return f"{said}{between}{amount(float(bound), unit)}" if between else said

    text = _MEASURED.sub(written, _INSTANT.sub(r"\1", text))
    return re.sub("|".join(_STATUSES), lambda found: _STATUSES[found[0]], text)


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= 1 or value == 0:
        return f"{_number(value)} s"
    return f"{_number(value * 1e3)} ms" if size >= 1e-3 else f"{_number(value * 1e6)} µs"


def _percent(value: float) -> str:
    """Return a percentage; just below 100 the nines are what matters."""
    if 99 < value < 100:
        return f"{min(value, 99.9999):.4f}".rstrip("0").rstrip(".") + " %"
    return f"{_number(value)} %"


def _number(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 or value == round(value) else 1 if size >= 10 else 2
    return f"{value:,.{digits}f}".replace(",", NARROW_SPACE)


def span(duration_ns: int) -> str:
    """Return a duration in its two largest units."""
    seconds = max(0, duration_ns // NS_PER_SECOND)
    for name, size, next_name, next_size in (
        ("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1),
    ):  # fmt: skip
        if seconds >= size:
            rest = seconds % size // next_size
            return (
                f"{seconds // size} {name} {rest} {next_name}"
                if rest
                else f"{seconds // size} {name}"
            )
    return f"{seconds} s"


FILTERS = {
    "short": short,
    "spaced": spaced,
    "clock": clock,
    "day": day,
    "span": span,
    "plainly": plainly,
    "rfc3339": rfc3339,
}
