"""What an exception out of openstacksdk says about whether Nova took the request."""

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.ports import SubmissionOutcome

DETAIL_MAX = 500
AGAIN_LATER = frozenset({409, 413, 429, 503})
CHAIN_MAX = 20
# Of urllib3 and requests, by name: these are raised before a byte of the request has left.
NOT_CONNECTED = frozenset({"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """REFUSED, FAILED or UNKNOWN, and why."""

    outcome: SubmissionOutcome
    detail: str
    retry_after_seconds: float | None = None


def judge(error: Exception) -> Judgement:
    """Judge an exception that came while one request was being sent."""
    detail = f"{type(error).__name__}: {error}"[:DETAIL_MAX]
    status = _status(error)
    if status is not None:
        if status in AGAIN_LATER:
            return Judgement(SubmissionOutcome.REFUSED, detail, _retry_after(error))
        if (300 <= status < 500 and status != 408) or status == 501:
            return Judgement(SubmissionOutcome.FAILED, detail)
        return Judgement(SubmissionOutcome.UNKNOWN, detail)
    if any(type(link).__name__ in NOT_CONNECTED for link in _chain(error)):
        return Judgement(SubmissionOutcome.REFUSED, detail)
    if type(error).__module__.startswith("openstack.config"):
        return Judgement(SubmissionOutcome.FAILED, detail)
    return Judgement(SubmissionOutcome.UNKNOWN, detail)


def _status(error: Exception) -> int | None:
    for name in ("status_code", "http_status"):
        status = getattr(error, name, None)
        if isinstance(status, int) and status >= 300:
            return status
    return None


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    text = str(headers.get("Retry-After", ""))
    return float(text[:6]) if text.isascii() and text.isdigit() else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go through causes, contexts, and what urllib3 and requests put into arguments and `reason`."""
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting and len(seen) < CHAIN_MAX:
        link = waiting.pop()
        if link is None or any(link is other for other in seen):
            continue
        seen.append(link)
        yield link
        inner = [*link.args, getattr(link, "reason", None), link.__cause__, link.__context__]
        waiting += [item for item in inner if isinstance(item, BaseException)]
