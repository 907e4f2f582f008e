"""Find, without running it, which names a CEL expression reads, and which of them do not exist.

The engine's own analysis knows root names only; authors mistype `cause.symptm` and KPI names as well.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from policies.names import FUNCTIONS, KpiMap, ListOf, Name, Shape, View
from trimtab.config.complaint import did_you_mean

MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
MACRO_DEPTH_MAX = 3
_TOKEN = re.compile(
    r"""\s+|//[^\n]*
    |(?P<string>[rRbB]{0,2}(?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?u?|0x[0-9a-fA-F]+)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>[\s\S])""",
    re.VERBOSE,
)
_WORDS = frozenset({"true", "false", "null", "in"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in an expression, and the mend."""

    problem: str
    mend: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What an expression reads: dotted paths from the roots, KPI names, and what is wrong."""

    paths: tuple[str, ...]
    kpis: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_names(source: str, names: Mapping[str, Name], kpis: Collection[str] | None) -> Reading:
    """Walk an expression's tokens. `kpis` None: KPI names are not checked."""
    reader = _Reader(source, names, kpis)
    reader.run()
    return Reading(
        tuple(sorted(reader.paths)), tuple(sorted(reader.kpi_names)), tuple(reader.problems)
    )


class _Reader:
    def __init__(
        self, source: str, names: Mapping[str, Name], kpis: Collection[str] | None
    ) -> None:
        self._tokens = [
            (found.lastgroup, found.group())
            for found in _TOKEN.finditer(source)
            if found.lastgroup is not None
        ]
        self._names = names
        self._kpis = kpis
        self._at = 0
        self._depth = 0
        # Names that a macro binds, valid until its parenthesis closes: (depth, name, shape).
        self._bound: list[tuple[int, str, Shape | None]] = []
        self.paths: set[str] = set()
        self.kpi_names: set[str] = set()
        self.problems: list[Problem] = []

    def run(self) -> None:
        while self._at < len(self._tokens):
            group, text = self._tokens[self._at]
            before = self._tokens[self._at - 1][1] if self._at else ""
            if group == "name" and text not in _WORDS and before != ".":
                self._root(text)
                continue
            if group == "name" and before == "." and self._peek(1) == "(":
                self._call(text, None)
                continue
            self._sign(text if group == "sign" else "")
            self._at += 1

    def _peek(self, ahead: int) -> str:
        where = self._at + ahead
        return self._tokens[where][1] if where < len(self._tokens) else ""

    def _sign(self, text: str) -> None:
        if text == "(":
            self._depth += 1
        elif text == ")":
            self._depth -= 1
            while self._bound and self._bound[-1][0] > self._depth:
                self._bound.pop()

    def _root(self, text: str) -> None:
        if self._peek(1) == "(":
            self._call(text, None)
            return
        self._at += 1
        for _, name, shape in reversed(self._bound):
            if name == text:
                self._chain(None, shape)
                return
        if text not in self._names:
            self.problems.append(
                Problem(f"unknown name `{text}`", did_you_mean(text, self._names, "known names"))
            )
            self._chain(None, None)
            return
        self._chain(text, self._names[text].shape)

    def _chain(self, path: str | None, shape: Shape | None) -> None:
        """Follow `.field`, `["field"]` and `[0]` from a name as far as its shape is known."""
        while True:
            sign = self._peek(0)
            if sign == "." and self._peek(2) == "(":
                self._at += 1
                self._leave(path)
                self._call(self._peek(0), shape)
                return
            if sign == ".":
                field = self._peek(1)
                self._at += 2
            elif sign == "[" and self._peek(2) == "]":
                field = self._peek(1)
                self._at += 3
                if isinstance(shape, ListOf):
                    path, shape = path and f"{path}[{field}]", shape.item
                    continue
                field = field.strip("'\"")
            else:
                if sign == "[" and isinstance(shape, KpiMap):
                    self.problems.append(
                        Problem("a KPI's name is computed", 'write it out: kpi["its_name"]')
                    )
                self._leave(path)
                return
            shape = self._field(path, shape, field)
            path = path and f"{path}.{field}"

    def _leave(self, path: str | None) -> None:
        if path is not None:
            self.paths.add(path)

    def _field(self, path: str | None, shape: Shape | None, field: str) -> Shape | None:
        if isinstance(shape, View):
            if field in shape.fields:
                return shape.fields[field].shape
            known = did_you_mean(field, shape.fields, f"fields of `{shape.name}`")
            self.problems.append(Problem(f"`{path or shape.name}` has no field `{field}`", known))
        elif isinstance(shape, KpiMap):
            self.kpi_names.add(field)
            if self._kpis is not None and field not in self._kpis:
                self.problems.append(
                    Problem(f"unknown KPI `{field}`", did_you_mean(field, self._kpis, "known KPIs"))
                )
            return "double"
        elif isinstance(shape, ListOf):
            self.problems.append(
                Problem(
                    f"`{path or 'it'}` is a list and has no field `{field}`",
                    f"write e.g. {path or 'it'}.exists(x, x.{field} ...)",
                )
            )
        elif shape is not None:
            self.problems.append(
                Problem(f"`{path}` is a {shape} and has no field `{field}`", "compare it itself")
            )
        return None

    def _call(self, name: str, receiver: Shape | None) -> None:
        """Stand on a function's name, its parenthesis next; enter it, binding a macro's variable."""
        if name not in FUNCTIONS:
            self.problems.append(
                Problem(f"unknown function `{name}`", did_you_mean(name, FUNCTIONS, "functions"))
            )
        self._at += 2
        self._depth += 1
        if name not in MACROS and (name in FUNCTIONS or self._peek(1) != ","):
            return
        bound = self._peek(0)
        if self._peek(1) == ",":
            item = receiver.item if isinstance(receiver, ListOf) else None
            self._bound.append((self._depth, bound, item))
            self._at += 2
        if len(self._bound) > MACRO_DEPTH_MAX:
            self.problems.append(
                Problem(f"macros are nested over {MACRO_DEPTH_MAX} deep", "flatten the expression")
            )
