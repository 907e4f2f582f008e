"""The one dashboard: how the services do, what is wrong, what was done about it, and how Trimtab itself does."""

from dashboards.itself import add_itself
from dashboards.panels import (
    DATASOURCE,
    HEALTH,
    STATUS,
    YES_NO,
    against_bound,
    events,
    lines,
    number,
    states,
    word,
)
from dashboards.sdk import builders, dashboard, timeseries

UID = "trimtab-service-assurance"
SERVICE = 'tenant=~"$tenant", service=~"$service"'
RESOURCES = ".*/(host|vm|vnfc|vnf|link)/.*"


def build() -> dashboard.Dashboard:
    """Return the whole dashboard."""
    board = (
        builders.Dashboard("Trimtab: service assurance")
        .uid(UID)
        .description(
            "Services against their objectives, incidents and what the closed loop did about them. "
            "The same facts as Trimtab's own console."
        )
        .tags(["trimtab", "service-assurance"])
        .readonly()
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .annotation(_actions_annotation())
        .with_variable(_datasource_variable())
        .with_variable(_label_variable("tenant", "Tenant", "trimtab_service_status"))
        .with_variable(
            _label_variable("service", "Service", 'trimtab_service_status{tenant=~"$tenant"}')
        )
        .with_variable(_label_variable("kpi", "KPI", "trimtab_kpi_value"))
    )
    for add in (_services, _status, _objectives, _trouble, _actions, _resources, add_itself):
        board = add(board)
    built = board.build()
    for number_on_board, panel in enumerate(built.panels or [], start=1):
        panel.id_val = (
            number_on_board  # links to a panel stay good when Grafana loads the file anew
        )
    return built


