"""The KPIs of an object together: rows of closed windows are judged by a trained model, and told of like any anomaly.

An object is judged once a worker has trained a model for it. Its score is itself watched as a KPI is: it is told of
when it is far above what it usually is, within the same budget of alarms.
"""

from base64 import b64decode
from typing import Any

import numpy as np

from analytics.alarm import alarm_id, clear_alarm
from analytics.anomalies import (
    CALM_WINDOWS,
    PROBABLE_CAUSE,
    SYMPTOM,
    trouble_of,
)
from analytics.detectors.kpi_anomaly import KpiAnomalyDetector, KpiAnomalySettings
from analytics.detectors.pca_model import PcaModel
from analytics.detectors.vector import VectorDetector
from analytics.kpi import Floats
from analytics.windows import Closed, Lane
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.configuration import AnomalyRule
from trimtab.domain.context import Context
from trimtab.domain.identity import content_id
from trimtab.domain.input import AssessorOutput
from trimtab.domain.time import rfc3339
from trimtab.domain.trained_model import TrainedModel

OBJECTIVE = f"{SYMPTOM}-together"
OBJECTS_MAX = 1_000
# Rows of which some KPI's window has not closed: beyond so many, the oldest is judged without it.
PENDING_MAX = 64
NAMED_MAX = 3


class _Member:
    """One object with a model: its detector, the watch over its score, and the rows that are not complete."""

    def __init__(self, kpis: tuple[str, ...], rule: AnomalyRule) -> None:
        self.kpis = kpis
        self.vector = VectorDetector(len(kpis))
        self.score = KpiAnomalyDetector(KpiAnomalySettings(alarms_per_day=rule.alarms_per_day))
        # By the end of the windows: values, deviations, and which KPIs have closed.
        self.pending: dict[int, Floats] = {}
        self.calm = 0

    def row(self, end_ns: int) -> Floats:
        """Return the row [value, deviation, closed] x KPIs for the windows that end then."""
        if end_ns not in self.pending:
            row = np.zeros((3, len(self.kpis)))
            row[0] = np.nan
            self.pending[end_ns] = row
        return self.pending[end_ns]


