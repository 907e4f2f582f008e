"""Read policy files, folders of them, and profiles: the only module of this package that touches a disk."""

from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from pathlib import Path

from policies.expression import ExpressionError, condition, expectation
from policies.schema import PolicyFile, ProfileFile, Step, action_step
from policies.timings import Profile
from trimtab.config.complaint import did_you_mean
from trimtab.config.document import Document, read_document, validate
from trimtab.config.duration import format_duration, parse_duration
from trimtab.domain.codec import encode
from trimtab.domain.policy import ActionKind, ActionStep, Guard, Policy, PolicySet, VerifySpec
from trimtab.errors import ConfigurationError, Finding

SHIPPED = "shipped"
POLICIES_MAX = 500
_HERE = Path(__file__).resolve().parent


def profile_names() -> list[str]:
    """Return the shipped profiles' names."""
    return sorted(path.stem for path in (_HERE / "profiles").glob("*.yaml"))


def load_policies(
    paths: Sequence[str], profile: str, kpis: Collection[str] | None = None
) -> PolicySet:
    """Return the policies of files and folders, with timings by the profile (a shipped name or a file).

    `shipped` among the paths means the rules that come with Trimtab. `kpis` are the names that expressions may
    read (None: any). Raises ConfigurationError with every finding in every file.
    """
    findings: list[Finding] = []
    policies: list[Policy] = []
    timings = _profile(profile)
    for file in _files(paths, findings):
        shown = _shown(file)
        try:
            text = file.read_text("utf-8")
            found = read_policy(text, shown, timings, kpis)
        except ConfigurationError as error:
            findings.extend(error.findings)
            continue
        except (OSError, UnicodeDecodeError) as error:
            findings.append(Finding(shown, 1, 1, f"can't be read: {error}", "see to the file"))
            continue
        for other in policies:
            if other.name == found.name:
                line = int(found.location.rpartition(":")[2])
                problem = f"policy `{found.name}` exists in {other.location}"
                findings.append(Finding(shown, line, 1, problem, "rename one"))
        policies.append(found)
    if len(policies) > POLICIES_MAX:
        findings.append(
            Finding(paths[0], 1, 1, f"over {POLICIES_MAX} policies", "load fewer of them")
        )
    if findings:
        raise ConfigurationError(tuple(sorted(findings)))
    ordered = tuple(sorted(policies, key=lambda item: (-item.priority, item.name)))
    name = timings.name
    return PolicySet(hash=policy_hash(name, ordered), profile=name, policies=ordered)


def policy_hash(profile: str, policies: tuple[Policy, ...]) -> str:
    """Return the hash of a policy set's content."""
    digest = blake2b(profile.encode(), digest_size=16)
    for policy in policies:
        digest.update(encode(policy))
    return digest.hexdigest()


def read_policy(
    text: str, file: str, profile: Profile, kpis: Collection[str] | None = None
) -> Policy:
    """Return the policy of one file's text. Raises ConfigurationError with every finding."""
    document = read_document(text, file)
    parsed = validate(PolicyFile, document)
    if isinstance(parsed, list):
        raise ConfigurationError(tuple(sorted(parsed)))
    findings: list[Finding] = []
    _check_expressions(document, parsed, kpis, findings)
    timing = _Timings(document, profile, findings)
    ladder = tuple(
        _step(index, *rung.chosen(), timing=timing) for index, rung in enumerate(parsed.do)
    )
    _check_ladder(document, ladder, findings)
    guard = parsed.guard
    policy = Policy(
        name=parsed.policy,
        description=parsed.description,
        mode=parsed.mode,
        priority=parsed.priority,
        when=parsed.when.strip(),
        for_ns=timing("for", ("for",), parsed.for_),
        unless=parsed.unless.strip(),
        ladder=ladder,
        guard=Guard(
            cooldown_ns=timing("cooldown", ("guard", "cooldown"), guard.cooldown),
            actions_per_hour_max=guard.actions_per_hour,
            concurrency_max=guard.concurrency,
            blast_radius_max=guard.blast_radius,
            common_cause_max=guard.common_cause,
            confidence_min=guard.confidence,
            approval=guard.approval,
        ),
        verify=_verify(document, parsed, timing, findings),
        location=document.location(("policy",)),
    )
    if findings:
        raise ConfigurationError(tuple(sorted(findings)))
    return policy


def resolved(policy: Policy) -> list[tuple[str, str]]:
    """Return a policy's values with every timing spelled out, for `trimtab check` to print."""
    rows = [
        ("mode", policy.mode.value),
        ("priority", str(policy.priority)),
        ("when", policy.when),
        ("for", format_duration(policy.for_ns)),
        ("unless", policy.unless or "never"),
    ]
    for index, step in enumerate(policy.ladder):
        asked = f" by {step.actuator}" if step.actuator else ""
        rows.append(
            (
                f"do {index}",
                f"{step.kind.value} {step.target.value}{asked},"
                f" deadline {format_duration(step.deadline_ns)},"
                f" retry {format_duration(step.retry_ns)}",
            )
        )
    guard, verify = policy.guard, policy.verify
    return [
        *rows,
        ("guard.cooldown", format_duration(guard.cooldown_ns)),
        ("guard.actions_per_hour", str(guard.actions_per_hour_max)),
        ("guard.concurrency", str(guard.concurrency_max)),
        ("guard.blast_radius", str(guard.blast_radius_max)),
        ("guard.common_cause", str(guard.common_cause_max)),
        ("guard.confidence", str(guard.confidence_min)),
        ("guard.approval", "asked" if guard.approval else "not asked"),
        ("verify.expect", verify.expect),
        ("verify.settle", format_duration(verify.settle_ns)),
        ("verify.hold", format_duration(verify.hold_ns)),
        ("verify.within", format_duration(verify.within_ns)),
    ]


