"""What the lab's processes expose is what a Prometheus parser reads."""

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab.exposition import Exposition


def test_labels_are_escaped():
    page = Exposition()
    page.family("odd", "gauge", "Odd names.")
    page.sample("odd", 1.5, name='a"b\\c\nd')
    (family,) = text_string_to_metric_families(page.encode().decode())
    assert family.samples[0].labels == {"name": 'a"b\\c\nd'}
    assert family.samples[0].value == 1.5


@pytest.mark.alone
def test_every_target_exposes_what_the_contract_names(lab):
    names: dict[str, set[str]] = {"vnf": set(), "host": set()}
    for group in lab.control.get("/sd").json():
        page = httpx2.get(f"http://{group['targets'][0]}/metrics", trust_env=False)
        assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
        for family in text_string_to_metric_families(page.text):
            names[group["labels"]["job"]] |= {sample.name for sample in family.samples}
    assert {
        "vnf_packets_received_total",
        "vnf_packets_forwarded_total",
        "vnf_packets_dropped_total",
        "vnf_queue_depth_packets",
        "vnf_queue_limit_packets",
        "vnf_licensed_rate_packets_per_second",
        "vnf_processing_delay_seconds_sum",
        "vnf_processing_delay_seconds_count",
        "vnf_memory_bytes",
        "process_start_time_seconds",
    } <= names["vnf"]
    assert {
        "host_pressure_stall_ratio",
        "host_guests",
        "host_guest_up",
        "host_guest_cpu_seconds_total",
    } <= names["host"]
