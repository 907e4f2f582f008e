import re
from pathlib import Path

import pytest

from policies.expression import ExpressionError, Known, Truth, condition, expectation
from policies.names import CONDITION_NAMES, VERIFY_NAMES, example
from policies.reference import BEGIN, END, names_reference

ROOT = Path(__file__).resolve().parents[2]
TRUE, FALSE, UNKNOWN = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN


def names(**values):
    return Known({"cause": {"kind": "vnfc", "kpi": {}}, "kpi": {}, "services": []} | values)


@pytest.mark.parametrize(
    ("source", "truth"),
    [
        ("kpi.a > 0.5", UNKNOWN),
        ("!(kpi.a > 0.5)", UNKNOWN),
        ("kpi.a > 0.5 && false", FALSE),
        ("false && kpi.a > 0.5", FALSE),
        ("kpi.a > 0.5 || true", TRUE),
        ("kpi.a > 0.5 || kpi.b > 0.5", TRUE),
        ("kpi.a > 0.5 && kpi.b > 0.5", UNKNOWN),
        ("has(kpi.a)", FALSE),
        ("has(kpi.b) && kpi.b == 1.0", TRUE),
        ("kpi.b > 0 && kpi.b < 2", TRUE),
        ('kpi["b"] > 0.5', TRUE),
        ("services.all(s, s.fulfilled)", UNKNOWN),
        ("services.exists(s, s.name == 'two' && s.fulfilled)", TRUE),
        ("service.status == 'x'", UNKNOWN),
        ("1.0 / (kpi.b - 1.0) > 0.0", TRUE),
        ("alarms[3].severity == 'major'", UNKNOWN),
        ("cause.kind.startsWith('vn') && cause.kind.matches('^vnf.$')", TRUE),
    ],
)
def test_missing_values_make_unknown_never_an_exception(source, truth):
    known = names(
        kpi={"b": 1.0},
        services=[{"name": "one"}, {"name": "two", "fulfilled": True}],
        service={},
        alarms=[],
    )
    assert condition(source).evaluate(known).truth is truth


def test_what_was_missing_is_said():
    assert condition("kpi.a > 0.5").evaluate(names()).detail == "no value for a"


@pytest.mark.parametrize("compile_it", [condition, expectation])
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x" * 2001, "over 2000 characters"),
        ("true ||", "not CEL"),
        ("cause.kind", "not true or false"),
        ("cause.confidence + 1 > 1.0", "numbers as 1.0"),
        ("cause.kind.size.x", "is a string and has no field"),
        ('kpi["a" + "b"] > 1.0', "computed"),
        ("now() > 1", "unknown function `now`"),
        ("timestamp('2026-01-01T00:00:00Z') > timestamp('x')", "unknown function `timestamp`"),
        ("s.fulfilled && services.all(s, s.fulfilled)", "unknown name `s`"),
        ("services.all(s, s.fulfilled) && s.fulfilled", "unknown name `s`"),
    ],
)
def test_what_cannot_be_right_is_refused(compile_it, source, said):
    with pytest.raises(ExpressionError) as caught:
        compile_it(source)
    assert said in str(caught.value)


def test_texts_and_comments_hide_no_names():
    found = condition('cause.name == "kpi.nonsense" // caus.kind\n && cause.kind != \'a"b\'', set())
    assert found.paths == ("cause.kind", "cause.name")


def test_the_names_that_an_expression_reads_are_known():
    found = condition(
        "services.exists(s, s.kpi.loss > 0.1) && cause.kpi.fill > 0.5 && kpi.fill > 0.0"
    )
    assert found.paths == ("cause.kpi.fill", "kpi.fill", "services")
    assert found.kpis == ("fill", "loss")
    assert found.roots == ("cause", "kpi", "services")


def test_verification_sees_more_than_a_condition():
    assert set(VERIFY_NAMES) - set(CONDITION_NAMES) == {"target", "action"}
    with pytest.raises(ExpressionError, match="unknown name `target`"):
        condition("target.healthy")
    assert expectation("target.healthy && action.age_seconds > 5.0").roots == ("action", "target")


def test_every_published_name_is_what_the_decider_gives(world):
    world.crash()
    world.tick()
    world.kpi(world.FW0, "fill", 0.5)
    scene = world.decider._scene(world.now)
    given = scene.facts.condition_names(world.decider._state.incidents["incident-1"])
    assert set(given) == set(CONDITION_NAMES)
    for root in ("incident", "cause", "service"):
        optional = {
            key for key, name in CONDITION_NAMES[root].shape.fields.items() if name.optional
        }
        published = set(CONDITION_NAMES[root].shape.fields)
        assert set(given[root]) <= published
        assert published - optional <= set(given[root])


def test_examples_are_of_the_published_shapes():
    tried = example(CONDITION_NAMES["cause"].shape, {"a"})
    assert (tried["kind"], tried["confidence"], tried["kpi"]) == ("text", 1.0, {"a": 1.0})


def test_the_documentation_holds_the_names_as_they_are():
    text = (ROOT / "docs" / "policies.md").read_text("utf-8")
    assert text[text.index(BEGIN) : text.index(END) + len(END) + 1] == names_reference()


def test_the_documentations_examples_compile():
    text = (ROOT / "docs" / "policies.md").read_text("utf-8")
    (block,) = re.findall(r"```cel\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines():
        assert condition(line, {"drop_ratio"}).source == line


def test_the_documentations_policy_loads(tmp_path):
    from policies.load import load_policies

    text = (ROOT / "docs" / "policies.md").read_text("utf-8")
    block = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "policy.yaml").write_text(block, "utf-8")
    (policy,) = load_policies([str(tmp_path)], "production").policies
    assert policy.name == "heal-hung-vnfc"
