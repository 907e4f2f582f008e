"""The lab's configuration, written from its lab.json: what `trimtab demo` runs with."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TOKEN_VARIABLE = "TRIMTAB_DEMO_TOKEN"
VIM_PASSWORD_VARIABLE = "TRIMTAB_DEMO_VIM_PASSWORD"
ALL_SCOPES = ["read", "operate", "ingest", "metrics", "callback"]
# Tried on two noisy cores: p95 is 3 to 15 ms when all is well, 55 ms on a noisy host.
DELAY_BOUND_SECONDS = 0.040
LOSS_BOUND_RATIO = 0.05
PROBES_PER_SECOND = 20.0
FLOWS = 8
LEAK_BOUND_BYTES = 40_000_000.0
HEADING = "# Written by `trimtab demo` for the lab that it started. Profile `lab`: `trimtab run` refuses it.\n"


def lab_configuration(state: Mapping[str, Any], *, port: int, directory: Path) -> str:
    """Return the text of a trimtab.yaml for a lab; `state` is its lab.json.

    The API's token and the VIM's password are expected in the environment.
    """
    document: dict[str, Any] = {
        "format": 1,
        "tenants": sorted({service["tenant"] for service in state["services"]}),
        "loop": {"cadence": "250ms", "snapshot_every": "15s"},
        "store": {"directory": str(directory)},
        "api": {
            "port": port,
            "tokens": [{"name": "demo", "token_env": TOKEN_VARIABLE, "scopes": ALL_SCOPES}],
        },
        "kpi_defaults": {"granularity": "1s", "window": "5s"},
        "services": [_service(service) for service in state["services"]],
        "topology": {"objects": [f"provider/vnf/{vnf['name']}" for vnf in state["vnfs"]]},
        "kpis": _kpis(),
        "conditions": _conditions(),
        "bindings": _bindings(),
        "collectors": [*_collectors(state), _notifications(state, port)],
        "actuators": _actuators(state, directory),
        "actions": {
            "heal": "vnfm", "scale_out": "vnfm", "scale_in": "vnfm", "migrate": "vim",
            "hand_over": "people", "notify": "people",
        },
        "policies": {"paths": ["shipped"], "profile": "lab"},
    }  # fmt: skip
    text = StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.dump(document, text)
    return HEADING + text.getvalue()


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": service["id"],
        "uses": [f"provider/vnf/{name}" for name in service["chain"]],
        "interval": "1d",
        "objectives": [
            {"name": "delay", "kpi": "frame_delay_p95", "at_most": DELAY_BOUND_SECONDS,
             "hysteresis": 0.005, "raise_after": "2s", "clear_after": "1s"},
            {"name": "loss", "kpi": "frame_loss_ratio", "at_most": LOSS_BOUND_RATIO,
             "hysteresis": 0.01, "raise_after": "1s", "clear_after": "1s", "severity": "critical"},
            {"name": "delay-variation", "kpi": "frame_delay_variation", "at_most": 0.2,
             "severity": "minor", "raise_after": "5s", "clear_after": "1s", "target": 0.95},
        ],
    }  # fmt: skip


def _kpi(name: str, of: str, series: str, statistic: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "of": of, "series": series, "statistic": statistic, "unit": unit, **more}


def _kpis() -> list[dict[str, Any]]:
    forward = {"where": {"direction": "forward"}, "percentile": 95.0}
    return [
        _kpi("frame_delay_p95", "service", "probe_delay_seconds", "percentile", "seconds", **forward),
        _kpi("frame_delay_variation", "service", "probe_delay_seconds", "variation", "seconds", **forward),
        _kpi("guest_up", "vnfc", "host_guest_up", "last", "ratio", window="2s"),
        _kpi("reachable", "vnfc", "up", "max", "ratio", window="3s"),
        _kpi("received_rate", "vnfc", "vnf_packets_received_total", "rate", "packets_per_second"),
        _kpi("drop_ratio", "vnfc", "vnf_packets_dropped_total", "ratio", "ratio",
             divisor="vnf_packets_received_total"),
        _kpi("queue_fill", "vnfc", "vnf_queue_depth_packets", "mean_ratio", "ratio",
             divisor="vnf_queue_limit_packets"),
        _kpi("memory", "vnfc", "vnf_memory_bytes", "max", "bytes"),
        _kpi("pressure_stall", "host", "host_pressure_stall_ratio", "mean", "ratio", window="3s"),
        _kpi("host_reachable", "host", "up", "max", "ratio", window="4s"),
    ]  # fmt: skip


def _conditions() -> list[dict[str, Any]]:
    processing = {"alarm_type": "processingErrorAlarm", "severity": "major"}
    return [
        {"name": "process", "of": "vnfc", "kpi": "guest_up", "at_least": 1.0,
         "symptom": "process-gone", "probable_cause": "softwareError", **processing},
        {"name": "answers", "of": "vnfc", "kpi": "reachable", "at_least": 1.0,
         "symptom": "unreachable", "probable_cause": "softwareError", **processing},
        {"name": "drops", "of": "vnfc", "kpi": "drop_ratio", "at_most": 0.05, "raise_after": "1s",
         "symptom": "overload", "probable_cause": "congestion"},
        {"name": "memory", "of": "vnfc", "kpi": "memory", "at_most": LEAK_BOUND_BYTES,
         "symptom": "leak", "probable_cause": "outOfMemory", **processing},
        {"name": "stall", "of": "host", "kpi": "pressure_stall", "at_most": 0.3, "hysteresis": 0.05,
         "raise_after": "1s", "symptom": "pressure", "probable_cause": "cpuCyclesLimitExceeded",
         "alarm_type": "equipmentAlarm"},
        {"name": "host", "of": "host", "kpi": "host_reachable", "at_least": 1.0,
         "symptom": "unreachable", "probable_cause": "underlyingResourceUnavailable",
         "alarm_type": "equipmentAlarm", "severity": "critical"},
    ]  # fmt: skip


def _bindings() -> list[dict[str, Any]]:
    return [
        {"match": {"__name__": "~probe_.*"}, "object": "{service}"},
        {"match": {"__name__": "~host_guest_.*"}, "object": "provider/vnfc/{vnfc}"},
        {"match": {"job": "vnf"}, "object": "provider/vnfc/{vnfc}"},
        {"match": {"job": "host"}, "object": "provider/host/{host}"},
    ]


def _collectors(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "kind": "prometheus",
            "name": "lab",
            "http": [state["sd_url"]],
            "refresh_seconds": 1.0,
            "removal_refreshes": 3,
            "interval_seconds": 1.0,
            "timeout_seconds": 0.9,  # longer than the longest stop of a noisy host
            "drop_labels": ["instance", "host", "server_id", "vnf_instance_id", "vnfc_instance_id"],
            "inventory": [
                {
                    "match": {"job": "vnf"},
                    "object": "provider/vnfc/{vnfc}",
                    "part_of": "provider/vnf/{vnf}",
                    "runs_on": "provider/host/{host}",
                    "aliases": {
                        "object": {"vim": "{server_id}", "vnfm.vnfc": "{vnfc_instance_id}"},
                        "part_of": {"vnfm": "{vnf_instance_id}"},
                    },
                },
                {"match": {"job": "host"}, "object": "provider/host/{host}"},
            ],
        },
        {
            "kind": "stamp",
            "name": "probes",
            "clock_synchronised": True,  # one machine, one clock
            "sessions": [
                {
                    "service": service["id"],
                    "address": f"{service['probe_address'][0]}:{service['probe_address'][1]}",
                    "flows": FLOWS,
                    "rate_per_second": PROBES_PER_SECOND,
                    "timeout_seconds": 1.0,
                }
                for service in state["services"]
            ],
        },
    ]


def _notifications(state: Mapping[str, Any], port: int) -> dict[str, Any]:
    return {
        "kind": "sol003",
        "name": "lcm",
        "api_root": state["vnfm_url"],
        "callback_url": f"http://127.0.0.1:{port}/ingest/lcm",
        "callback": {"username": "vnfm", "secret_env": TOKEN_VARIABLE},
        "actuator": "vnfm",
    }


def _actuators(state: Mapping[str, Any], directory: Path) -> list[dict[str, Any]]:
    vim = state["vim"]
    login = {key: vim[key] for key in ("auth_url", "username", "project_name",
                                       "user_domain_name", "project_domain_name")}  # fmt: skip
    return [
        {"kind": "sol003", "name": "vnfm", "api_root": state["vnfm_url"], "version": "2.3.0"},
        {
            "kind": "openstack",
            "name": "vim",
            "region_name": vim["region_name"],
            "auth": {**login, "password_env": VIM_PASSWORD_VARIABLE},
        },
        {"kind": "record", "name": "people", "path": str(directory.parent / "handed-over.jsonl")},
    ]
