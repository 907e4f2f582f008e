"""A model that a worker has learnt from KPI values: an input like any other, so that a replay judges by it, too."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What is normal for the KPIs of an object together; `content` is the model's own bytes, in base64.

    It was learnt from `rows` rows of the windows that ended from `from_ns` to `until_ns`.
    """

    object_id: str
    kpis: tuple[str, ...]
    from_ns: int
    until_ns: int
    rows: int
    content: str
