"""Names of KPI values, made fast: there is one for every object, KPI and granularity period."""

import hashlib

from trimtab.domain.identity import ID_BYTES, SEPARATOR


class KpiNames:
    """Name the values of one KPI of one object: `content_id("kpi", object_id, name, end_ns)`, hashed in two parts.

    Values of KPIs are by far the most numerous outputs, and all but the end of their names repeats.
    """

    __slots__ = ("_beginning",)

    def __init__(self, object_id: str, name: str) -> None:
        beginning = SEPARATOR.join(("kpi", object_id, name, ""))
        self._beginning = hashlib.blake2b(beginning.encode(), digest_size=ID_BYTES)

    def at(self, end_ns: int) -> str:
        """Return the identity of the value for the window that ends then."""
        whole = self._beginning.copy()
        whole.update(b"%d" % end_ns)
        return "kpi-" + whole.hexdigest()
