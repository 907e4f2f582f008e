"""The YAML reader: places, and one clear complaint for what is no sane YAML document."""

import re

import pytest
from pydantic import BaseModel, ConfigDict

from trimtab.config.complaint import did_you_mean
from trimtab.config.document import read_document, validate
from trimtab.config.duration import format_duration, parse_duration
from trimtab.config.load import load
from trimtab.errors import ConfigurationError

SECOND = 1_000_000_000


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    share: float = 0.5


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    items: list[Item]
    by_name: dict[str, Item] = {}


def test_yaml_is_of_version_1_2():
    document = read_document("a: no\nb: 10:30\nc: 012\nd: 1e3\ne: 2026-01-01\nf: true\n", "x.yaml")
    assert document.data == {
        "a": "no", "b": "10:30", "c": 12, "d": 1000.0, "e": "2026-01-01", "f": True,
    }  # fmt: skip


def test_every_value_and_key_has_its_place():
    document = read_document("a:\n  - name: x\n    share: 1\nb: {c: 2}\n", "x.yaml")
    assert document.place(("a", 0, "share")) == (3, 12)
    assert document.place(("a", 0, "share"), of_key=True) == (3, 5)
    assert document.place(("b", "c")) == (4, 8)
    assert document.place(("a", 0, "nothing", "there")) == (2, 5)
    assert document.location(("b",)) == "x.yaml:4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "x.yaml:2:1: `a` is given twice, keep one of them"),
        ("a: [1, 2\n", "x.yaml:2:1: not YAML: "),
        ("a: .nan\n", "x.yaml:1:4: not a number or infinite, write a finite number"),
        ("a: -.inf\n", "x.yaml:1:4: not a number or infinite"),
        ("1: a\n", "x.yaml:1:1: the key 1 is not a text, put it in quotes"),
        ("a: 1\n---\nb: 2\n", "x.yaml:"),
        ("a: !!python/object:os.system x\n", "x.yaml:1:4"),
        ("\t- a", "x.yaml:1:1: not YAML"),
    ],
)
def test_no_sane_document_gives_one_clear_complaint(text, said):
    with pytest.raises(ConfigurationError) as caught:
        read_document(text, "x.yaml")
    assert str(caught.value).startswith(said)
    assert len(caught.value.findings) == 1


def test_a_document_that_unfolds_for_ever_is_refused():
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 12)
    )
    with pytest.raises(ConfigurationError, match="too large or too deep"):
        read_document(bomb, "x.yaml")


def test_a_file_of_unsane_length_is_refused():
    with pytest.raises(ConfigurationError, match="over 4194304 bytes"):
        read_document("#" * (4 << 20) + "##", "x.yaml")


def test_findings_lead_to_the_nested_place():
    text = "items:\n  - name: a\n    shear: 1\n  - {share: much}\nby_name:\n  x: {name: 5}\n"
    findings = validate(Shape, read_document(text, "x.yaml"))
    assert [str(item) for item in sorted(findings)] == [
        "x.yaml:3:5: unknown key `shear`, did you mean `share`?",
        "x.yaml:4:5: `name` is missing, add `name:`",
        "x.yaml:4:13: `share` is the text `much`, not a number, write e.g. 0.5",
        "x.yaml:6:13: `name` is `5`, not a text, write e.g. `name` or put it in quotes",
    ]


def test_what_is_right_is_a_model():
    model = validate(Shape, read_document("items: [{name: a}]\n", "x.yaml"))
    assert isinstance(model, Shape)
    assert model.items[0].share == 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("250ms", 0.25),
        ("30s", 30),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
    ],
)
def test_durations_there_and_back(text, seconds):
    found = parse_duration(text)
    assert found == round(seconds * SECOND)
    assert parse_duration(format_duration(found)) == found


@pytest.mark.parametrize("text", ["", "5", "5 m", "-3s", "s", "1y", "500d", "1e9s", "٣s "])
def test_what_is_no_duration_is_refused_with_a_mend(text):
    with pytest.raises(ValueError, match="; write"):
        parse_duration(text)


def test_a_mend_names_the_nearest_or_all():
    assert did_you_mean("heel", ["heal", "migrate"]) == "did you mean `heal`?"
    assert did_you_mean("xyz", ["heal", "migrate"], "actions") == "actions: heal, migrate"
    assert did_you_mean("xyz", [], "actions") == "there are no actions here"


def test_the_documentations_configuration_loads(repo_root, tmp_path):
    text = (repo_root / "docs" / "configuration.md").read_text("utf-8")
    block = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "noc.token").write_text("a-long-enough-secret-of-the-noc", "utf-8")
    (tmp_path / "trimtab.yaml").write_text(block, "utf-8")
    settings = load(tmp_path / "trimtab.yaml", {}, {}, {})
    assert [service.id for service in settings.configuration.services] == ["acme/service/vpn"]
