"""The present inventory in the read model's tables."""

import sqlite3

from trimtab.domain.codec import decode, encode
from trimtab.domain.managed_object import Alias, InventoryChange, Relation, RelationKind, Topology
from trimtab.store.questions import TopologyView


def read_topology(connection: sqlite3.Connection) -> TopologyView:
    """Return the present inventory."""
    objects = [
        decode(body) for (body,) in connection.execute("SELECT body FROM objects ORDER BY id")
    ]
    relations = [
        Relation(subject, RelationKind(kind), object_id)
        for subject, kind, object_id in connection.execute(
            "SELECT subject_id, kind, object_id FROM relations ORDER BY subject_id, kind, object_id"
        )
    ]
    aliases = [
        Alias(object_id, source, native_id, valid_from_ns)
        for object_id, source, native_id, valid_from_ns in connection.execute(
            "SELECT object_id, source, native_id, valid_from_ns FROM aliases"
            " ORDER BY source, native_id"
        )
    ]
    return TopologyView(tuple(objects), tuple(relations), tuple(aliases))


class Inventory:
    """A topology that writes each change through to the tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._topology = Topology()
        present = read_topology(connection)
        self._topology.apply(
            InventoryChange("read-model", 0, present.objects, present.aliases, present.relations)
        )

    def apply(self, change: InventoryChange) -> None:
        """Take a change in. What contradicts the inventory is the machines' to tell; here it is left out."""
        self._topology.apply(change)
        touched = {item.id for item in change.objects}
        touched |= {alias.object_id for alias in change.aliases}
        touched |= {relation.subject_id for relation in change.relations}
        for gone in change.removed_object_ids:
            self._connection.execute("DELETE FROM relations WHERE object_id = ?", (gone,))
        touched |= set(change.removed_object_ids)
        for object_id in sorted(touched):
            self._rewrite_object(object_id)
        self._rewrite_aliases(touched)

    def _rewrite_object(self, object_id: str) -> None:
        run = self._connection.execute
        item = self._topology.objects.get(object_id)
        if item is None:
            run("DELETE FROM objects WHERE id = ?", (object_id,))
        else:
            run("INSERT OR REPLACE INTO objects VALUES (?, ?)", (object_id, encode(item).decode()))
        run("DELETE FROM relations WHERE subject_id = ?", (object_id,))
        self._connection.executemany(
            "INSERT OR IGNORE INTO relations VALUES (?, ?, ?)",
            [
                (object_id, kind, target)
                for kind in RelationKind
                for target in self._topology.relations.get((object_id, kind), ())
            ],
        )

    def _rewrite_aliases(self, touched: set[str]) -> None:
        self._connection.executemany(
            "DELETE FROM aliases WHERE object_id = ?", [(object_id,) for object_id in touched]
        )
        open_claims = [
            (claim.source, claim.native_id, claim.object_id, claim.valid_from_ns)
            for claims in self._topology.aliases.values()
            for claim in claims
            if claim.object_id in touched and claim.valid_to_ns is None
        ]
        self._connection.executemany(
            "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?, ?)", open_claims
        )
