"""The committed dashboards: built from the code, sound by the linter's rules, and every query finds data."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ruamel.yaml import YAML

from dashboards import build
from dashboards.sdk import dashboard as models
from trimtab.telemetry import BY_NAME, MetricKind

FOLDER = Path(__file__).resolve().parent.parent.parent / "dashboards"

UNITS = {"none", "short", "s", "percentunit", "cps", "pps", "bytes"}
COUNTER_FUNCTIONS = {"rate", "irate", "increase"}
PROCESS_METRICS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
GRID_COLUMNS = 24


def without_variables(query: str) -> str:
    """Put something of the right shape where Grafana puts its variables: the parser knows no `$`."""
    return re.sub(r"\$\w+", "x", re.sub(r"\$__\w+", "5m", query))


def nodes(expression: Any) -> Iterator[Any]:
    """Yield every node of a parsed query."""
    yield expression
    for name in ("lhs", "rhs", "expr", "vector_selector", "param"):
        child = getattr(expression, name, None)
        if child is not None:
            yield from nodes(child)
    for child in getattr(expression, "args", None) or ():
        yield from nodes(child)


def selectors(query: str) -> list[Any]:
    """Return the vector selectors of a query as the committed file has it."""
    tree = promql_parser.parse(without_variables(query))
    return [node for node in nodes(tree) if isinstance(node, promql_parser.VectorSelector)]


def declared(name: str) -> Any:
    """Return the declaration behind an exposed name; a histogram exposes three."""
    for suffix in ("_bucket", "_sum", "_count"):
        base = BY_NAME.get(name.removesuffix(suffix))
        if name.endswith(suffix) and base is not None and base.kind is MetricKind.HISTOGRAM:
            return base
    return BY_NAME.get(name)


def test_what_is_committed_is_what_the_code_builds() -> None:
    assert build.main(["--check"]) == 0
    assert {path.name for path in (FOLDER / "json").glob("*.json")} == set(build.boards())


def test_the_check_notices_a_change_and_the_build_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    assert build.main(["--check"]) == 1
    assert "make dashboards" in capsys.readouterr().out
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0


def test_the_sdk_knows_every_key(board: Any) -> None:
    """Reading drops what the schema does not know, so a difference is a misspelt key."""
    again = json.loads(build.rendered(models.Dashboard.from_json(board.plain)))
    assert again == board.plain


def test_queries_name_declared_metrics_and_labels(board: Any) -> None:
    queries = board.targets() + [(name, selector) for name, selector, _ in board.label_values()]
    checked = 0
    for where, query in queries:
        for selector in selectors(query):
            if selector.name in PROCESS_METRICS:
                continue
            metric = declared(selector.name)
            assert metric is not None, f"{where}: {selector.name} is not declared"
            used = {matcher.name for matcher in selector.matchers.matchers}
            assert used <= set(metric.labels), f"{where}: {used - set(metric.labels)}"
            checked += 1
    for _, selector, label in board.label_values():
        (only,) = selectors(selector)
        assert label in BY_NAME[only.name].labels
    assert checked >= len(queries)


def test_legends_name_labels_that_the_query_keeps(board: Any) -> None:
    for panel in board.panels():
        for target in panel["targets"]:
            known = {"le", "job", "instance"}
            for selector in selectors(target["expr"]):
                metric = declared(selector.name)
                known |= set(metric.labels) if metric else set()
            used = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]))
            assert used <= known, (panel["title"], used - known)


# The rules of grafana/dashboard-linter that apply. Four of its rules want variables `job` and `instance`: Trimtab is
# one process and its series carry tenant and service instead. The Loki rules have nothing to judge.


def test_rule_template_datasource(board: Any) -> None:
    sources = [v for v in board.plain["templating"]["list"] if v["type"] == "datasource"]
    assert [(v["name"], v["label"], v["query"]) for v in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


def test_rule_template_promql_parses(board: Any) -> None:
    assert {name for name, _, _ in board.label_values()} == {"tenant", "service", "kpi"}
    for _, selector, _ in board.label_values():
        assert promql_parser.parse(without_variables(selector))


def test_rule_template_reloads_on_time_change(board: Any) -> None:
    queried = [v for v in board.plain["templating"]["list"] if v["type"] == "query"]
    assert {v["refresh"] for v in queried} == {2}
    assert all(v["includeAll"] and v["allValue"] == ".*" for v in queried)


def test_rule_panel_datasource(board: Any) -> None:
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    for panel in board.panels():
        assert panel["datasource"] == wanted, panel["title"]
        assert all(target["datasource"] == wanted for target in panel["targets"])
    assert all(a["datasource"] == wanted for a in board.plain["annotations"]["list"])


def test_rule_panel_title_and_description(board: Any) -> None:
    titles = [panel["title"] for panel in board.plain["panels"]]
    assert len(set(titles)) == len(titles)
    for panel in board.panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]


def test_rule_panel_units(board: Any) -> None:
    found = {panel["title"]: panel["fieldConfig"]["defaults"]["unit"] for panel in board.panels()}
    assert set(found.values()) <= UNITS, found


def test_rule_panel_has_targets_with_ids_of_their_own(board: Any) -> None:
    for panel in board.panels():
        ids = [target["refId"] for target in panel["targets"]]
        assert ids, panel["title"]
        assert len(set(ids)) == len(ids), panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"])


def test_rule_target_promql_parses(board: Any) -> None:
    for where, query in board.targets():
        assert promql_parser.parse(without_variables(query)), where


def test_rule_target_uses_rate_interval(board: Any) -> None:
    for where, query in board.targets():
        assert set(re.findall(r"\[([^\]]+)\]", query)) <= {"$__rate_interval"}, where


def test_rule_target_aggregates_counters(board: Any) -> None:
    for where, query in board.targets():
        tree = promql_parser.parse(without_variables(query))
        rated = {
            selector.name
            for node in nodes(tree)
            if isinstance(node, promql_parser.Call) and node.func.name in COUNTER_FUNCTIONS
            for selector in nodes(node)
            if isinstance(selector, promql_parser.VectorSelector)
        }
        counters = {s.name for s in selectors(query) if s.name.endswith(("_total", "_bucket"))}
        assert counters == rated, where


def test_rule_dashboard_is_not_editable(board: Any) -> None:
    assert board.plain["editable"] is False
    assert board.plain["uid"].startswith("trimtab-")
    assert board.plain["schemaVersion"] >= 36


def test_panels_have_stable_ids_and_do_not_overlap(board: Any) -> None:
    ids = [panel["id"] for panel in board.plain["panels"]]
    assert ids == list(range(1, len(ids) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in board.plain["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= GRID_COLUMNS, panel["title"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_provisioning_points_at_what_there_is() -> None:
    yaml = YAML(typ="safe")
    sources = yaml.load((FOLDER / "provisioning/datasources/trimtab.yaml").read_text("utf-8"))
    (source,) = sources["datasources"]
    assert (sources["apiVersion"], source["type"]) == (1, "prometheus")
    assert source["uid"] == "trimtab-prometheus"
    providers = yaml.load((FOLDER / "provisioning/dashboards/trimtab.yaml").read_text("utf-8"))
    (provider,) = providers["providers"]
    assert (providers["apiVersion"], provider["type"]) == (1, "file")
    assert provider["allowUiUpdates"] is False


def test_every_query_finds_data_in_a_real_prometheus(
    prometheus: Any, unanswered: Callable[[Any], list[str]]
) -> None:
    assert unanswered(prometheus) == []
