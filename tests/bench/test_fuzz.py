"""Every target of the fuzzer bears its seeds and what is near them, and a finding is one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import fuzz


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_seeds_are_read_not_refused(target: str) -> None:
    reads, seeds = fuzz.TARGETS[target]
    for seed in seeds:
        try:
            reads(seed)
        except fuzz.REFUSALS as error:
            pytest.fail(f"the seed is refused: {error}")


@given(st.sampled_from(list(fuzz.TARGETS)), st.integers(0, 200), st.binary(max_size=6))
@settings(max_examples=150, deadline=None)
def test_what_is_near_a_seed_is_borne(target: str, at: int, junk: bytes) -> None:
    seed = fuzz.TARGETS[target][1][0]
    at %= len(seed) + 1
    fuzz.bear(target, seed[:at])
    fuzz.bear(target, seed[:at] + junk + seed[at + len(junk) :])


def test_what_a_target_must_not_raise_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def trips(data: bytes) -> None:
        raise IndexError(len(data))

    monkeypatch.setitem(fuzz.TARGETS, "trips", (trips, (b"x",)))
    with pytest.raises(IndexError):
        fuzz.bear("trips", b"")
