"""Timings by name: a rule says `for: fast`, the profile says how long that is."""

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.config.complaint import did_you_mean
from trimtab.config.duration import parse_duration

CATEGORIES = ("for", "cooldown", "settle", "hold", "within", "deadline", "retry")


@dataclass(frozen=True, slots=True)
class Profile:
    """Named durations by category, in nanoseconds."""

    name: str
    timings: Mapping[str, Mapping[str, int]]

    def resolve(self, category: str, text: str) -> int:
        """Return a named or a literal duration. Raises ValueError (`problem; mend`)."""
        named = self.timings[category]
        if text in named:
            return named[text]
        if text[:1].isdigit():
            return parse_duration(text)
        mend = did_you_mean(text, named, f"names of `{category}`")
        raise ValueError(f"profile {self.name} has no `{category}` called `{text}`; {mend}")
