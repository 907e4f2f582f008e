"""The few kinds of panel that the dashboards are made of, each with the settings that they all share."""

from dashboards.sdk import (
    PromQueryFormat,
    builders,
    common,
    common_builders,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, RED, GREY, AMBER = "green", "red", "#8e8e8e", "orange"
STATUS = {"1": ("fulfilled", GREEN), "0": ("NOT fulfilled", RED), "-1": ("indeterminate", GREY)}
HEALTH = {"1": ("well", GREEN), "0": ("in trouble", RED), "-1": ("unknown", GREY)}
YES_NO = {"1": ("yes", AMBER), "0": ("no", GREEN)}

Mapping = dict[str, tuple[str, str]]
Query = tuple[str, str]  # PromQL and the legend


def _queries(queries: list[Query], instant: bool = False) -> list[prometheus.Dataquery]:
    built = []
    for index, (expression, legend) in enumerate(queries):
        query = (
            prometheus.Dataquery()
            .datasource(DATASOURCE)
            .expr(expression)
            .legend_format(legend)
            .ref_id(chr(ord("A") + index))
            .format(PromQueryFormat.TIME_SERIES)
        )
        built.append(query.instant() if instant else query.range())
    return built


def _words(mapping: Mapping) -> list[dashboard.ValueMapping]:
    options = {
        value: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(mapping.items())
    }
    return [dashboard.ValueMap(options=options)]


def _steps(*steps: tuple[float | None, str]) -> builders.ThresholdsConfig:
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps])
    )


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs([])
    )


def _tooltip() -> common_builders.VizTooltipOptions:
    return (
        common_builders.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )


def number(
    title: str,
    text: str,
    query: Query,
    *,
    bad_from: float = 1.0,
    unit: str = "none",
    width: int = 4,
) -> stat.Panel:
    """Show one number now, green below `bad_from` and red from there on."""
    return (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .targets(list(_queries([query], instant=True)))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps((None, GREEN), (bad_from, RED)))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .unit(unit)
        .height(4)
        .span(width)
    )


def word(title: str, text: str, query: Query, mapping: Mapping, width: int = 4) -> stat.Panel:
    """Show one state now, as a word."""
    return (
        number(title, text, query, width=width)
        .mappings(_words(mapping))
        .color_mode(common.BigValueColorMode.BACKGROUND)
    )


def states(
    title: str,
    text: str,
    queries: list[Query],
    mapping: Mapping,
    *,
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """Show how states followed each other, as bands."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .targets(list(_queries(queries)))
        .mappings(_words(mapping))
        .show_value(common.VisibilityMode.AUTO)
        .merge_values(True)
        .row_height(0.85)
        .fill_opacity(75)
        .legend(_legend())
        .unit("none")
        .height(height)
        .span(width)
    )


def lines(
    title: str, text: str, queries: list[Query], unit: str, *, width: int = 12, height: int = 8
) -> timeseries.Panel:
    """Show values over time."""
    return (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .targets(list(_queries(queries)))
        .line_width(1)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .legend(_legend())
        .tooltip(_tooltip())
        .unit(unit)
        .height(height)
        .span(width)
    )


def events(title: str, text: str, queries: list[Query], *, width: int = 8) -> timeseries.Panel:
    """Show how often something happened, as stacked bars."""
    return (
        lines(title, text, queries, "short", width=width)
        .draw_style(common.GraphDrawStyle.BARS)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
        .fill_opacity(60)
        .min(0)
        .decimals(0)
    )


def against_bound(
    title: str, text: str, measured: Query, bound: Query, unit: str, width: int = 12
) -> timeseries.Panel:
    """Show what was measured against what was promised, the promise dashed and red."""
    dashed = [
        dashboard.DynamicConfigValue(
            id_val="custom.lineStyle", value={"fill": "dash", "dash": [10, 6]}
        ),
        dashboard.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": RED}),
        dashboard.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
    ]
    return lines(title, text, [measured, bound], unit, width=width).override_by_query("B", dashed)
