"""Binding: which object a series speaks of, and which KPIs read it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from trimtab.domain.configuration import BindingRule, Configuration
from trimtab.domain.kpi import KpiDefinition, LabelMatcher
from trimtab.domain.managed_object import ObjectKind, parse_object_id
from trimtab.domain.series import Series

NAME_LABEL = "__name__"
DIVISOR = 1
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Binding:
    """Name an object outright (`object_id`), or through an alias that is looked up at each sample's own time."""

    object_id: str = ""
    alias_source: str = ""
    native_id: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """A KPI that reads a series; `role` 1 reads it as the divisor of a ratio."""

    definition: KpiDefinition
    role: int


class Shelf:
    """The readers of one metric name, found by the first label that they ask to be equal to something.

    A hundred KPIs may read one name and tell themselves apart by a label: each series looks at its own only.
    """

    def __init__(self) -> None:
        self._count = 0
        self._always: list[tuple[int, Reader]] = []
        self._by_label: dict[str, dict[str, list[tuple[int, Reader]]]] = {}

    def put(self, reader: Reader) -> None:
        """Add a reader behind all others."""
        plain = [matcher for matcher in reader.definition.where if not matcher.regex]
        place = self._always
        if plain:
            values = self._by_label.setdefault(plain[0].label, {})
            place = values.setdefault(plain[0].value, [])
        place.append((self._count, reader))
        self._count += 1

    def likely(self, series: Series) -> list[Reader]:
        """Return the readers that may read a series, in the order in which they were put."""
        found = list(self._always)
        for label, values in self._by_label.items():
            found += values.get(_value(label, series), ())
        return [reader for _, reader in sorted(found, key=lambda item: item[0])]


class Binder:
    """Answer both questions for one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._rules = configuration.bindings
        self._shelves: dict[str, Shelf] = {}
        self._asked: Series | None = None
        self._found: list[Reader] = []
        self.joins = any(item.over is not None for item in configuration.kpis)
        for definition in configuration.kpis:
            self._shelf(definition.series).put(Reader(definition, 0))
            if definition.divisor_series:
                self._shelf(definition.divisor_series).put(Reader(definition, DIVISOR))

    def _shelf(self, name: str) -> "Shelf":
        return self._shelves.setdefault(name, Shelf())

    def bind(self, series: Series) -> Binding | None:
        """Return what the first matching rule says, None when none matches."""
        for rule in self._rules:
            if all(_matches(matcher, series) for matcher in rule.matchers):
                filled = _fill(rule, series)
                if filled is None:
                    continue
                if rule.alias_source:
                    return Binding(alias_source=rule.alias_source, native_id=filled)
                return Binding(object_id=filled)
        return None

    def readers(
        self, series: Series, kind: ObjectKind | None = None, *, joined: bool = False
    ) -> list[Reader]:
        """Return the KPIs (of objects of a kind) that read a series: as their own, or (`joined`) as that of a part."""
        return [
            reader
            for reader in self._matching(series)
            if (reader.definition.over is not None) is joined
            and (kind is None or reader.definition.object_kind == kind)
        ]

    def _matching(self, series: Series) -> list[Reader]:
        """Return all KPIs that let a series through; a new series is asked about several times in a row."""
        if self._asked is not series:
            shelf = self._shelves.get(series.name)
            self._asked, self._found = (
                series,
                [
                    reader
                    for reader in (shelf.likely(series) if shelf else ())
                    if all(_matches(matcher, series) for matcher in reader.definition.where)
                ],
            )
        return self._found


def kind_of(object_id: str) -> ObjectKind | None:
    """Return an object's kind by its id, None when that is not `tenant/kind/name`."""
    try:
        return parse_object_id(object_id)[1]
    except ValueError:
        return None


def definitions_of(kpis: Iterable[KpiDefinition], kind: ObjectKind) -> list[KpiDefinition]:
    """Return the KPIs that objects of a kind have."""
    return [definition for definition in kpis if definition.object_kind == kind]


def _fill(rule: BindingRule, series: Series) -> str | None:
    labels = dict(series.labels)
    labels[NAME_LABEL] = series.name
    wanted = _PLACEHOLDER.findall(rule.object_template)
    if any(name not in labels for name in wanted):
        return None
    return _PLACEHOLDER.sub(lambda found: labels[found.group(1)], rule.object_template)


def _value(label: str, series: Series) -> str:
    return series.name if label == NAME_LABEL else series.label(label) or ""


def _matches(matcher: LabelMatcher, series: Series) -> bool:
    value = _value(matcher.label, series)
    if matcher.regex:
        return _compiled(matcher.value).fullmatch(value) is not None
    return value == matcher.value


@lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