def _datasource_variable() -> builders.DatasourceVariable:
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _label_variable(name: str, label: str, selector: str) -> builders.QueryVariable:
    query = f"label_values({selector}, {name})"
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": f"variable-{name}"})
        .definition(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _actions_annotation() -> builders.AnnotationQuery:
    """Mark each action at the very time when its target accepted it: the series' value is that time."""
    return (
        builders.AnnotationQuery()
        .name("Actions")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color("blue")
        .expr("trimtab_action_started_timestamp_seconds * 1000")
        .step("5s")
        .use_value_for_time(True)
        .title_format("{{kind}}")
        .text_format("{{kind}} of {{target}} accepted")
        .tag_keys("kind,target")
    )


def _services(board: builders.Dashboard) -> builders.Dashboard:
    status = f"trimtab_service_status{{{SERVICE}}}"
    return (
        board.with_row(builders.Row("Services"))
        .with_panel(
            number(
                "Services hurting",
                "Services with an objective that is not fulfilled now.",
                (f"count({status} == 0) or 0 * count({status})", "not fulfilled"),
            )
        )
        .with_panel(
            number(
                "Services unknown",
                "Services with nothing to judge by: telemetry is missing, and policies freeze.",
                (f"count({status} == -1) or 0 * count({status})", "indeterminate"),
            )
        )
        .with_panel(
            number(
                "Alarms",
                "Alarms that are not cleared, of all severities.",
                ("sum(trimtab_alarms_active)", "active"),
            )
        )
        .with_panel(
            number(
                "Incidents",
                "Incidents that are not resolved.",
                ("sum(trimtab_incidents_open)", "open"),
            )
        )
        .with_panel(
            number(
                "Actions under way",
                "Actions that Trimtab started or is about to, and that are not over.",
                ("sum(trimtab_actions_under_way)", "under way"),
            )
        )
        .with_panel(
            word(
                "Loop held",
                "Paused or killed by people, or frozen because telemetry is missing: nothing is started.",
                ('max(trimtab_loop_state{state=~"paused|killed|frozen"})', "held"),
                YES_NO,
            )
        )
    )


def _status(board: builders.Dashboard) -> builders.Dashboard:
    status = f"trimtab_service_status{{{SERVICE}}}"
    return board.with_panel(
        states(
            "Service status",
            "The worst observed status of each service's objectives.",
            [(status, "{{tenant}} / {{service}}")],
            STATUS,
        )
    ).with_panel(
        states(
            "Objectives",
            "The observed status of each objective over its rolling window.",
            [(f"trimtab_objective_status{{{SERVICE}}}", "{{service}}: {{objective}}")],
            STATUS,
        )
    )


def _objectives(board: builders.Dashboard) -> builders.Dashboard:
    def panel(title: str, text: str, unit: str, grafana_unit: str) -> timeseries.Panel:
        labels = f'{SERVICE}, unit="{unit}"'
        return against_bound(
            title,
            text,
            (f"trimtab_objective_value{{{labels}}}", "{{service}}: {{objective}}"),
            (f"max by (objective) (trimtab_objective_bound{{{labels}}})", "bound: {{objective}}"),
            grafana_unit,
        )

    delay = panel(
        "Delay against its bound", "Delay and delay variation, end to end.", "seconds", "s"
    )
    ratio = panel(
        "Ratios against their bounds", "Loss, availability and the like.", "ratio", "percentunit"
    )
    return (
        board.with_row(builders.Row("Objectives against their bounds"))
        .with_panel(delay)
        .with_panel(ratio)
        .with_panel(
            lines(
                "Error budget left",
                "Share of the SLS interval's error budget that is left; below zero it is overspent.",
                [
                    (
                        f"trimtab_objective_budget_left_ratio{{{SERVICE}}}",
                        "{{service}}: {{objective}}",
                    )
                ],
                "percentunit",
            ).max(1)
        )
        .with_panel(
            states(
                "Compliance over the SLS interval",
                "What is reported: it may stay unfulfilled long after the service recovered.",
                [
                    (
                        f"trimtab_objective_compliance_status{{{SERVICE}}}",
                        "{{service}}: {{objective}}",
                    )
                ],
                STATUS,
            )
        )
    )


def _trouble(board: builders.Dashboard) -> builders.Dashboard:
    return (
        board.with_row(builders.Row("What is wrong"))
        .with_panel(
            lines(
                "Alarms by severity",
                "Alarms that are not cleared.",
                [("sum by (severity) (trimtab_alarms_active)", "{{severity}}")],
                "short",
                width=8,
            ).min(0)
        )
        .with_panel(
            events(
                "Incidents opened",
                "Incidents that began in each interval.",
                [("sum(increase(trimtab_incidents_opened_total[$__rate_interval]))", "opened")],
            )
        )
        .with_panel(
            states(
                "Health of the resources",
                "Trouble of hosts, VNFs, VNFCs and links, as the correlator sees it.",
                [
                    (
                        f'min by (object, symptom) (trimtab_resource_status{{object=~"{RESOURCES}"}})',
                        "{{object}}: {{symptom}}",
                    )
                ],
                HEALTH,
                width=8,
            )
        )
    )


def _actions(board: builders.Dashboard) -> builders.Dashboard:
    return (
        board.with_row(builders.Row("What was done"))
        .with_panel(
            events(
                "Decisions",
                "Decisions by outcome, refusals included; the console shows why.",
                [
                    (
                        "sum by (policy, outcome) "
                        "(increase(trimtab_decisions_total[$__rate_interval])) > 0",
                        "{{policy}}: {{outcome}}",
                    )
                ],
            )
        )
        .with_panel(
            events(
                "Actions",
                "Actions that entered a state: accepted by the target, over, or of unknown outcome.",
                [
                    (
                        'sum by (kind, state) (increase(trimtab_actions_total{state=~"accepted|succeeded'
                        '|failed|unknown|deferred"}[$__rate_interval])) > 0',
                        "{{kind}}: {{state}}",
                    )
                ],
            )
        )
        .with_panel(
            events(
                "Verifications",
                "Did it help? An ineffective action climbs the ladder or goes to people.",
                [
                    (
                        "sum by (verdict) (increase(trimtab_verifications_total[$__rate_interval])) > 0",
                        "{{verdict}}",
                    )
                ],
            )
        )
    )


def _resources(board: builders.Dashboard) -> builders.Dashboard:
    return (
        board.with_row(builders.Row("VNFs and hosts"))
        .with_panel(
            lines(
                "Utilisation, loss and pressure",
                "KPIs of VNFs, VNFCs, links and hosts that are ratios.",
                [
                    (
                        f'trimtab_kpi_value{{object=~"{RESOURCES}", unit="ratio"}}',
                        "{{object}}: {{kpi}}",
                    )
                ],
                "percentunit",
            )
        )
        .with_panel(
            lines(
                "Chosen KPIs",
                "The KPIs chosen above, of any object, each in its own SI unit.",
                [('trimtab_kpi_value{kpi=~"$kpi"}', "{{object}}: {{kpi}} ({{unit}})")],
                "short",
            )
        )
    )
