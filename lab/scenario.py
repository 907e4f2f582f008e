"""Fault scripts: from a YAML file, or at random from a seed."""

import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
FORMAT = 1
FAULT_LIMIT = 100
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}

DEFAULT_TARGETS = {
    "crash": "fw-0",
    "hang": "rtr-0",
    "overload": "acme-vpn",
    "noisy_host": "host-2",
    "link_loss": "fw-rtr",
    "leak": "cpe-globex-0",
    "host_death": "host-2",
    "silent_collector": "sd",
    "vnfm_refuses": "*",
    "vnfm_operation_fails": "*",
    "vnfm_operation_hangs": "*",
    "vnfm_operation_useless": "*",
    "vnfm_garbage": "*",
    "vnfm_loses_answers": "*",
    "vim_refuses": "*",
    "vim_migration_fails": "*",
}
"""Every kind of fault, and what it hits when nothing else is said."""

# What a random script draws from: all that hurts a customer or blinds the loop, each with its possible targets.
RANDOM_TARGETS: dict[str, tuple[str, ...]] = {
    "crash": ("cpe-acme-0", "cpe-globex-0", "fw-0", "rtr-0"),
    "hang": ("cpe-acme-0", "cpe-globex-0", "fw-0", "rtr-0"),
    "overload": ("acme-vpn", "globex-internet"),
    "noisy_host": ("host-of:cpe-acme-0", "host-of:cpe-globex-0", "host-of:fw-0", "host-of:rtr-0"),
    "leak": ("cpe-acme-0", "cpe-globex-0", "fw-0", "rtr-0"),
    "host_death": ("host-of:cpe-acme-0", "host-of:fw-0", "host-of:rtr-0"),
    "link_loss": ("cpe-acme-fw", "fw-rtr", "rtr-globex-internet"),
    "vnfm_refuses": ("*",),
    "vnfm_operation_fails": ("*",),
    "vnfm_operation_useless": ("*",),
    "silent_collector": ("sd",),
}
ONE_OFF = frozenset({"crash", "hang", "leak"})
RANDOM_FAULTS = (2, 5)
RANDOM_GAP_SECONDS = (3.0, 12.0)


class ScenarioError(Exception):
    """The script can't be read, or asks for what there is not."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `at_seconds` counts from the script's start; None means: once the one before is over, and settled."""

    kind: str
    target: str
    at_seconds: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Faults in order. `settle_seconds` is the rest between the end of one and the next."""

    settle_seconds: float
    faults: tuple[Fault, ...]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow")
    kind: str
    target: str | None = None
    at: str | None = None
    after: Literal["previous"] | None = None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1]
    settle: str = "5s"
    faults: list[_Entry]


def seconds_of(text: str) -> float:
    """`250ms`, `10s`, `2m` in seconds; ScenarioError otherwise."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ScenarioError(f"{text!r} is no duration such as 250ms, 10s or 2m")
    return float(match[1]) * _SECONDS[match[2]]


def make_fault(
    kind: str, target: str | None, at: str | None = None, parameters: dict[str, Any] | None = None
) -> Fault:
    """A fault of a known kind; ScenarioError otherwise."""
    if kind not in DEFAULT_TARGETS:
        raise ScenarioError(f"there is no fault {kind!r}; there are: {', '.join(DEFAULT_TARGETS)}")
    return Fault(
        kind, target or DEFAULT_TARGETS[kind], seconds_of(at) if at else None, parameters or {}
    )


def load(name: str | Path) -> Scenario:
    """The scenario of a file, or of one of the shipped names (`default`)."""
    path = Path(name)
    if not path.suffix:
        path = SCENARIOS / f"{name}.yaml"
    try:
        document = _Document.model_validate(
            YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        )
    except (OSError, YAMLError, ValidationError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    if len(document.faults) > FAULT_LIMIT:
        raise ScenarioError(f"{path}: more than {FAULT_LIMIT} faults")
    return Scenario(
        seconds_of(document.settle),
        tuple(
            make_fault(f.kind, f.target, f.at, dict(f.model_extra or {})) for f in document.faults
        ),
    )


def random_script(seed: int) -> list[Fault]:
    """A fault script that is the same for the same seed. Times count from the script's start and may overlap."""
    source = random.Random(seed)
    faults: list[Fault] = []
    at = 0.0
    for _ in range(source.randint(*RANDOM_FAULTS)):
        at += source.uniform(*RANDOM_GAP_SECONDS)
        # What lasts until it is cleared comes once in a script; one-off blows may fall again.
        used = {fault.kind for fault in faults} - ONE_OFF
        kind = source.choice(sorted(RANDOM_TARGETS.keys() - used))
        faults.append(Fault(kind, source.choice(RANDOM_TARGETS[kind]), round(at, 3)))
    return faults
