"""A small world for the Decider: two services over two VNFs on two hosts, told to it as the machines would."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from policies.decider import Decider
from policies.load import load_policies
from trimtab.domain.action import Action, ActionResult, ActionState, Operation
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.command import Command, CommandKind, CommandResult
from trimtab.domain.configuration import ActuatorBinding, Configuration
from trimtab.domain.context import Context
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Cause, Incident, IncidentState
from trimtab.domain.input import Numbered, Tick
from trimtab.domain.kpi import Kpi
from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.policy import ActionKind, Policy, PolicySet
from trimtab.domain.verification import Verification

SECOND = 1_000_000_000
OK, BAD, SILENT = (
    FulfilmentStatus.FULFILLED,
    FulfilmentStatus.NOT_FULFILLED,
    FulfilmentStatus.INDETERMINATE,
)
VPN, NET = "acme/service/vpn", "globex/service/net"
FW, RTR = "provider/vnf/fw", "provider/vnf/rtr"
FW0, FW1, RTR0 = "provider/vnfc/fw-0", "provider/vnfc/fw-1", "provider/vnfc/rtr-0"
HOST1, HOST2 = "provider/host/host-1", "provider/host/host-2"
OBJECTS = (VPN, NET, FW, RTR, FW0, FW1, RTR0, HOST1, HOST2)


def inventory() -> InventoryChange:
    """Return fw-0 and rtr-0 on host-1, fw-1 on host-2."""
    placed = ((FW0, FW, HOST1), (FW1, FW, HOST2), (RTR0, RTR, HOST1))
    relations = [
        Relation(service, RelationKind.USES, vnf) for service in (VPN, NET) for vnf in (FW, RTR)
    ]
    for vnfc, vnf, host in placed:
        relations.append(Relation(vnfc, RelationKind.PART_OF, vnf))
        relations.append(Relation(vnfc, RelationKind.RUNS_ON, host))
    aliases = [Alias(FW, "vnfm", "vnf-1", 0), Alias(RTR, "vnfm", "vnf-2", 0)]
    for index, (vnfc, _, _) in enumerate(placed):
        aliases.append(Alias(vnfc, "vnfm.vnfc", f"vnfc-{index}", 0))
        aliases.append(Alias(vnfc, "vim", f"server-{index}", 0))
    return InventoryChange(
        "test",
        0,
        objects=tuple(managed_object(item) for item in OBJECTS),
        aliases=tuple(aliases),
        relations=tuple(relations),
    )


def configuration(kinds: tuple[ActionKind, ...] = tuple(ActionKind)) -> Configuration:
    """Return a configuration with one actuator for every kind."""
    bindings = tuple(ActuatorBinding(kind, "mano") for kind in kinds)
    return Configuration("c", (), (), (), (), inventory(), bindings)


class World:
    """Drives one Decider; keeps what it said. Every input gets its number; time moves by `tick`."""

    OK, BAD, SILENT = OK, BAD, SILENT
    VPN, NET, FW, RTR, FW0, FW1, RTR0, HOST1, HOST2 = (
        VPN, NET, FW, RTR, FW0, FW1, RTR0, HOST1, HOST2,
    )  # fmt: skip
    SECOND = SECOND

    def __init__(self, policies: PolicySet, config: Configuration | None = None) -> None:
        self.decider = Decider()
        self.now = 0
        self.seq = 0
        self.inputs: list[tuple[Any, int]] = []
        self.out: list[Any] = []
        self.actions: dict[str, Action] = {}
        self.give(config or configuration(), policies)

    def give(self, *values: Any) -> list[Any]:
        """Step values in, one batch; return and keep what follows."""
        numbered = []
        for value in values:
            numbered.append(Numbered(self.seq, value))
            self.inputs.append((value, self.now))
            self.seq += 1
        said = self.decider.step(numbered, self.now)
        self.out += said
        for item in said:
            if isinstance(item, Action):
                self.actions[item.id] = item
        return said

    def tick(self, seconds: float = 1.0, times: int = 1) -> list[Any]:
        """Let time pass in steps."""
        said = []
        for _ in range(times):
            self.now += round(seconds * SECOND)
            said += self.give(Tick(self.now))
        return said

    def trouble(
        self, object_id: str, symptom: str, status: FulfilmentStatus = BAD, value: float = 0.0
    ) -> list[Any]:
        context = Context(f"trouble-{object_id}-{symptom}")
        return self.give(
            Trouble(context, object_id, symptom, status, self.now, self.now, 1.0, value, 1.0)
        )

    def service(self, status: FulfilmentStatus, *names: str, objective: str = "loss") -> list[Any]:
        said = []
        for name in names or (VPN,):
            said += self.give(
                Assessment(
                    Context("assessment"), name, objective, "frame_loss_ratio", self.now, status,
                    self.now, None if status is SILENT else 0.2, 0.05, "ratio",
                )
            )  # fmt: skip
        return said

    def kpi(self, object_id: str, name: str, value: float | None) -> list[Any]:
        return self.give(
            Kpi(Context("kpi"), object_id, name, self.now, 5 * SECOND, value, 1, "ratio")
        )

    def incident(
        self,
        cause: str | None = FW0,
        symptom: str = "process-gone",
        services: tuple[str, ...] = (VPN,),
        name: str = "incident-1",
        **more: Any,
    ) -> list[Any]:
        """Tell an open incident with one cause."""
        confidence = more.pop("confidence", 0.9)
        causes = ()
        if cause is not None:
            causes = (
                Cause(cause, symptom, 1.0, confidence, self.now, services, (f"{cause} is bad",)),
            )
        state = more.pop("state", IncidentState.OPEN)
        troubled = tuple(sorted({*services, *([cause] if cause else [])}))
        incident = Incident(Context(name), name, state, 0, self.now, services, (), troubled, causes)
        return self.give(replace(incident, **more))

    def crash(self, vnfc: str = FW0) -> None:
        """Let a VNFC's process die and a service suffer for it."""
        self.trouble(vnfc, "process-gone")
        self.service(BAD)
        self.incident(vnfc)

    def recover(self, vnfc: str = FW0, symptom: str = "process-gone") -> None:
        """Let all be well again."""
        self.trouble(vnfc, symptom, OK)
        self.service(OK)

    def resolve(self, name: str = "incident-1") -> list[Any]:
        return self.incident(None, services=(), name=name, state=IncidentState.RESOLVED)

    def result(
        self, action: Action, state: str, detail: str = "", wait: float | None = None
    ) -> list[Any]:
        retry = None if wait is None else round(wait * SECOND)
        done = state in ("succeeded", "failed")
        operation = None
        if state in ("accepted", "succeeded"):
            operation = Operation("mano", "op-1", state, done, state == "succeeded")
        result = ActionResult(action.id, ActionState(state), self.now, detail, operation, retry)
        return self.give(result)

    def carry_out(self, action: Action, ending: str = "succeeded") -> list[Any]:
        """Let the target accept an action and end it."""
        said = self.result(action, "sending")
        said += self.result(action, "accepted")
        return said + self.result(action, ending, "as told")

    def command(self, kind: str, subject: str = "", name: str = "", actor: str = "ann") -> Any:
        given = name or f"command-{self.seq}"
        order = Command(given, CommandKind(kind), actor, self.now, subject, "because")
        answers = [item for item in self.give(order) if isinstance(item, CommandResult)]
        return answers[0] if answers else None

    def decisions(self, policy: str | None = None) -> list[Decision]:
        return [
            item
            for item in self.out
            if isinstance(item, Decision) and policy in (None, item.policy)
        ]

    def outcomes(self, policy: str | None = None) -> list[str]:
        return [item.outcome.value for item in self.decisions(policy)]

    def verifications(self) -> list[Verification]:
        return [item for item in self.out if isinstance(item, Verification)]

    def verdicts(self) -> list[str]:
        return [item.verdict.value for item in self.verifications() if item.verdict is not None]

    def intended(self) -> list[Action]:
        """Return, as last told, the actions that are to be sent."""
        return [item for item in self.actions.values() if item.state is ActionState.INTENDED]

    def sent(self) -> list[Action]:
        """Return every time an action was to be sent, in order."""
        return [
            item
            for item in self.out
            if isinstance(item, Action) and item.state is ActionState.INTENDED
        ]

    def guard(self, name: str) -> tuple[bool, str]:
        """Return what a guard said in the last decision that asked it."""
        for decision in reversed(self.decisions()):
            for item in decision.guards:
                if item.guard == name:
                    return item.passed, item.detail
        raise AssertionError(f"no decision asked {name}")