class Together:
    """Judge objects that have a model; every object's state is its own."""

    def __init__(self) -> None:
        self.members: dict[str, _Member] = {}
        self.alarms: dict[str, Alarm] = {}
        self.refused = 0

    def adopt(self, model: TrainedModel, rule: AnomalyRule) -> None:
        """Judge an object by a model from now on; with other KPIs than before, it is learnt anew what is usual."""
        try:
            content = PcaModel.from_bytes(b64decode(model.content, validate=True))
            member = self.members.get(model.object_id)
            if member is None or member.kpis != model.kpis:
                if member is None and len(self.members) >= OBJECTS_MAX:
                    raise ValueError("too many objects have models")
                member = _Member(model.kpis, rule)
            member.vector.adopt(content)
        except (ValueError, KeyError, TypeError):
            self.refused += 1
            return
        self.members[model.object_id] = member

    def take(self, lane: Lane, closed: Closed, deviations: Floats) -> None:
        """Note windows that closed; a deviation is NaN where the window was not judged: then it has no value here."""
        if not self.members:
            return
        position = np.full(lane.instances.capacity, -1, dtype=np.int64)
        position[closed.instance] = np.arange(len(closed.instance))
        for object_id, member in self.members.items():
            for column, kpi in enumerate(member.kpis):
                number = lane.numbers.get((object_id, kpi))
                at = -1 if number is None else int(position[number])
                if at < 0:
                    continue
                row = member.row(int(closed.end_ns[at]))
                row[2, column] = 1.0
                if not np.isnan(deviations[at]):
                    row[0, column] = closed.value[at]
                    row[1, column] = deviations[at]

    def conclude(self, tick_ns: int) -> list[AssessorOutput]:
        """Judge the rows that are complete, in order."""
        outputs: list[AssessorOutput] = []
        for object_id in sorted(self.members):
            member = self.members[object_id]
            for end_ns in sorted(member.pending):
                row = member.pending[end_ns]
                if not row[2].all() and len(member.pending) <= PENDING_MAX:
                    break
                del member.pending[end_ns]
                outputs += self._judge(object_id, member, end_ns, row, tick_ns)
        return outputs

    def _judge(
        self, object_id: str, member: _Member, end_ns: int, row: Floats, tick_ns: int
    ) -> list[AssessorOutput]:
        verdict = member.vector.update(row[1:2], row[0:1])
        score, shares = float(verdict.scores[0]), verdict.shares[0]
        slot = np.zeros(1, dtype=np.intp)
        watched = member.score.update(slot, np.array([end_ns]), np.array([score]))
        high = float(watched.high[0])
        odd = bool(watched.alarmed[0]) and score > high
        if object_id not in self.alarms:
            if not odd:
                return []
            alarm = _raised(object_id, member, end_ns, score, high, shares, tick_ns)
            self.alarms[object_id], member.calm = alarm, 0
            status, parent = FulfilmentStatus.NOT_FULFILLED, alarm.context.parent_id
            return [alarm, trouble_of(alarm, status, end_ns, score, parent)]
        member.calm = 0 if odd or score > high else member.calm + 1
        return [] if member.calm < CALM_WINDOWS else self._ended(object_id, end_ns, "")

    def _ended(self, object_id: str, at_ns: int, why: str) -> list[AssessorOutput]:
        alarm = self.alarms.pop(object_id, None)
        if alarm is None:
            return []
        at_ns = max(at_ns, alarm.changed_at_ns)
        cleared = clear_alarm(alarm, at_ns, why)
        return [cleared, trouble_of(cleared, FulfilmentStatus.FULFILLED, at_ns, None, None)]

    def drop(self, object_id: str, at_ns: int, why: str) -> list[AssessorOutput]:
        """Forget an object and its model; what is open of it ends."""
        self.members.pop(object_id, None)
        return self._ended(object_id, at_ns, why)

    def drop_all(self, at_ns: int, why: str) -> list[AssessorOutput]:
        """Forget all objects: nothing is watched any more."""
        return [each for name in sorted(self.members) for each in self.drop(name, at_ns, why)]

    def state(self) -> dict[str, Any]:
        """Return the state of all objects, in the order of their ids."""
        return {
            "refused": self.refused,
            "objects": [
                {
                    "id": name,
                    "kpis": list(member.kpis),
                    "vector": _bytes(member.vector.snapshot()),
                    "score": _bytes(member.score.snapshot()),
                    "ends": sorted(member.pending),
                    "rows": [member.pending[end_ns] for end_ns in sorted(member.pending)],
                    "alarm": self.alarms.get(name),
                    "calm": member.calm,
                }
                for name, member in sorted(self.members.items())
            ],
        }

    def load(self, state: dict[str, Any], rule: AnomalyRule) -> None:
        """Put state back."""
        self.refused = state["refused"]
        for item in state["objects"]:
            member = _Member(tuple(item["kpis"]), rule)
            member.vector = VectorDetector.restore(item["vector"].tobytes())
            member.score.restore(item["score"].tobytes())
            member.pending = dict(zip(item["ends"], item["rows"], strict=True))
            member.calm = item["calm"]
            self.members[item["id"]] = member
            if item["alarm"] is not None:
                self.alarms[item["id"]] = item["alarm"]


def _bytes(blob: bytes) -> Any:
    return np.frombuffer(blob, dtype=np.uint8)


def _raised(
    object_id: str,
    member: _Member,
    end_ns: int,
    score: float,
    high: float,
    shares: Floats,
    tick_ns: int,
) -> Alarm:
    model = member.vector.model
    first = np.argsort(-shares, kind="stable")[:NAMED_MAX].tolist()
    whole = float(shares.sum()) or 1.0
    named = ", ".join(f"{member.kpis[at]} {shares[at] / whole:.0%}" for at in first)
    trained = (
        f"model pca, trained on {model.rows} rows from {rfc3339(model.from_ns)} to "
        f"{rfc3339(model.until_ns)}"
        if model
        else "no model"
    )
    identity = alarm_id(object_id, OBJECTIVE, end_ns)
    text = (
        f"{len(member.kpis)} KPIs of {object_id} together score {score:.4g}, at most {high:.4g} was "
        f"expected: {named}; {trained}"
    )
    parent = content_id("kpi", object_id, member.kpis[first[0]], end_ns)
    return Alarm(
        context=Context(identity, parent),
        id=identity,
        object_id=object_id,
        objective=OBJECTIVE,
        symptom=SYMPTOM,
        alarm_type=AlarmType.QUALITY_OF_SERVICE,
        probable_cause=PROBABLE_CAUSE,
        severity=PerceivedSeverity.WARNING,
        state=AlarmState.UNACKNOWLEDGED,
        raised_at_ns=end_ns,
        reported_at_ns=tick_ns,
        changed_at_ns=end_ns,
        value=score,
        bound=high,
        unit="1",
        text=text,
        service_affecting=False,
    )
