"""The walk from a value to its causes and its effects, over the read model's nodes and edges."""

import sqlite3

from trimtab.store.questions import ExplainStep, Explanation

STEPS_MAX = 500
_NEXT = {
    "causes": "SELECT parent FROM edges WHERE child = ? ORDER BY parent",
    "effects": "SELECT child FROM edges WHERE parent = ? ORDER BY child",
}


def explain(connection: sqlite3.Connection, value_id: str) -> Explanation | None:
    """Return the walk, None when the id is not known (or no longer). Each way ends after STEPS_MAX ids."""
    subject = _step(connection, value_id) or _named_otherwise(connection, value_id)
    if subject is None:
        return None
    causes = _reached(connection, subject.id, "causes")
    effects = _reached(connection, subject.id, "effects")
    effects.sort(key=lambda step: (step.at_ns or 0, step.id))
    return Explanation(subject, tuple(causes), tuple(effects))


def _reached(connection: sqlite3.Connection, start: str, way: str) -> list[ExplainStep]:
    """Return what can be reached that way, nearest first; ids without a value of their own are passed through."""
    order = [start]
    seen = {start}
    found = []
    for current in order:
        if len(order) > STEPS_MAX:
            break
        if current != start:
            step = _step(connection, current)
            if step is not None:
                found.append(step)
        for (following,) in connection.execute(_NEXT[way], (current,)):
            if following not in seen:
                seen.add(following)
                order.append(following)
    return found


def _named_otherwise(connection: sqlite3.Connection, id_: str) -> ExplainStep | None:
    for (other,) in connection.execute(_NEXT["causes"], (id_,)):
        step = _step(connection, other)
        if step is not None:
            return step
    return None


def _step(connection: sqlite3.Connection, id_: str) -> ExplainStep | None:
    row = connection.execute(
        "SELECT id, parent_id, kind, at_ns, text FROM nodes WHERE id = ?", (id_,)
    ).fetchone()
    return ExplainStep(*row) if row else None
