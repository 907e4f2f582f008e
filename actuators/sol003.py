"""ETSI NFV SOL003 v2 (vnflcm 2.3.0): heal, scale out and scale in through a VNF manager.

SOL003 has no idempotency key: the instance is read first, the task is posted once, and what became of it is asked
of the VNFM's operation occurrences. Tolerant towards OpenStack Tacker (SOL002's `vnfcInstanceId` in a heal request,
links for tasks that are not possible).
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urljoin, urlsplit

from pydantic import Field, field_validator

from actuators.exchange import Exchange, HttpConfig, NotSent, OutcomeUnknown, Reply
from actuators.sol003_match import ACTION_ID, Wanted, match_occurrence, started_ns
from trimtab.domain.action import Action, Operation
from trimtab.domain.managed_object import ObjectKind, parse_object_id
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import ns_from_seconds
from trimtab.errors import ActuatorError
from trimtab.ports import Clock, Found, Submission, SubmissionOutcome

PAGES_MAX = 50
OCCURRENCES_READ_MAX = 50
UNLOCKING_MAX = 1000  # occurrences in FAILED_TEMP whose tasks we remember having asked for
POLLS_AFTER_UNLOCK = 3
OVER = {"COMPLETED": True, "FAILED": False, "ROLLED_BACK": False}
UNDER_WAY = frozenset({"STARTING", "PROCESSING", "ROLLING_BACK"})
AGAIN_LATER = frozenset({409, 413, 429, 503})
SCALES = {ActionKind.SCALE_OUT: "SCALE_OUT", ActionKind.SCALE_IN: "SCALE_IN"}


class Sol003:
    """A VNF manager. Needs the target's alias `vnfm` (vnfInstanceId), and for a VNFC `vnfm.vnfc` (vnfcInstanceId)."""

    kind: ClassVar[str] = "sol003"

    class Config(HttpConfig):
        """How to reach the VNFM, and what to do about an occurrence that stays in FAILED_TEMP.

        While an occurrence is in FAILED_TEMP its VNF is locked (every other task answers 409). `rollback` asks for
        that, and for `fail` where it is refused or ends in FAILED_TEMP again; `fail` asks for that at once; `leave`
        leaves it to people. `clock_skew_seconds` bounds how far the VNFM's clock may be behind ours.
        """

        api_root: str
        version: str = Field(default="2.3.0", pattern=r"^\d+\.\d+\.\d+$")
        on_failed_temp: Literal["rollback", "fail", "leave"] = "rollback"
        aspect_id: str = ""  # of a scale that names none; empty: the VNF's only one
        clock_skew_seconds: float = Field(default=5.0, ge=0, le=600, allow_inf_nan=False)
        vnf_source: str = "vnfm"
        vnfc_source: str = "vnfm.vnfc"

        @field_validator("api_root")
        @classmethod
        def _http(cls, text: str) -> str:
            parts = urlsplit(text)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
                raise ValueError("write the VNFM's apiRoot as http(s)://host[:port][/prefix]")
            return text.rstrip("/")

    def __init__(self, name: str, config: Config, clock: Clock) -> None:
        self.name = name
        self._config = config
        self._exchange = Exchange(config, clock)
        self._root = f"{config.api_root}/vnflcm/v2"
        self._unlocking: dict[str, _Unlocking] = {}

    async def submit(self, action: Action) -> Submission:
        """Read the instance, then post the task, once."""
        try:
            vnfc_id = self._vnfc_id(action)
            vnf_id = await self._vnf_id(action)
            instance = await self._get_object(self._instance_url(vnf_id))
            task, body = self._task(action, vnfc_id, instance)
        except _Never as error:
            return Submission(SubmissionOutcome.FAILED, str(error))
        except ActuatorError as error:  # whatever it was: the task was not posted yet
            after = error.retry_after_seconds if isinstance(error, OutcomeUnknown) else None
            return Submission(
                SubmissionOutcome.REFUSED, f"before the task: {error}", retry_after_seconds=after
            )
        try:
            reply = await self._send("POST", f"{self._instance_url(vnf_id)}/{task}", body)
        except NotSent as error:
            return Submission(SubmissionOutcome.REFUSED, str(error))
        except OutcomeUnknown as error:
            return Submission(SubmissionOutcome.UNKNOWN, str(error))
        return self._submission(reply)

    def _submission(self, reply: Reply) -> Submission:
        location = reply.headers.get("location", "")
        if reply.status == 202 and location:
            operation = Operation(self.name, self._reference(location), "STARTING", False, False)
            return Submission(SubmissionOutcome.ACCEPTED, "202 Accepted", operation)
        if reply.status in AGAIN_LATER:
            after = reply.retry_after_seconds(self._exchange.clock.now_ns())
            return Submission(SubmissionOutcome.REFUSED, reply.problem(), retry_after_seconds=after)
        if reply.certainly_not:
            return Submission(SubmissionOutcome.FAILED, reply.problem())
        return Submission(SubmissionOutcome.UNKNOWN, f"no 202 with Location, but {reply.problem()}")

    def _task(
        self, action: Action, vnfc_id: str | None, instance: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Return the task's name and its body. Raises _Never when the VNF can't do that."""
        if action.kind is ActionKind.HEAL:
            task, body = "heal", _heal_body(action, vnfc_id)
        else:
            task, body = "scale", self._scale_body(action, instance)
        links = instance.get("_links")
        if isinstance(links, dict) and task not in links:
            raise _Never(f"the VNF offers no {task} now ({instance.get('instantiationState')})")
        return task, body

    def _scale_body(self, action: Action, instance: dict[str, Any]) -> dict[str, Any]:
        direction = SCALES.get(action.kind)
        if direction is None:
            raise _Never(f"SOL003 has no {action.kind}")
        info = instance.get("instantiatedVnfInfo")
        info = info if isinstance(info, dict) else {}
        levels = _levels(info.get("scaleStatus"))
        maxima = _levels(info.get("maxScaleLevels"))
        aspect = action.parameter("aspect", self._config.aspect_id)
        if not aspect:
            if len(levels) != 1:
                raise _Never(f"say which aspect to scale: the VNF has {sorted(levels)}")
            aspect = next(iter(levels))
        steps = _steps(action)
        room = levels.get(aspect)
        if action.kind is ActionKind.SCALE_OUT:
            most = maxima.get(aspect)
            room = None if room is None or most is None else most - room
        if room is not None and room <= 0:
            raise _Never(f"aspect {aspect} is at level {levels.get(aspect)} already, its limit")
        return {
            "type": direction,
            "aspectId": aspect,
            "numberOfSteps": steps if room is None else min(steps, room),
            "additionalParams": {ACTION_ID: action.id},
        }

    async def poll(self, action: Action, operation: Operation) -> Operation:
        """Return the occurrence as it stands; in FAILED_TEMP, ask for what the configuration says."""
        occurrence = await self._get_object(operation.reference)
        state = str(occurrence.get("operationState", ""))
        if state == "FAILED_TEMP":
            return await self._unlock(operation.reference, occurrence)
        if state not in OVER and state not in UNDER_WAY:
            raise ActuatorError(f"{operation.reference} is in no state of SOL003: {state[:80]!r}")
        return self._operation(operation.reference, occurrence)

    async def _unlock(self, reference: str, occurrence: dict[str, Any]) -> Operation:
        """Ask for the next task that ends FAILED_TEMP; done, and not succeeded, when none is left to ask for."""
        wanted = {"rollback": ("rollback", "fail"), "fail": ("fail",), "leave": ()}
        unlocking = self._unlocking.setdefault(reference, _Unlocking())
        while len(self._unlocking) > UNLOCKING_MAX:
            del self._unlocking[next(iter(self._unlocking))]
        if unlocking.patience > 0:  # a task that was taken needs a moment to show in the state
            unlocking.patience -= 1
            return self._operation(reference, occurrence)
        links = occurrence.get("_links")
        for task in wanted[self._config.on_failed_temp]:
            if task in unlocking.tasks or (isinstance(links, dict) and task not in links):
                continue
            unlocking.tasks[task] = "unanswered"
            unlocking.patience = POLLS_AFTER_UNLOCK
            reply = await self._send("POST", f"{reference}/{task}", None)
            if reply.status in (200, 202, 204):
                unlocking.tasks[task] = "taken"
                return self._operation(reference, occurrence)
            unlocking.tasks[task] = reply.problem()
        unlocking.patience = 0
        operation = self._operation(reference, occurrence)
        locked = f"{operation.detail}; the VNF stays locked until people end it".lstrip("; ")
        return replace(operation, done=True, succeeded=False, detail=locked)

    def _operation(self, reference: str, occurrence: dict[str, Any]) -> Operation:
        state = str(occurrence.get("operationState", ""))
        notes = []
        error = occurrence.get("error")
        if isinstance(error, dict):
            notes.append(str(error.get("detail", error))[:300])
        if reference in self._unlocking and self._unlocking[reference].tasks:
            tasks = self._unlocking[reference].tasks.items()
            notes.append("after FAILED_TEMP: " + ", ".join(f"{k} {v}" for k, v in tasks))
        return Operation(
            self.name,
            reference,
            state,
            done=state in OVER,
            succeeded=OVER.get(state, False),
            detail="; ".join(notes),
        )

    async def find(self, action: Action, since_ns: int) -> Found:
        """Look through the VNF's occurrences of every state, by our id where echoed, else by parameters."""
        operation = "HEAL" if action.kind is ActionKind.HEAL else "SCALE"
        try:
            vnfc_id = self._vnfc_id(action)
            listed = await self._list(self._occurrences_url(action, vnfc_id, operation))
            earliest = since_ns - ns_from_seconds(self._config.clock_skew_seconds)
            recent = [item for item in listed if started_ns(item) >= earliest]
            recent.sort(key=started_ns)
            whole = [await self._whole(item) for item in recent[:OCCURRENCES_READ_MAX]]
        except ActuatorError as error:
            return Found(asked=False, detail=str(error))
        wanted = Wanted(
            action_id=action.id,
            operation=operation,
            vnf_id=action.native_id(self._config.vnf_source),
            direction=SCALES.get(action.kind, ""),
            aspect=action.parameter("aspect", self._config.aspect_id),
            steps=_steps(action),
            vnfc_id=vnfc_id,
        )
        found, detail = match_occurrence(whole, wanted)
        if found is None:
            return Found(asked=True, detail=detail)
        reference = f"{self._root}/vnf_lcm_op_occs/{quote(str(found.get('id')), safe='')}"
        return Found(True, self._operation(reference, found), detail)

    def _occurrences_url(self, action: Action, vnfc_id: str | None, operation: str) -> str:
        """Return where to look: at the VNF's occurrences, or at all of the kind where only its VNFC is known.

        The VNF is not looked up by its VNFC here: a heal that worked may have given that another id.
        """
        vnf_id = action.native_id(self._config.vnf_source)
        if vnf_id is None and vnfc_id is None:
            raise _Never(f"{action.target_id} has no alias {self._config.vnf_source}")
        wanted = f"(eq,operation,{operation})" if vnf_id is None else f"(eq,vnfInstanceId,{vnf_id})"
        return f"{self._root}/vnf_lcm_op_occs?filter={quote(wanted, safe='(),')}&all_fields"

    async def _whole(self, occurrence: dict[str, Any]) -> dict[str, Any]:
        """Read an occurrence by itself when the list left its parameters out, as SOL003 lets it."""
        if "operationParams" in occurrence:
            return occurrence
        identifier = quote(str(occurrence.get("id")), safe="")
        return await self._get_object(f"{self._root}/vnf_lcm_op_occs/{identifier}")

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()

    def _vnfc_id(self, action: Action) -> str | None:
        """Return the VNFC to heal, None when the whole VNF is the target."""
        try:
            kind = parse_object_id(action.target_id)[1]
        except ValueError as error:
            raise _Never(str(error)) from error
        if kind is not ObjectKind.VNFC:
            return None
        vnfc_id = action.native_id(self._config.vnfc_source)
        if vnfc_id is None:
            raise _Never(f"{action.target_id} has no alias {self._config.vnfc_source}")
        return vnfc_id

    async def _vnf_id(self, action: Action) -> str:
        """Return the VNF's id: the target's own alias, else that of whoever has its VNFC."""
        vnf_id = action.native_id(self._config.vnf_source)
        if vnf_id is not None:
            return vnf_id
        vnfc_id = self._vnfc_id(action)
        if vnfc_id is None:
            raise _Never(f"{action.target_id} has no alias {self._config.vnf_source}")
        for instance in await self._list(f"{self._root}/vnf_instances?all_fields"):
            if vnfc_id in _vnfc_ids(instance):
                return str(instance.get("id"))
        raise _Never(f"no VNF at {self._config.api_root} has a VNFC {vnfc_id}")

    def _instance_url(self, vnf_id: str) -> str:
        return f"{self._root}/vnf_instances/{quote(vnf_id, safe='')}"

    async def _get_object(self, url: str) -> dict[str, Any]:
        reply = await self._send("GET", url, None)
        self._must_be_200(reply)
        parsed = reply.json()
        if not isinstance(parsed, dict):
            raise OutcomeUnknown(f"{url} answered no JSON object")
        return parsed

    async def _list(self, url: str) -> list[dict[str, Any]]:
        """Read every page of a list, following `Link: rel="next"` on the VNFM itself only."""
        found: list[dict[str, Any]] = []
        for _ in range(PAGES_MAX):
            reply = await self._send("GET", url, None)
            self._must_be_200(reply)
            parsed = reply.json()
            if not isinstance(parsed, list):
                raise OutcomeUnknown(f"{url} answered no JSON array")
            found += [item for item in parsed if isinstance(item, dict)]
            following = _next_link(reply)
            if not following:
                return found
            url = urljoin(url, following)
            if not self._ours(url):
                raise OutcomeUnknown(f"the next page is not on the VNFM: {url[:200]}")
        raise OutcomeUnknown(f"more than {PAGES_MAX} pages")

    def _must_be_200(self, reply: Reply) -> None:
        if reply.status in (400, 401, 403, 404, 405, 406):
            raise _Never(f"GET {reply.url}: {reply.problem()}")
        if reply.status != 200:
            after = reply.retry_after_seconds(self._exchange.clock.now_ns())
            raise OutcomeUnknown(f"GET {reply.url}: {reply.problem()}", after)

    async def _send(self, method: str, url: str, body: dict[str, Any] | None) -> Reply:
        headers = {"Version": self._config.version}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        return await self._exchange.request(method, url, headers=headers, content=content)

    def _reference(self, location: str) -> str:
        """Return the occurrence's URL, on the VNFM that we were told to talk to whatever Location says."""
        url = urljoin(f"{self._root}/", location)
        if self._ours(url):
            return url
        return f"{self._root}/vnf_lcm_op_occs/{urlsplit(url).path.rstrip('/').rpartition('/')[2]}"

    def _ours(self, url: str) -> bool:
        theirs, ours = urlsplit(url), urlsplit(self._root)
        return (theirs.scheme, theirs.netloc) == (ours.scheme, ours.netloc)


@dataclass(slots=True)
class _Unlocking:
    """What was asked for to end an occurrence's FAILED_TEMP, and how many polls to wait before asking more."""

    tasks: dict[str, str] = field(default_factory=dict)
    patience: int = 0


class _Never(ActuatorError):
    """Report that the target is sure not to do this, nor to have done it."""


def _heal_body(action: Action, vnfc_id: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "cause": action.parameter("cause", action.incident_id),
        "additionalParams": {ACTION_ID: action.id},
    }
    if vnfc_id is not None:
        body["vnfcInstanceId"] = [vnfc_id]
    return body


def _steps(action: Action) -> int:
    text = action.parameter("steps", "1")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 5 else 1


def _levels(infos: Any) -> dict[str, int]:
    """Read ScaleInfo[]; tolerates the published file's own defect, `scaleToLevel` with a text."""
    found = {}
    for info in infos if isinstance(infos, list) else []:
        level = info.get("scaleLevel", info.get("scaleToLevel")) if isinstance(info, dict) else None
        if isinstance(level, (int, str)) and str(level).isdigit():
            found[str(info.get("aspectId"))] = int(level)
    return found


def _vnfc_ids(instance: dict[str, Any]) -> set[str]:
    info = instance.get("instantiatedVnfInfo")
    if not isinstance(info, dict):
        return set()
    return {
        str(item.get("id"))
        for name in ("vnfcInfo", "vnfcResourceInfo")
        for item in info.get(name) or ()
        if isinstance(item, dict)
    }


def _next_link(reply: Reply) -> str:
    for part in reply.headers.get("link", "").split(","):
        address, _, attributes = part.partition(";")
        if 'rel="next"' in attributes.replace("'", '"') or "rel=next" in attributes:
            return address.strip().strip("<>")
    return ""
