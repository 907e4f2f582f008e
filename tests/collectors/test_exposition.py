"""The decoder of text expositions: by hand-made pages, and against prometheus_client's parser."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text004

from collectors.exposition import SKIPPED, MalformedExposition, PageReader, is_openmetrics


class Names:
    """Gives every series a number, and remembers it."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    def resolve(self, name: str, labels: dict[str, str]) -> int:
        return self.known.setdefault((name, tuple(sorted(labels.items()))), len(self.known))


def read(
    text: str, *, metrics: bool = False, twice: bool = True
) -> list[tuple[str, dict[str, str], float, int]]:
    """Decode a page, a second time from what was remembered, and return its samples."""
    names = Names()
    reader = PageReader(names.resolve, 1_000)
    page = reader.read(text, openmetrics=metrics)
    if twice:
        again = reader.read(text, openmetrics=metrics)
        assert again.series_id.tolist() == page.series_id.tolist()
        assert [repr(v) for v in again.value] == [repr(v) for v in page.value]
        assert again.time_ns.tolist() == page.time_ns.tolist()
    by_id = {number: series for series, number in names.known.items()}
    return [
        (by_id[i][0], dict(by_id[i][1]), v, t)
        for i, v, t in zip(
            page.series_id.tolist(), page.value.tolist(), page.time_ns.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize(
    "line, expected",
    [
        ("a 1", ("a", {}, 1.0, 0)),
        ("a\t1", ("a", {}, 1.0, 0)),
        ("  a   1  ", ("a", {}, 1.0, 0)),
        ("a 1 1234", ("a", {}, 1.0, 1_234_000_000)),
        ("a 1\t1234", ("a", {}, 1.0, 1_234_000_000)),
        ("a{} 1", ("a", {}, 1.0, 0)),
        ('a{b="c"} 1', ("a", {"b": "c"}, 1.0, 0)),
        ('a{b="c",} 1', ("a", {"b": "c"}, 1.0, 0)),
        ('a { b = "c" , d="e" } 1', ("a", {"b": "c", "d": "e"}, 1.0, 0)),
        ('a{b="c"}1', ("a", {"b": "c"}, 1.0, 0)),
        ('a{b="} 5 {"} 1', ("a", {"b": "} 5 {"}, 1.0, 0)),
        ('a{b="x y"} 1 5', ("a", {"b": "x y"}, 1.0, 5_000_000)),
        ('a{b="# not a comment"} 1', ("a", {"b": "# not a comment"}, 1.0, 0)),
        (r'a{b="\"\\\n\x"} 1', ("a", {"b": '"\\\n\\x'}, 1.0, 0)),
        ('a{b="é\u2028ü"} 1', ("a", {"b": "é\u2028ü"}, 1.0, 0)),
        ("a:b_1 -1.5e-3", ("a:b_1", {}, -0.0015, 0)),
        ("a +Inf", ("a", {}, math.inf, 0)),
    ],
)
def test_a_line_of_text(line: str, expected: Any) -> None:
    assert read(f"# HELP a x\n\n# a comment\n  # another\n{line}\nz 9\n")[0] == expected


@pytest.mark.parametrize(
    "page",
    [
        "a 1",
        "",
        "a\n",
        "a b\n",
        "a 1_000\n",
        "a ١\n",
        "a 1 2 3\n",
        "a 1 1.5\n",
        "a 1 99999999999999999\n",
        "a 1\r\n",
        'a{b="c} 1\n',
        'a{b="c"',
        "a{b=c} 1\n",
        'a{b="c" d="e"} 1\n',
        'a{,b="c"} 1\n',
        'a{b="c",b="d"} 1\n',
        'a{__name__="b"} 1\n',
        'a{b="c"}} 1\n',
        "1a 1\n",
        "é 1\n",
        'a{b="c\n"} 1\n',
        '{b="c"} 1\n',
        "a 1\n\0\n",
    ],
)
def test_a_damaged_page_is_refused_whole(page: str) -> None:
    with pytest.raises(MalformedExposition):
        read(page, twice=False)
    reader = PageReader(Names().resolve, 1_000)
    reader.read('a 1\na{b="c"} 1\n', openmetrics=False)
    with pytest.raises(MalformedExposition):
        reader.read(page, openmetrics=False)


@pytest.mark.parametrize(
    "line, expected",
    [
        ("a 1", ("a", {}, 1.0, 0)),
        ("a 1 1520879607.789", ("a", {}, 1.0, 1_520_879_607_789_000_000)),
        ("a 1 1.000000001", ("a", {}, 1.0, 1_000_000_001)),
        ("a 1 1e3", ("a", {}, 1.0, 1_000_000_000_000)),
        (
            'a_bucket{le="1.0"} 17 # {trace_id="x y",b="# {"} 0.67',
            ("a_bucket", {"le": "1.0"}, 17.0, 0),
        ),
        ("a_total 17 5 # {} 0.67 9.5", ("a_total", {}, 17.0, 5_000_000_000)),
    ],
)
def test_a_line_of_openmetrics(line: str, expected: Any) -> None:
    page = f"# TYPE a counter\n# UNIT a seconds\n# HELP a x\n{line}\n# EOF\n"
    assert read(page, metrics=True) == [expected]
    assert read(page.removesuffix("\n"), metrics=True) == [expected]


@pytest.mark.parametrize(
    "page",
    [
        "a 1\n",
        "a 1\n# EOF\na 1\n",
        "a 1\n# EO",
        "a 1\n\n# EOF\n",
        "a  1\n# EOF\n",
        "# free comment\n# EOF\n",
        'a{b="c",} 1\n# EOF\n',
        "a 1 x\n# EOF\n",
        "a 1 1e400\n# EOF\n",
        "a 1 1e30\n# EOF\n",
        "a 1 -5\n# EOF\n",
        "a 1 # {} \n# EOF\n",
        "a 1 # {} x\n# EOF\n",
        'a 1 # {a="' + "x" * 200 + '"} 1\n# EOF\n',
    ],
)
def test_a_damaged_page_of_openmetrics_is_refused_whole(page: str) -> None:
    with pytest.raises(MalformedExposition):
        read(page, metrics=True, twice=False)


def test_a_page_cut_off_anywhere_is_never_taken_for_a_whole_one() -> None:
    page = '# TYPE a counter\na_total{x="1 2"} 12 5 # {t="i"} 1 2\n# TYPE b gauge\nb 123.5\n# EOF\n'
    read(page, metrics=True)
    for end in range(len(page) - 1):
        with pytest.raises(MalformedExposition):
            read(page[:end], metrics=True, twice=False)


def test_what_is_known_is_not_resolved_again_and_memory_is_bounded() -> None:
    asked: list[str] = []

    def resolve(name: str, labels: dict[str, str]) -> int:
        asked.append(name)
        return SKIPPED if name == "b" else 7

    reader = PageReader(resolve, 4)
    for number in range(20):
        page = reader.read(f"a {number}\nb 5\nc{number} 1\n", openmetrics=False)
        assert page.series_id.tolist() == [7, SKIPPED, 7]
        assert page.value.tolist() == [number, 5.0, 1.0]
    assert 1 < asked.count("a") < 10
    assert len(reader._known) < 10


def test_content_types() -> None:
    assert is_openmetrics("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert not is_openmetrics("text/plain; version=0.0.4")
    assert not is_openmetrics("")


names = st.from_regex(r"[a-z_:][a-z0-9_:]{0,6}", fullmatch=True)
label_names = st.from_regex(r"[a-z][a-z0-9_]{0,4}", fullmatch=True).filter(
    lambda n: n not in ("le", "quantile")
)
# Control characters that a naive splitter would split at are wanted; a line feed is escaped below.
label_values = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["NaN", "+Inf", "-Inf", "1e10", "0.000001", "-0"]),
)
samples = st.tuples(
    names, st.dictionaries(label_names, label_values, max_size=4), values,
    st.one_of(st.none(), st.integers(1, 4_102_444_800_000)),
)  # fmt: skip


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def same(ours: list[tuple[str, dict[str, str], float, int]], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for (name, labels, value, time_ns), sample in zip(ours, theirs, strict=True):
        assert (name, labels) == (sample.name, sample.labels)
        assert value == sample.value or (math.isnan(value) and math.isnan(sample.value))
        stamp = 0 if sample.timestamp is None else float(sample.timestamp)
        assert time_ns / 1e9 == pytest.approx(stamp, rel=1e-12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(samples, min_size=1, max_size=8), st.sampled_from([" ", "  ", "\t"]))
def test_text_is_read_as_prometheus_client_reads_it(many: list[Any], space: str) -> None:
    lines = []
    for name, labels, value, stamp in many:
        inside = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
        braces = f"{{{inside}}}" if labels else ""
        lines.append(f"{name}{braces}{space}{value}" + (f" {stamp}" if stamp is not None else ""))
    page = "\n".join(lines) + "\n"
    theirs = [sample for family in text004(page) for sample in family.samples]
    same(read(page), theirs)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(label_names, label_values, max_size=4),
    st.integers(0, 10**9),
    st.one_of(st.none(), st.integers(1, 4_102_444_800)),
    st.booleans(),
)
def test_openmetrics_is_read_as_prometheus_client_reads_it(
    labels: dict[str, str], value: int, stamp: int | None, exemplar: bool
) -> None:
    inside = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
    line = f"x_total{{{inside}}} {value}" + (f" {stamp}.25" if stamp is not None else "")
    line += ' # {trace_id="a # } b"} 0.5 1.5' if exemplar else ""
    page = f"# TYPE x counter\n{line}\n# TYPE y gauge\ny -1.5e3\n# EOF\n"
    theirs = [sample for family in openmetrics(page) for sample in family.samples]
    same(read(page, metrics=True), theirs)
