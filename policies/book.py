"""The loaded policies, compiled: what a policy set's texts come to while the Decider runs."""

from policies.expression import (
    Answer,
    Expression,
    ExpressionError,
    Known,
    Truth,
    condition,
    expectation,
)
from policies.names import CONDITION_NAMES
from trimtab.domain.policy import Policy

_NOTHING = Answer(Truth.FALSE)
_NO_CAUSE = Answer(Truth.FALSE, "the incident has no cause")


class Book:
    """Compiles each expression once. A text that does not compile (another version's) is UNKNOWN."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, bool], Expression | str] = {}

    def forget(self) -> None:
        """Drop what was compiled: another policy set came."""
        self._compiled.clear()

    def when(self, policy: Policy, known: Known) -> Answer:
        """Return whether a policy applies: `when` holds and `unless` does not."""
        holds = self._ask(policy.when, known)
        if holds.truth is not Truth.TRUE or not policy.unless:
            return holds
        stops = self._ask(policy.unless, known)
        if stops.truth is Truth.TRUE:
            return _NOTHING
        if stops.truth is Truth.UNKNOWN:
            return Answer(Truth.UNKNOWN, f"unless: {stops.detail}")
        return holds

    def expect(self, source: str, known: Known) -> Answer:
        """Return whether an expectation holds."""
        return self._ask(source, known, verifying=True)

    def paths(self, policy: Policy) -> tuple[str, ...]:
        """Return the names that a policy's condition reads."""
        found = {"incident.id", "cause.object", "cause.symptom", "cause.confidence"}
        for source in (policy.when, policy.unless):
            compiled = self._compile(source, verifying=False) if source else ""
            if isinstance(compiled, Expression):
                found.update(compiled.paths)
        return tuple(sorted(path for path in found if path.partition(".")[0] in CONDITION_NAMES))

    def kpis(self, policy: Policy) -> set[str]:
        """Return the KPIs that a policy reads anywhere."""
        found: set[str] = set()
        sources = [(policy.when, False), (policy.unless, False), (policy.verify.expect, True)]
        for source, verifying in sources:
            compiled = self._compile(source, verifying) if source else ""
            if isinstance(compiled, Expression):
                found.update(compiled.kpis)
        return found

    def _ask(self, source: str, known: Known, verifying: bool = False) -> Answer:
        compiled = self._compile(source, verifying)
        if isinstance(compiled, str):
            return Answer(Truth.UNKNOWN, compiled)
        if not known.values["cause"] and compiled.reads_cause:
            # That no cause was found is known: it is no missing data.
            return _NO_CAUSE
        return compiled.evaluate(known)

    def _compile(self, source: str, verifying: bool) -> Expression | str:
        key = (source, verifying)
        if key not in self._compiled:
            try:
                self._compiled[key] = expectation(source) if verifying else condition(source)
            except ExpressionError as error:
                self._compiled[key] = str(error)
        return self._compiled[key]
