"""A breach that is foreseen, as a resource of `/api/v1`."""

from api.view import Time, View
from trimtab.domain.assessment import Assessment
from trimtab.domain.time import ns_from_seconds, rfc3339


class BreachView(View):
    """When an objective will be missed if its KPI goes on as it does; `low` to `high` holds it four times in five."""

    at: Time
    low: Time
    high: Time
    model: str

    @classmethod
    def of(cls, item: Assessment) -> "BreachView | None":
        """Build from the domain's value; None when no breach is foreseen."""
        seen = item.foreseen
        if seen is None or None in (seen.in_seconds, seen.low_seconds, seen.high_seconds):
            return None
        at, low, high = (
            rfc3339(item.end_ns + ns_from_seconds(seconds or 0.0))
            for seconds in (seen.in_seconds, seen.low_seconds, seen.high_seconds)
        )
        return cls(at=at, low=low, high=high, model=seen.model)
