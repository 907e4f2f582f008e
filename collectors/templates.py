"""What a target's labels tell of the inventory: objects, how they hang together, their aliases."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    ManagedObject,
    Relation,
    RelationKind,
    managed_object,
)

RULES_MAX = 100
_PLACE = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")
_SAMPLE_LABEL = "x"
Role = Literal["object", "part_of", "runs_on"]


class InventoryRule(BaseModel):
    """Read managed objects out of a target's labels; `{label}` stands for the label's value.

    A rule applies to targets whose labels equal all of `match`. `object` is what the target is; a target without a
    label that it names tells nothing. `part_of` and `runs_on` are what that object is tied to. `aliases` gives, for
    `object`, `part_of` or `runs_on`, the native id at each source: `{object: {vim: "{server_id}"}}`.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    match: dict[str, str] = Field(default_factory=dict)
    object: str
    part_of: str | None = None
    runs_on: str | None = None
    aliases: dict[Role, dict[str, str]] = Field(default_factory=dict)

    @field_validator("object", "part_of", "runs_on")
    @classmethod
    def _names_an_object(cls, value: str | None) -> str | None:
        if value is not None:
            managed_object(_PLACE.sub(_SAMPLE_LABEL, value))
        return value

    def applies(self, labels: Mapping[str, str]) -> bool:
        """Return whether a target with these labels is meant."""
        return all(labels.get(name) == value for name, value in self.match.items())


@dataclass(slots=True)
class Inventory:
    """What was found, by identity, so that two states can be compared."""

    objects: dict[str, ManagedObject] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)  # those that a target stands for itself
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)  # (object, source) -> native
    relations: dict[tuple[str, RelationKind], str] = field(default_factory=dict)


def fill(template: str, labels: Mapping[str, str]) -> str | None:
    """Return the template with the labels' values in it, None when a label is absent or empty."""
    if not all(labels.get(name) for name in _PLACE.findall(template)):
        return None
    return _PLACE.sub(lambda match: labels[match.group(1)], template)


def identifying(rules: Iterable[InventoryRule], labels: Mapping[str, str]) -> set[str]:
    """Return which labels tell what a target is: those that its rules' `object` names."""
    return {
        name
        for rule in rules
        if rule.applies(labels) and fill(rule.object, labels) is not None
        for name in _PLACE.findall(rule.object)
    }


def survey(rules: Iterable[InventoryRule], targets: Iterable[Mapping[str, str]]) -> Inventory:
    """Return what the rules read out of these targets' labels."""
    found = Inventory()
    for labels in targets:
        for rule in rules:
            if rule.applies(labels):
                _apply(rule, labels, found)
    return found


def _apply(rule: InventoryRule, labels: Mapping[str, str], found: Inventory) -> None:
    named = {
        "object": _object(rule.object, labels),
        "part_of": _object(rule.part_of, labels),
        "runs_on": _object(rule.runs_on, labels),
    }
    ids = {role: item.id for role, item in named.items() if item is not None}
    if "object" not in ids:
        return
    for item in named.values():
        if item is not None:
            found.objects.setdefault(item.id, item)
    found.own.add(ids["object"])
    if "part_of" in ids:
        found.relations[ids["object"], RelationKind.PART_OF] = ids["part_of"]
    if "runs_on" in ids:
        found.relations[ids["object"], RelationKind.RUNS_ON] = ids["runs_on"]
    for role, sources in rule.aliases.items():
        for source, template in sources.items():
            native = fill(template, labels)
            if native is not None and role in ids:
                found.aliases[ids[role], source] = native


def _object(template: str | None, labels: Mapping[str, str]) -> ManagedObject | None:
    text = fill(template, labels) if template else None
    try:
        return None if text is None else managed_object(text)
    except ValueError:  # a label put something into the template that makes no id of it
        return None


def _pattern(template: str) -> re.Pattern[str]:
    """Return what matches every text that the template can become."""
    parts = _PLACE.split(template)  # literal, label, literal, ...
    return re.compile(".+".join(re.escape(literal) for literal in parts[::2]))


class InventoryTracker:
    """Compare surveys, and say what has changed since the last change that was taken.

    An object is removed once `removal_refreshes` healthy surveys in a row did not find it; those that were only ever
    named by others (`part_of`, `runs_on`) stay.
    """

    def __init__(self, source: str, removal_refreshes: int) -> None:
        self._source = source
        self._removal_refreshes = removal_refreshes
        self._told = Inventory()
        self._missing: dict[str, int] = {}

    def recall(self, rules: Iterable[InventoryRule], object_ids: Iterable[str]) -> None:
        """Take objects of an earlier life, if a rule's `object` can have made them, for told by this source."""
        patterns = [_pattern(rule.object) for rule in rules]
        for text in object_ids:
            if any(pattern.fullmatch(text) for pattern in patterns):
                self._told.objects[text] = managed_object(text)
                self._told.own.add(text)

    def count_missing(self, found: Inventory) -> None:
        """Take note, once a healthy refresh, of which objects it did not find."""
        self._told.own |= found.own & self._told.objects.keys()
        gone = self._told.own - found.own
        self._missing = {name: self._missing.get(name, 0) + 1 for name in gone}

    def change(self, found: Inventory, at_ns: int) -> InventoryChange | None:
        """Return the difference to what was last told, None when there is none."""
        told = self._told
        removed = tuple(
            sorted(n for n, times in self._missing.items() if times >= self._removal_refreshes)
        )
        change = InventoryChange(
            source=self._source,
            at_ns=at_ns,
            objects=tuple(o for key, o in found.objects.items() if told.objects.get(key) != o),
            aliases=tuple(
                Alias(key[0], key[1], native, valid_from_ns=at_ns)
                for key, native in found.aliases.items()
                if told.aliases.get(key) != native
            ),
            relations=tuple(
                Relation(key[0], key[1], target)
                for key, target in found.relations.items()
                if told.relations.get(key) != target
            ),
            removed_object_ids=removed,
        )
        empty = not (change.objects or change.aliases or change.relations or removed)
        return None if empty else change

    def taken(self, change: InventoryChange, found: Inventory) -> None:
        """Remember that this change, made from that survey, was told."""
        told = self._told
        told.own |= found.own
        for item in change.objects:
            told.objects[item.id] = item
        told.aliases.update({(a.object_id, a.source): a.native_id for a in change.aliases})
        told.relations.update({(r.subject_id, r.kind): r.object_id for r in change.relations})
        for gone in change.removed_object_ids:
            told.objects.pop(gone, None)
            told.own.discard(gone)
            self._missing.pop(gone, None)
            told.aliases = {k: v for k, v in told.aliases.items() if k[0] != gone}
            told.relations = {k: v for k, v in told.relations.items() if k[0] != gone}
