"""trimtab.yaml: what is wrong is said with file, line, column and mend; what is right becomes settings."""

from pathlib import Path

import pytest

from actuators import ACTUATORS
from collectors import COLLECTORS
from trimtab.config.lab import TOKEN_VARIABLE, VIM_PASSWORD_VARIABLE, lab_configuration
from trimtab.config.load import load
from trimtab.config.settings import Settings
from trimtab.domain.configuration import AnomalyRule
from trimtab.domain.kpi import Statistic
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.time import NS_PER_SECOND
from trimtab.errors import ConfigurationError

BAD = Path(__file__).resolve().parents[1] / "data" / "config" / "bad"
COLLECTOR_CONFIGS = {kind: plugin.Config for kind, plugin in COLLECTORS.items()}
ACTUATOR_CONFIGS = {kind: plugin.Config for kind, plugin in ACTUATORS.items()}

SMALL = """
format: 1
services:
  - id: acme/service/vpn
    uses: [provider/vnf/fw]
    objectives:
      - {name: delay, kpi: frame_delay_p95, at_most: 0.04}
api: {port: 9000}
"""


def load_text(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "trimtab.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, COLLECTOR_CONFIGS, ACTUATOR_CONFIGS, environ)


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_complaint_has_its_place_and_mend(path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(path, COLLECTOR_CONFIGS, ACTUATOR_CONFIGS, {})
    said = str(caught.value).replace(str(path), path.name) + "\n"
    assert said == path.with_suffix(".err").read_text(encoding="utf-8")


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("frame_delay_p95", "nonsense") + "actions: {heal: nobody}\n"
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, text)
    assert [finding.line for finding in caught.value.findings] == [7, 9]


def test_defaults_and_library(tmp_path: Path) -> None:
    settings = load_text(tmp_path, SMALL)
    kpis = {kpi.name: kpi for kpi in settings.configuration.kpis}
    assert kpis["frame_delay_p95"].statistic is Statistic.PERCENTILE
    assert kpis["frame_delay_p95"].window_ns == 60 * NS_PER_SECOND
    assert settings.profile == "production"
    assert settings.policy_paths == ("shipped",)
    assert settings.directory == tmp_path / "var/trimtab"


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    first = load_text(tmp_path, SMALL).configuration
    again = load_text(tmp_path, "# a comment\n" + SMALL).configuration
    other = load_text(tmp_path, SMALL.replace("0.04", "0.05")).configuration
    assert first.hash == again.hash != other.hash


def test_the_environment_overrides_scalars(tmp_path: Path) -> None:
    settings = load_text(tmp_path, SMALL, TRIMTAB_API__PORT="9100", TRIMTAB_STORE__DIRECTORY="data")
    assert settings.api.port == 9100
    assert settings.directory == tmp_path / "data"


def test_a_wrong_variable_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, SMALL, TRIMTAB_SERVICES__ID="x")
    assert caught.value.findings[0].file == "TRIMTAB_SERVICES__ID"


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n", encoding="utf-8")
    text = SMALL.replace("port: 9000", "tokens: [{name: noc, token_file: token}]")
    (token,) = load_text(tmp_path, text).api.tokens
    assert token.sha256.startswith("f52fbd32b2b3")
    assert "hunter2" not in repr(token)


def test_what_the_lab_gets_is_valid(tmp_path: Path) -> None:
    state = {
        "sd_url": "http://127.0.0.1:1/sd",
        "vnfm_url": "http://127.0.0.1:2",
        "vim": {
            "auth_url": "http://127.0.0.1:3/identity/v3", "username": "u", "password": "p",
            "project_name": "nfv", "user_domain_name": "Default",
            "project_domain_name": "Default", "region_name": "lab",
        },
        "services": [
            {"id": "acme/service/vpn", "tenant": "acme", "name": "vpn", "chain": ["fw"],
             "probe_address": ["127.0.0.1", 4]},
        ],
        "vnfs": [{"name": "fw"}],
    }  # fmt: skip
    text = lab_configuration(state, port=8080, directory=tmp_path / "store")
    secrets = {TOKEN_VARIABLE: "x", VIM_PASSWORD_VARIABLE: "y"}
    settings = load_text(tmp_path, text, **secrets)
    assert settings.profile == "lab"
    assert [kind for kind, _, _ in settings.collectors] == ["prometheus", "stamp", "sol003"]
    assert {name for _, name, _ in settings.actuators} == {"vnfm", "vim", "people"}


