"""Fault scripts: the shipped ones load, wrong ones say why, random ones repeat."""

import pytest

from lab.faults import INJECTORS
from lab.scenario import (
    DEFAULT_TARGETS,
    ONE_OFF,
    RANDOM_TARGETS,
    SCENARIOS,
    ScenarioError,
    load,
    make_fault,
    random_script,
    seconds_of,
)


def test_the_default_script_is_the_demos():
    scenario = load("default")
    assert [f.kind for f in scenario.faults] == ["crash", "hang", "overload", "noisy_host"]
    assert all(f.at_seconds is None for f in scenario.faults), "each waits for the one before"
    assert scenario.faults[2].parameters == {"rate": 1500}


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_script_loads(path):
    assert load(path).faults


def test_every_kind_has_an_injector_and_a_default_target():
    assert set(INJECTORS) == set(DEFAULT_TARGETS)
    assert set(RANDOM_TARGETS) <= set(INJECTORS)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("format: 1\nfaults: [{kind: meteor}]", "there is no fault 'meteor'"),
        ("format: 2\nfaults: []", "format"),
        ("format: 1\nfaults: [{kind: crash, at: soon}]", "no duration"),
        ("format: 1\nfaults: [{target: fw-0}]", "kind"),
        ("format: 1\nfaults: []\nspeed: 9", "speed"),
        ("format: [", "scenario.yaml"),
        ("format: 1\nfaults: [" + "{kind: crash}," * 101 + "]", "more than 100"),
    ],
)
def test_a_wrong_script_says_what_is_wrong(tmp_path, text, part):
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=part):
        load(path)


def test_a_script_that_is_not_there(tmp_path):
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")


def test_durations():
    assert [seconds_of(t) for t in ("250ms", "10s", "1.5s", "2m")] == [0.25, 10.0, 1.5, 120.0]


def test_random_scripts_repeat_by_seed_and_only_ask_for_what_there_is():
    assert random_script(7) == random_script(7)
    scripts = [random_script(seed) for seed in range(200)]
    assert {f.kind for s in scripts for f in s} == set(RANDOM_TARGETS)
    for script in scripts:
        assert 2 <= len(script) <= 5
        lasting = [f.kind for f in script if f.kind not in ONE_OFF]
        assert len(lasting) == len(set(lasting))
        times = [f.at_seconds for f in script]
        assert times == sorted(times)
        for fault in script:
            assert make_fault(fault.kind, fault.target).target in RANDOM_TARGETS[fault.kind]
