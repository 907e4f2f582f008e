"""CEL expressions: compiled once, checked against the published names, evaluated to TRUE, FALSE or UNKNOWN.

UNKNOWN is what an expression gives that needs a name which is absent now. `false && absent` is FALSE and
`true || absent` TRUE, as CEL itself absorbs errors; `has(kpi.x)` asks whether a value is there.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cel

from policies.lexicon import Problem, read_names
from policies.names import CONDITION_NAMES, VERIFY_NAMES, Name, example

SOURCE_CHARACTERS_MAX = 2_000
DETAIL_CHARACTERS_MAX = 200


class Truth(StrEnum):
    """The three values of an expression."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an expression gave; `detail` says what was missing or went wrong when UNKNOWN."""

    truth: Truth
    detail: str = ""


class ExpressionError(ValueError):
    """Hold everything that is wrong with an expression."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{item.problem}, {item.mend}" for item in problems))
        self.problems = problems


class Known:
    """What is known now, by root name. A root is handed to the engine once, when first needed: that is the cost."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._context = cel.Context()
        self._given: set[str] = set()

    def context(self, roots: Collection[str]) -> cel.Context:
        """Return the engine's context with at least these roots in it."""
        for root in roots:
            if root not in self._given and root in self.values:
                self._context.add_variable(root, self.values[root])
                self._given.add(root)
        return self._context


class Expression:
    """A compiled expression. `paths` are the names that it reads, `kpis` the KPIs among them."""

    def __init__(
        self,
        source: str,
        names: Mapping[str, Name],
        kpis: Collection[str] | None = None,
    ) -> None:
        """Compile and check. `kpis` None: KPI names are not checked. Raises ExpressionError."""
        if len(source) > SOURCE_CHARACTERS_MAX:
            raise ExpressionError(
                (
                    Problem(
                        f"the expression is over {SOURCE_CHARACTERS_MAX} characters",
                        "split the policy",
                    ),
                )
            )
        self.source = source
        try:
            self._program = cel.compile(source)
        except ValueError as error:
            raise ExpressionError((Problem(_syntax(str(error)), "mend the CEL"),)) from error
        reading = read_names(source, names, kpis)
        if reading.problems:
            raise ExpressionError(reading.problems)
        self.paths = reading.paths
        self.kpis = reading.kpis
        self.roots = tuple(sorted({re.split(r"[.\[]", path)[0] for path in reading.paths}))
        self.reads_cause = "cause" in self.roots or "kpi" in self.roots
        known = set(reading.kpis) | set(kpis or ())
        self._try({name: example(item.shape, known) for name, item in names.items()})

    def _try(self, names: dict[str, Any]) -> None:
        """Run it once on examples: what can never be compared, and what is no truth, shows at once."""
        try:
            given = self._program.execute(names)
        except TypeError as error:
            raise ExpressionError(
                (Problem(_first_sentence(str(error)), "compare like with like, numbers as 1.0"),)
            ) from error
        except (KeyError, ValueError, ArithmeticError, RuntimeError, IndexError):
            return  # it depends on the values; while running it would be UNKNOWN
        if not isinstance(given, bool):
            raise ExpressionError(
                (
                    Problem(
                        f"the expression gives a {type(given).__name__}, not true or false",
                        "compare it with something",
                    ),
                )
            )

    def evaluate(self, known: Known) -> Answer:
        """Return the answer for what is known; never raises for what that holds."""
        try:
            given = self._program.execute(known.context(self.roots))
        except KeyError as error:
            return Answer(Truth.UNKNOWN, f"no value for {str(error).strip(chr(39))}")
        except (TypeError, ValueError, ArithmeticError, RuntimeError, IndexError) as error:
            return Answer(Truth.UNKNOWN, _first_sentence(str(error)))
        if not isinstance(given, bool):
            return Answer(Truth.UNKNOWN, f"gave a {type(given).__name__}, not true or false")
        return Answer(Truth.TRUE if given else Truth.FALSE)


def condition(source: str, kpis: Collection[str] | None = None) -> Expression:
    """Compile a `when` or `unless`. Raises ExpressionError."""
    return Expression(source, CONDITION_NAMES, kpis)


def expectation(source: str, kpis: Collection[str] | None = None) -> Expression:
    """Compile a `verify.expect`. Raises ExpressionError."""
    return Expression(source, VERIFY_NAMES, kpis)


def _first_sentence(text: str) -> str:
    return text.splitlines()[0].split(". ")[0][:DETAIL_CHARACTERS_MAX] if text else "failed"


def _syntax(text: str) -> str:
    """Return the engine's word on a syntax error without its picture of the source."""
    first = text.splitlines()[0]
    said = first.partition("ERROR: <input>:")[2]
    where, _, what = said.partition(": ")
    what = what.partition(" expecting {")[0].removeprefix("Syntax error: ")
    _, _, column = where.partition(":")
    return f"not CEL, at its character {column}: {what}" if what else f"not CEL: {first[:100]}"