def test_a_missing_file_is_one_clear_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "absent.yaml", COLLECTOR_CONFIGS, ACTUATOR_CONFIGS, {})
    assert "can't be read" in str(caught.value)


def test_anomalies_are_watched_only_when_asked_for(tmp_path: Path) -> None:
    assert load_text(tmp_path, SMALL).configuration.anomalies is None
    assert load_text(tmp_path, SMALL + "anomalies: {}\n").configuration.anomalies == AnomalyRule()
    text = "anomalies: {alarms_per_day: 0.5, kpis: [frame_delay_p95], together: [vnf], retrain_every: 6h}\n"
    rule = load_text(tmp_path, SMALL + text).configuration.anomalies
    hours = 3_600 * NS_PER_SECOND
    assert rule == AnomalyRule(0.5, ("frame_delay_p95",), (ObjectKind.VNF,), 6 * hours)


@pytest.mark.parametrize(
    "section, said",
    [
        ("{kpis: [frame_delay_95]}", "there is no KPI `frame_delay_95`"),
        ("{alarms_per_day: 0.0}", "alarms_per_day"),
        ("{together: [router]}", "`router` is not a choice"),
        ("{retrain_every: often}", "`often` is not a duration"),
    ],
)
def test_what_is_wrong_with_anomalies_is_said(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_text(tmp_path, f"{SMALL}anomalies: {section}\n")
    assert [finding.line for finding in caught.value.findings] == [9]


SLS = SMALL.replace(
    "    objectives:",
    """    interval: 1d
    sls:
      consecutive_slots: 4
      maintenance: [{from: 2026-12-01T00:00:00Z, to: "2026-12-01T02:00:00+01:00"}]
      groups: [{name: dual, sets: [[from=a], [from=b]]}]
    objectives:""",
)


def test_how_a_service_is_reckoned_follows_from_its_objectives(tmp_path: Path) -> None:
    text = SMALL + (
        "kpis:\n"
        "  - {name: up, of: service, series: twamp_lost, statistic: availability, unit: ratio,"
        " slot: 2s, loss_threshold: 0.5, consecutive_slots: 5}\n"
    )
    more = "      - {name: up, kpi: up, at_least: 0.99}\n      - {name: p99, kpi: frame_delay_p99, at_most: 1}\napi:"
    (service,) = load_text(tmp_path, text.replace("api:", more)).configuration.services
    terms = service.sls
    assert terms.delay_percentiles == (95.0, 99.0)
    assert (terms.delay_series, terms.loss_series) == ("probe_delay_seconds", "twamp_lost")
    assert (terms.slot_ns, terms.loss_threshold_ratio) == (2 * NS_PER_SECOND, 0.5)
    assert (terms.consecutive_slots, terms.high_loss_run) == (5, 3)
    assert service.periods_ns == (900 * NS_PER_SECOND, 30 * 24 * 3_600 * NS_PER_SECOND)


def test_what_a_service_says_of_its_reckoning_counts(tmp_path: Path) -> None:
    (service,) = load_text(tmp_path, SLS).configuration.services
    assert service.sls.consecutive_slots == 4
    (window,) = service.sls.maintenance
    assert window.end_ns - window.start_ns == 3_600 * NS_PER_SECOND
    assert service.sls.groups[0].sets == (("from=a",), ("from=b",))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("consecutive_slots: 4", "high_loss_run: 10", "high_loss_run 10 of 10 consecutive slots"),
        ("consecutive_slots: 4", "slot: 7s", "measurement interval 15m and slot 7s"),
        ("interval: 1d", "interval: 1500ms", "interval 1s500ms and slot 1s"),
        ("from: 2026-12-01T00:00:00Z", "from: 2026-12-02T00:00:00Z", "ends before it begins"),
        ("from: 2026-12-01T00:00:00Z", "from: 2026-12-01", "has no UTC offset"),
        ("groups: [{", "groups: [{least: 3, ", "`dual` wants 3 of 2 sets"),
    ],
)
def test_what_is_wrong_with_a_reckoning_is_said(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, SLS.replace(before, after))
    assert said in str(caught.value)
