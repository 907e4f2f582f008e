"""Between the Decider and the actuators: send each intent once, follow it to its end, adopt it after a crash.

An action is accepted by its target at most once (DESIGN section 6.1). SENDING is durable before the first byte leaves.
Where the answer is in doubt, live or after a crash, the target is asked with `find`; no match, or a target that can't
be asked, ends UNKNOWN: people take it over, and nothing is sent again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from trimtab.domain.action import Action, ActionResult, ActionState, Operation
from trimtab.domain.time import ns_from_seconds, seconds_from_ns
from trimtab.drivers import crashpoint
from trimtab.drivers.crashpoint import CrashPoint
from trimtab.drivers.flight import Flight
from trimtab.drivers.ledger import ActionLedger, Claims, LedgerEntry, Stage
from trimtab.errors import ActuatorError
from trimtab.ports import (
    ActionNews,
    Actuator,
    Clock,
    Found,
    Submission,
    SubmissionOutcome,
)

__all__ = ["ActionLedger", "Commit", "Executor", "LedgerEntry", "Stage"]

IN_FLIGHT_MAX = 10_000
ATTEMPTS_REMEMBERED_MAX = 100_000
SUBMITS_AT_ONCE_MAX = 4  # per actuator
POLLS_AT_ONCE_MAX = 8  # per actuator
CALL_SECONDS_MAX = 300.0  # above every actuator's own timeouts: a safety net, not a setting
POLL_SECONDS_FIRST = 0.25
POLL_SECONDS_MAX = 10.0
POLL_GROWTH = 1.5
FIND_TRIES = 5  # of a target that can't be asked
FIND_TRIES_ASKED = 3  # of one that can, and shows no match: it may show late
COMMIT_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 5.0
DETAIL_MAX = 1000

# Journal a result durably and queue it as an input; True only when it is durable.
Commit = Callable[[ActionResult], Awaitable[bool]]

_log = logging.getLogger(__name__)


class Executor:
    """Carry actions out, one task each, until they are over.

    `jitter` stretches a waiting time (1.0: none); hand a random one in where many loops poll one target.
    """

    def __init__(
        self,
        actuators: Mapping[str, Actuator],
        commit: Commit,
        clock: Clock,
        *,
        crash_point: CrashPoint = crashpoint.pass_by,
        jitter: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._actuators = actuators
        self._commit = commit
        self._clock = clock
        self._crash_point = crash_point
        self._jitter = jitter
        self._flights: dict[tuple[str, int], Flight] = {}
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._submits = {name: asyncio.Semaphore(SUBMITS_AT_ONCE_MAX) for name in actuators}
        self._polls = {name: asyncio.Semaphore(POLLS_AT_ONCE_MAX) for name in actuators}
        self._claims = Claims()
        self._closing = False
        self.turned_away = 0

    def __len__(self) -> int:
        """Return how many actions are under way here."""
        return len(self._flights)

    def dispatch(self, action: Action) -> bool:
        """Start an action in state INTENDED whose journal entry is durable; the second time, do nothing.

        False: no room, or closing. Nothing was sent; offer it again later.
        """
        if self._attempts.get(action.id, 0) >= action.attempt:
            return True
        return self._start(action, Stage.INTENDED, None, None)

    async def recover(self, ledger: ActionLedger) -> int:
        """Take up what a journal left under way; return how many could not be (no room: call again later)."""
        left = 0
        self._claims = Claims(ledger.claims.plain())
        for entry in ledger:
            action = entry.action
            if entry.stage is Stage.DEFERRED or self._attempts.get(action.id, 0) >= action.attempt:
                continue
            since_ns = action.changed_at_ns if entry.sent_at_ns is None else entry.sent_at_ns
            left += not self._start(action, entry.stage, since_ns, entry.operation)
        return left

    def cancel(self, action_id: str) -> bool:
        """Drop an action; True only when nothing of it can have left, nor will."""
        flights = [f for f in self._flights.values() if f.action.id == action_id]
        if not flights or any(f.leaving or f.stage is not Stage.INTENDED for f in flights):
            return False
        for flight in flights:
            if flight.task is not None:
                flight.task.cancel()
        return True

    def news(self, news: ActionNews) -> bool:
        """Poll the operation that a target reported on, now; False when it is none of ours."""
        name = _tail(news.reference)
        woken = False
        for flight in self._flights.values():
            if flight.operation is not None and _tail(flight.operation.reference) == name:
                flight.news.set()
                woken = True
        return woken

    async def close(self) -> None:
        """Let requests that are out be answered (a while), drop the rest, close the actuators.

        What is dropped is in the journal: the next start takes it up.
        """
        self._closing = True
        flights = list(self._flights.values())
        for flight in flights:
            if flight.submitted.is_set() and flight.task is not None:
                flight.task.cancel()
        out = [asyncio.create_task(f.submitted.wait()) for f in flights if not f.submitted.is_set()]
        if out:
            await asyncio.wait(out, timeout=CLOSE_SECONDS_MAX)
        # An answered one has handed its result to `commit` by now, without waiting for it to be durable.
        tasks = [*out, *(f.task for f in flights if f.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name, actuator in self._actuators.items():
            try:
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await actuator.close()
            except Exception:
                _log.exception("actuator %s did not close", name)

    def _start(
        self, action: Action, stage: Stage, since_ns: int | None, operation: Operation | None
    ) -> bool:
        if self._closing or len(self._flights) >= IN_FLIGHT_MAX:
            self.turned_away += 1
            return False
        self._attempts[action.id] = action.attempt
        while len(self._attempts) > ATTEMPTS_REMEMBERED_MAX:
            self._attempts.popitem(last=False)
        flight = Flight(action, stage, operation=operation)
        self._flights[flight.key] = flight
        flight.task = asyncio.create_task(self._run(flight, since_ns), name=f"action {action.id}")
        flight.task.add_done_callback(lambda task: self._ended(flight, task))
        return True

    def _ended(self, flight: Flight, task: asyncio.Task[None]) -> None:
        self._flights.pop(flight.key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("action %s lost its task", flight.action.id, exc_info=error)

    async def _run(self, flight: Flight, since_ns: int | None) -> None:
        action = flight.action
        actuator = self._actuators.get(action.actuator)
        if actuator is None:
            never = flight.stage is Stage.INTENDED
            state = ActionState.FAILED if never else ActionState.UNKNOWN
            detail = (
                f"no actuator {action.actuator!r} is configured, only {sorted(self._actuators)}"
            )
            await self._end(flight, state, detail)
            return
        if flight.stage is Stage.INTENDED:
            since_ns = await self._send(flight, actuator)
            if since_ns is None:
                return
        if flight.operation is None:
            await self._ask(flight, actuator, since_ns or action.created_at_ns)
        if flight.operation is not None:
            await self._follow(flight, actuator, flight.operation)

    async def _send(self, flight: Flight, actuator: Actuator) -> int | None:
        """Send once. Return the time of SENDING when there is something to follow or to ask, else None."""
        action = flight.action
        async with self._submits[action.actuator]:
            since_ns = await self._commit_sending(flight)
            if since_ns is None:
                return None
            flight.submitted.clear()
            try:
                submission = await self._submit(actuator, action)
            finally:
                flight.submitted.set()
            self._crash_point(crashpoint.AFTER_SUBMITTED)
        detail = submission.detail
        match submission.outcome:
            case SubmissionOutcome.ACCEPTED if submission.operation is not None:
                await self._accepted(flight, submission.operation, detail)
                return since_ns
            case SubmissionOutcome.DONE:
                await self._end(flight, ActionState.SUCCEEDED, detail, submission.operation)
            case SubmissionOutcome.REFUSED:
                seconds = submission.retry_after_seconds
                retry_ns = None if seconds is None else ns_from_seconds(seconds)
                await self._end(flight, ActionState.DEFERRED, detail, None, retry_ns)
            case SubmissionOutcome.FAILED:
                await self._end(flight, ActionState.FAILED, detail)
            case _:
                flight.doubt = detail
                return since_ns
        return None

    async def _commit_sending(self, flight: Flight) -> int | None:
        """Make SENDING durable; None when the deadline passed first: what was intended so long ago is not sent."""
        action = flight.action
        until = self._clock.monotonic_ns() + self._left_ns(action)
        wait = POLL_SECONDS_FIRST
        while self._clock.monotonic_ns() < until:
            self._crash_point(crashpoint.BEFORE_SENDING_JOURNALED)
            at_ns = self._clock.now_ns()
            flight.leaving = True
            flight.leaving = await self._committed(
                ActionResult(action.id, ActionState.SENDING, at_ns)
            )
            if flight.leaving:
                flight.stage = Stage.SENDING
                self._crash_point(crashpoint.AFTER_SENDING_JOURNALED)
                return at_ns
            await asyncio.sleep(wait)
            wait = min(wait * 2, COMMIT_SECONDS_MAX)
        await self._end(
            flight, ActionState.FAILED, "never sent: its deadline passed before it could be"
        )
        return None

    async def _submit(self, actuator: Actuator, action: Action) -> Submission:
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                return await actuator.submit(action)
        except TimeoutError:
            detail = f"no answer within {CALL_SECONDS_MAX} s"
        except Exception as error:  # an actuator's defect must not turn doubt into certainty
            _log.exception("actuator %s raised on submit", action.actuator)
            detail = f"{type(error).__name__}: {error}"
        return Submission(SubmissionOutcome.UNKNOWN, detail)

    async def _ask(self, flight: Flight, actuator: Actuator, since_ns: int) -> None:
        """Ask the target what became of a request, a few times. UNKNOWN ends it."""
        flight.doubt = flight.doubt or "the process ended before it knew the answer"
        found = Found(asked=False, detail="not asked")
        for attempt in range(FIND_TRIES):
            if attempt:
                await asyncio.sleep(POLL_SECONDS_FIRST * 2**attempt * self._jitter())
            found = self._unclaimed(flight, await self._find(actuator, flight.action, since_ns))
            if found.operation is not None:
                self._crash_point(crashpoint.AFTER_FOUND)
                await self._accepted(
                    flight, found.operation, f"{flight.doubt}; found: {found.detail}"
                )
                return
            if found.asked and attempt + 1 >= FIND_TRIES_ASKED:
                break
        asked = "asked since, it has no match" if found.asked else "it can't be asked"
        detail = f"{flight.doubt}; {flight.action.actuator}: {asked}: {found.detail}"
        await self._end(flight, ActionState.UNKNOWN, detail)

    def _unclaimed(self, flight: Flight, found: Found) -> Found:
        """Take no other action's operation for this one's: the skew of clocks lets an earlier one look like it."""
        owner = self._claims.owner(found.operation) if found.operation is not None else None
        if owner is None or owner == flight.action.id:
            return found
        return Found(asked=True, detail=f"the only match belongs to {owner}")

    async def _find(self, actuator: Actuator, action: Action, since_ns: int) -> Found:
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX), self._polls[action.actuator]:
                return await actuator.find(action, since_ns)
        except TimeoutError:
            return Found(asked=False, detail=f"no answer within {CALL_SECONDS_MAX} s")
        except Exception as error:
            _log.exception("actuator %s raised on find", action.actuator)
            return Found(asked=False, detail=f"{type(error).__name__}: {error}")

    async def _accepted(self, flight: Flight, operation: Operation, detail: str) -> None:
        at_ns = self._clock.now_ns()
        result = ActionResult(
            flight.action.id, ActionState.ACCEPTED, at_ns, detail[:DETAIL_MAX], operation
        )
        await self._commit_surely(result)
        flight.operation = operation
        flight.stage = Stage.ACCEPTED
        self._crash_point(crashpoint.AFTER_ACCEPTED_JOURNALED)

    async def _follow(self, flight: Flight, actuator: Actuator, operation: Operation) -> None:
        """Poll until the operation is over; at least once, even when the deadline passed while we were down."""
        until = self._clock.monotonic_ns() + self._left_ns(flight.action)
        wait = POLL_SECONDS_FIRST
        trouble = ""
        while not operation.done:
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX), self._polls[flight.action.actuator]:
                    operation = await actuator.poll(flight.action, operation)
                trouble = ""
            except (ActuatorError, TimeoutError) as error:
                trouble = f"; the last poll failed: {str(error) or type(error).__name__}"
            except Exception as error:
                _log.exception("actuator %s raised on poll", flight.action.actuator)
                trouble = f"; the last poll failed: {type(error).__name__}: {error}"
            self._crash_point(crashpoint.AFTER_POLLED)
            flight.operation = operation
            if operation.done:
                break
            left_ns = until - self._clock.monotonic_ns()
            if left_ns <= 0:
                detail = f"still {operation.state} at its deadline{trouble}"
                await self._end(flight, ActionState.UNKNOWN, detail, operation)
                return
            seconds = min(wait * self._jitter(), seconds_from_ns(left_ns))
            await flight.wait_for_news(seconds)
            wait = min(wait * POLL_GROWTH, POLL_SECONDS_MAX)
        state = ActionState.SUCCEEDED if operation.succeeded else ActionState.FAILED
        await self._end(flight, state, operation.detail or operation.state, operation)

    async def _end(
        self,
        flight: Flight,
        state: ActionState,
        detail: str,
        operation: Operation | None = None,
        retry_after_ns: int | None = None,
    ) -> None:
        self._crash_point(crashpoint.BEFORE_END_JOURNALED)
        at_ns = self._clock.now_ns()
        await self._commit_surely(
            ActionResult(
                flight.action.id, state, at_ns, detail[:DETAIL_MAX], operation, retry_after_ns
            )
        )
        self._crash_point(crashpoint.AFTER_END_JOURNALED)

    async def _commit_surely(self, result: ActionResult) -> None:
        """Journal what happened, however long the journal takes to come back: it must not be forgotten."""
        if result.operation is not None:
            self._claims.add(result.operation, result.action_id)
        wait = POLL_SECONDS_FIRST
        while not await self._committed(result):
            await asyncio.sleep(wait)
            wait = min(wait * 2, COMMIT_SECONDS_MAX)

    async def _committed(self, result: ActionResult) -> bool:
        try:
            return await self._commit(result)
        except Exception:
            _log.exception("the result of action %s could not be journaled", result.action_id)
            return False

    def _left_ns(self, action: Action) -> int:
        return action.deadline_ns - self._clock.now_ns()


def _tail(reference: str) -> str:
    return reference.rstrip("/").rpartition("/")[2]