@pytest.fixture(scope="session")
def shipped() -> PolicySet:
    """Return the shipped rules by the lab's timings."""
    return load_policies(["shipped"], "lab")


@pytest.fixture(scope="session")
def world_of() -> Callable[..., World]:
    """Return the maker of worlds."""
    return World


@pytest.fixture(scope="session")
def configured() -> Callable[..., Configuration]:
    """Return the maker of configurations."""
    return configuration


@pytest.fixture
def world(shipped: PolicySet) -> World:
    """Return a world under the shipped rules."""
    return World(shipped)


@pytest.fixture(scope="session")
def only(shipped: PolicySet) -> Callable[..., PolicySet]:
    """Return a maker of policy sets: one shipped policy, changed; guard's and verify's fields by prefix."""

    def make(*names: str, **changes: Any) -> PolicySet:
        chosen: list[Policy] = []
        for policy in shipped.policies:
            if policy.name not in names:
                continue
            parts: dict[str, dict[str, Any]] = {"guard": {}, "verify": {}, "": {}}
            for key, value in changes.items():
                where, _, field = key.partition("__")
                if field:
                    parts[where][field] = value
                else:
                    parts[""][key] = value
            chosen.append(
                replace(
                    policy,
                    guard=replace(policy.guard, **parts["guard"]),
                    verify=replace(policy.verify, **parts["verify"]),
                    **parts[""],
                )
            )
        return PolicySet("only", "lab", tuple(chosen))

    return make
