"""Policy files: what is wrong is said with its place and a mend; what is right comes out resolved."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from policies.load import load_policies, profile_names, resolved
from policies.schema import json_schema, json_schema_text
from trimtab.domain.codec import decode, encode
from trimtab.domain.policy import ActionKind
from trimtab.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
BAD = ROOT / "tests" / "data" / "policies" / "bad"
RULES = ROOT / "policies" / "rules"
KPIS = {"queue_fill", "frame_delay_p95"}
SECOND = 1_000_000_000


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_complaint_has_its_place_and_mend(path):
    with pytest.raises(ConfigurationError) as caught:
        load_policies([str(path)], "lab", KPIS)
    said = str(caught.value).replace(str(path), path.name) + "\n"
    assert said == path.with_suffix(".err").read_text("utf-8")


def test_a_whole_folder_complains_at_once():
    with pytest.raises(ConfigurationError) as caught:
        load_policies([str(BAD)], "lab", KPIS)
    files = {finding.file for finding in caught.value.findings}
    assert len(files) >= len(list(BAD.glob("*.yaml")))


@pytest.mark.parametrize("profile", ["production", "lab"])
def test_the_shipped_rules_load(profile):
    policies = load_policies(["shipped"], profile)
    assert policies.profile == profile
    assert {policy.name for policy in policies.policies} == {
        path.stem for path in RULES.glob("*.yaml")
    }
    for policy in policies.policies:
        assert policy.ladder[-1].kind is ActionKind.HAND_OVER, "every ladder ends with people"
        assert policy.verify.settle_ns + policy.verify.hold_ns <= policy.verify.within_ns


def test_the_profiles_name_the_same_timings():
    yaml = YAML(typ="safe")
    found = [
        yaml.load((ROOT / "policies" / "profiles" / f"{name}.yaml").read_text("utf-8"))["timings"]
        for name in profile_names()
    ]
    assert profile_names() == ["lab", "production"]
    assert {key: set(names) for key, names in found[0].items()} == {
        key: set(names) for key, names in found[1].items()
    }


def test_the_most_important_come_first():
    order = [policy.priority for policy in load_policies(["shipped"], "lab").policies]
    assert order == sorted(order, reverse=True)


def test_resolved_values_are_spelled_out():
    policies = load_policies(["shipped"], "production").policies
    rows = dict(resolved(next(item for item in policies if item.name == "heal-hung-vnfc")))
    assert rows["for"] == "10s"
    assert rows["guard.cooldown"] == "15m"
    assert rows["do 0"] == "heal cause, deadline 10m, retry 15s"


def test_the_hash_is_of_the_content(tmp_path):
    one = load_policies(["shipped"], "lab")
    assert one.hash == load_policies(["shipped"], "lab").hash
    assert one.hash != load_policies(["shipped"], "production").hash


def test_a_policy_set_survives_the_journal():
    policies = load_policies(["shipped"], "lab")
    assert decode(encode(policies)) == policies


def test_literal_durations_and_own_profiles(tmp_path):
    rule = (RULES / "heal-hung-vnfc.yaml").read_text("utf-8").replace("for: fast", "for: 1m30s")
    (tmp_path / "rule.yaml").write_text(rule, "utf-8")
    profile = (ROOT / "policies" / "profiles" / "lab.yaml").read_text("utf-8")
    own = tmp_path / "site.yaml"
    own.write_text(profile.replace("profile: lab", "profile: site"), "utf-8")
    policies = load_policies([str(tmp_path / "rule.yaml")], str(own))
    assert policies.profile == "site"
    assert policies.policies[0].for_ns == 90 * SECOND


def test_one_name_in_two_files_is_told(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text((RULES / "heal-leak.yaml").read_text("utf-8"), "utf-8")
    with pytest.raises(ConfigurationError, match="policy `heal-leak` exists in"):
        load_policies([str(tmp_path)], "lab")


@pytest.mark.parametrize(
    ("paths", "profile", "said"),
    [
        (["nowhere"], "lab", "nowhere:1:1: there is no such file or folder, correct the path"),
        (["shipped"], "labb", "labb:1:1: there is no profile `labb`, did you mean `lab`?"),
    ],
)
def test_wrong_paths_are_told(paths, profile, said):
    with pytest.raises(ConfigurationError) as caught:
        load_policies(paths, profile)
    assert str(caught.value) == said


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_policies([str(tmp_path)], "lab")


def test_the_committed_schema_is_the_generated_one():
    committed = (ROOT / "policies" / "policy.schema.json").read_text("utf-8")
    assert committed == json_schema_text()


def test_the_schema_agrees_with_the_loader():
    Draft202012Validator.check_schema(json_schema())
    validator = Draft202012Validator(json.loads(json_schema_text()))
    yaml = YAML(typ="safe")
    for path in RULES.glob("*.yaml"):
        assert list(validator.iter_errors(yaml.load(path.read_text("utf-8")))) == []
    for name in ("unknown-key", "mode-misspelt", "priority-too-high", "name-missing"):
        wrong = yaml.load((BAD / f"{name}.yaml").read_text("utf-8"))
        assert list(validator.iter_errors(wrong)), name


def test_every_rule_tells_the_editor_its_schema():
    for path in RULES.glob("*.yaml"):
        first = path.read_text("utf-8").splitlines()[0]
        assert first == "# yaml-language-server: $schema=../policy.schema.json"
