"""The one order in which an assessor's outputs of a tick are given out, whatever the number of shards."""

from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment, Trouble
from trimtab.domain.command import CommandResult
from trimtab.domain.evidence import Shifted
from trimtab.domain.input import AssessorOutput, Notice
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.sls import SlsReport

OrderKey = tuple[int, str, str, int, str]


def output_order(value: AssessorOutput) -> OrderKey:
    """Return the sort key (end_ns, object id, name, kind of output, identity).

    Equal keys only occur within one object, hence within one shard, whose own order a stable sort keeps; only KPIs
    come in batches of the shard's own cut.
    """
    match value:
        case KpiBatch():
            return (-1, "", "", 0, "")  # what follows from them comes behind
        case Assessment():
            return (value.end_ns, value.object_id, value.objective, 1, "")
        case Alarm():
            return (value.changed_at_ns, value.object_id, value.objective, 2, "")
        case Trouble():
            return (value.at_ns, value.object_id, value.objective, 3, "")
        case Notice():
            return (value.at_ns, "", value.subject, 4, value.id)
        case CommandResult():
            return (value.at_ns, "", value.command_id, 5, "")
        case Shifted():
            return (0, value.object_id, value.kpi, 7, value.incident_id)
        case SlsReport():
            return (value.end_ns, value.object_id, "", 6, value.context.id)