class _Timings:
    """Resolves a file's timings, keeping what is wrong with them."""

    def __init__(self, document: Document, profile: Profile, findings: list[Finding]) -> None:
        self._document = document
        self._profile = profile
        self._findings = findings

    def __call__(self, category: str, path: tuple[str | int, ...], text: str) -> int:
        try:
            return self._profile.resolve(category, text)
        except ValueError as error:
            problem, _, mend = str(error).partition("; ")
            self._findings.append(self._document.finding(path, problem, mend))
            return 0


def _step(index: int, kind: ActionKind, step: Step, timing: _Timings) -> ActionStep:
    path = ("do", index, kind.value)
    return action_step(
        kind,
        step,
        timing("deadline", (*path, "deadline"), step.deadline or kind.value),
        timing("retry", (*path, "retry"), step.retry or "refused"),
    )


def _verify(
    document: Document, parsed: PolicyFile, timing: _Timings, findings: list[Finding]
) -> VerifySpec:
    part = parsed.verify
    spec = VerifySpec(
        expect=part.expect.strip(),
        settle_ns=timing("settle", ("verify", "settle"), part.settle),
        hold_ns=timing("hold", ("verify", "hold"), part.hold),
        within_ns=timing("within", ("verify", "within"), part.within),
    )
    if spec.within_ns and spec.settle_ns + spec.hold_ns > spec.within_ns:
        findings.append(
            document.finding(
                ("verify", "within"),
                f"`within` ({format_duration(spec.within_ns)}) is shorter than `settle` and `hold`"
                f" together ({format_duration(spec.settle_ns + spec.hold_ns)})",
                "make it longer",
            )
        )
    return spec


def _check_expressions(
    document: Document,
    parsed: PolicyFile,
    kpis: Collection[str] | None,
    findings: list[Finding],
) -> None:
    cases: list[tuple[tuple[str, ...], str, Callable[..., object]]] = [
        (("when",), parsed.when, condition),
        (("unless",), parsed.unless, condition),
        (("verify", "expect"), parsed.verify.expect, expectation),
    ]
    for path, source, compile_it in cases:
        if not source.strip():
            continue
        try:
            compile_it(source.strip(), kpis)
        except ExpressionError as error:
            findings.extend(
                document.finding(path, item.problem, item.mend) for item in error.problems
            )


def _check_ladder(
    document: Document, ladder: tuple[ActionStep, ...], findings: list[Finding]
) -> None:
    for index, step in enumerate(ladder[:-1]):
        if step.kind is ActionKind.HAND_OVER:
            problem = "rungs follow a hand-over, which ends the ladder"
            findings.append(document.finding(("do", index), problem, "put hand_over last"))


def _profile(name: str) -> Profile:
    shipped = _HERE / "profiles" / f"{name}.yaml"
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped
    if not path.is_file():
        mend = did_you_mean(name, profile_names(), "profiles")
        raise ConfigurationError((Finding(name, 1, 1, f"there is no profile `{name}`", mend),))
    document = read_document(path.read_text("utf-8"), _shown(path))
    parsed = validate(ProfileFile, document)
    if isinstance(parsed, list):
        raise ConfigurationError(tuple(sorted(parsed)))
    findings: list[Finding] = []
    timings: dict[str, dict[str, int]] = {}
    for category, named in parsed.timings.items():
        timings[category] = {}
        for key, text in named.items():
            try:
                timings[category][key] = parse_duration(text)
            except ValueError as error:
                problem, _, mend = str(error).partition("; ")
                findings.append(document.finding(("timings", category, key), problem, mend))
    if findings:
        raise ConfigurationError(tuple(sorted(findings)))
    return Profile(parsed.profile, timings)


def _files(paths: Sequence[str], findings: list[Finding]) -> list[Path]:
    files: list[Path] = []
    for text in paths:
        path = _HERE / "rules" if text == SHIPPED else Path(text)
        if path.is_dir():
            inside = sorted(item for item in path.rglob("*.y*ml") if item.is_file())
            if not inside:
                findings.append(Finding(text, 1, 1, "no policy in this folder", "put one there"))
            files.extend(inside)
        elif path.is_file():
            files.append(path)
        else:
            findings.append(
                Finding(text, 1, 1, "there is no such file or folder", "correct the path")
            )
    return list(dict.fromkeys(files))


def _shown(path: Path) -> str:
    """Return a path as the author knows it: shipped files by their place in the package."""
    try:
        return f"policies/{path.resolve().relative_to(_HERE).as_posix()}"
    except ValueError:
        return str(path)
