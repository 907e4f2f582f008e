"""Every error that Trimtab raises on purpose.

TrimtabError
    IllegalTransition     a state machine of the domain was asked for a step that it does not allow: a bug
    ConfigurationError    trimtab.yaml, a policy or a mapping is wrong; holds every finding with its place
    JournalError          the journal can't be read or written
        JournalUnwritable     no space, or the device fails: nothing leaves for the world until it works again
        JournalCorrupt        a frame in the middle is damaged, or a format is newer than this code
    CollectorError        a source could not be read; counted as a gap, never fatal
    ActuatorError         a target could not be talked to in a way that leaves no doubt that nothing happened
    StoreError            the read model or history failed; both can be rebuilt from the journal
"""

from dataclasses import dataclass


class TrimtabError(Exception):
    """Be the root of what Trimtab raises on purpose."""


class IllegalTransition(TrimtabError):
    """Report a state change that the domain does not allow."""

    def __init__(self, noun: str, identifier: str, before: str, after: str) -> None:
        super().__init__(f"{noun} {identifier}: {before} may not become {after}")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing wrong in a file: `file:line:column: problem, mend`."""

    file: str
    line: int
    column: int
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.problem}, {self.mend}"


class ConfigurationError(TrimtabError):
    """Hold everything that is wrong with the configuration."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class JournalError(TrimtabError):
    """Report that the journal can't be used."""


class JournalUnwritable(JournalError):
    """Report that nothing can be made durable now."""


class JournalCorrupt(JournalError):
    """Report damage that a crash can't explain, or a format newer than this code."""


class CollectorError(TrimtabError):
    """Report that a source could not be read."""


class ActuatorError(TrimtabError):
    """Report that a target could not be reached, certainly before it accepted anything."""


class StoreError(TrimtabError):
    """Report that a derived store failed."""
