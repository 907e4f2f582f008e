"""What happened, newest first: alarms, decisions, actions, verifications and notices in one list."""

from dataclasses import dataclass

from api.console.words import (
    ACTION_KIND,
    ACTION_STATE,
    OUTCOME,
    SEVERITY,
    VERDICT,
    VERIFYING,
    Label,
    amount,
    short,
    spaced,
)
from api.ports import Assurance
from api.scopes import Principal
from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm
from trimtab.domain.decision import Decision
from trimtab.domain.input import Notice
from trimtab.domain.verification import Verification
from trimtab.store.questions import (
    ActionFilter,
    AlarmFilter,
    DecisionFilter,
    PageRequest,
    VerificationFilter,
)

ENTRIES_MAX = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    at_ns: int
    key: str
    kind: str
    label: Label
    title: str
    detail: str
    href: str = ""


async def timeline(source: Assurance, principal: Principal) -> list[Entry]:
    """Return the newest entries that the caller may see."""
    page = PageRequest(ENTRIES_MAX)
    found: list[Entry] = []
    alarms = await source.alarms(AlarmFilter(tenant=principal.tenant), page)
    for alarm in alarms.items:
        found += alarm_entries(alarm)
    if principal.provider:
        actions = await source.actions(ActionFilter(), page)
        decision_of = {action.id: action.decision_id for action in actions.items}
        found += [action_entry(action) for action in actions.items]
        decisions = await source.decisions(DecisionFilter(), page)
        found += [decision_entry(decision) for decision in decisions.items]
        verifications = await source.verifications(VerificationFilter(), page)
        for item in verifications.items:
            found.append(verification_entry(item, decision_of.get(item.action_id, "")))
        found += [notice_entry(notice) for notice in (await source.notices(page)).items]
    return sorted(found, key=lambda entry: (-entry.at_ns, entry.key))[:ENTRIES_MAX]


def alarm_entries(alarm: Alarm) -> list[Entry]:
    """Return the raising of an alarm and, once it is over, its clearing."""
    name = short(alarm.object_id)
    raised = Label(
        "Alarm", SEVERITY[alarm.severity].tone if alarm.cleared_at_ns is None else "quiet"
    )
    title = f"{spaced(alarm.symptom or alarm.objective)}: {name}"
    value, bound = amount(alarm.value, alarm.unit), amount(alarm.bound, alarm.unit)
    detail = f"{value} against a bound of {bound}"
    entries = [Entry(alarm.raised_at_ns, f"{alarm.id}-raised", "alarm", raised, title, detail)]
    if alarm.cleared_at_ns is not None:
        title = f"{spaced(alarm.objective)} of {name} is within its bound again"
        cleared = Label("Cleared", "good")
        entries.append(
            Entry(alarm.cleared_at_ns, f"{alarm.id}-cleared", "alarm", cleared, title, "")
        )
    return entries


def decision_entry(decision: Decision) -> Entry:
    """Return a decision's line."""
    href = f"/decisions/{decision.id}"
    title = decision.policy
    label = OUTCOME[decision.outcome]
    return Entry(decision.at_ns, decision.id, "decision", label, title, decision.reason, href)


def action_entry(action: Action) -> Entry:
    """Return an action's line, by its latest change."""
    title = f"{ACTION_KIND[action.kind]} {short(action.target_id)}"
    label = ACTION_STATE[action.state]
    href = f"/decisions/{action.decision_id}"
    said = action.operation is not None and action.detail == action.operation.state
    detail = f"via {action.actuator}" if said or not action.detail else action.detail
    return Entry(action.changed_at_ns, action.id, "action", label, title, detail, href)


def verification_entry(item: Verification, decision_id: str) -> Entry:
    """Return a verification's line: under way, or its verdict."""
    label = VERDICT[item.verdict] if item.verdict else VERIFYING
    at_ns = item.ended_at_ns if item.ended_at_ns is not None else item.started_at_ns
    href = f"/decisions/{decision_id}" if decision_id else ""
    detail = item.reason or item.expect
    return Entry(at_ns, item.id, "verification", label, item.policy, detail, href)


def notice_entry(notice: Notice) -> Entry:
    """Return a notice's line."""
    label = Label("Notice", "quiet")
    return Entry(notice.at_ns, notice.id, "notice", label, notice.subject, notice.text)
