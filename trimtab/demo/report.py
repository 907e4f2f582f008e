"""What the demo shows: a live line at a time, and a row a fault at the end."""

from typing import Any

from rich.console import Console
from rich.table import Table

from trimtab.demo.follow import FaultRow

PLAIN_WIDTH = 140


class Reporter:
    """Print progress: coloured in a terminal, plain lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = PLAIN_WIDTH
        self._shown: dict[str, tuple[str | None, ...]] = {}

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        self.console.print(text, style=style or None, markup=False, soft_wrap=True)

    def progress(self, number: int, row: FaultRow) -> None:
        """Print what has become known of a fault since the last call."""
        known = (row.detected_at, row.cause, row.action, row.verdict, row.recovered_at)
        seen = self._shown.get(row.injected_at, (None,) * len(known))
        self._shown[row.injected_at] = known
        words = (
            "detected",
            f"cause    {row.cause}",
            f"action   {row.action}",
            f"verdict  {row.verdict}",
            "recovered",
        )
        moments = (row.detected_at, None, row.acted_at, row.verified_at, row.recovered_at)
        for word, now, before, moment in zip(words, known, seen, moments, strict=True):
            if now is not None and now != before:
                after = row.seconds_after(moment)
                lead = f"  [{number}] " + (
                    f"+{after:5.1f} s  " if after is not None else "           "
                )
                self.say(lead + word)

    def table(self, rows: list[FaultRow], services: list[dict[str, Any]]) -> None:
        """Print the rows at the end."""
        table = Table(title="What became of each fault")
        for heading in (
            "fault",
            "injected",
            "detected",
            "cause named",
            "action",
            "verdict",
            "recovered",
            "SLA lost",
        ):
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(
                f"{row.kind} {row.target}",
                row.injected_at[11:19],
                _after(row, row.detected_at),
                row.cause or "-",
                row.action or "-",
                row.verdict or row.outcome or "-",
                _after(row, row.recovered_at),
                _lost(row),
            )
        self.console.print(table)
        for service in services:
            without = service.get("sla_seconds_lost_without_loop")
            beside = "" if without is None else f"   without the loop {without:.0f} s"
            self.say(
                f"  {service['id']:32} {service['status']:14}"
                f" SLA lost {service['sla_seconds_lost']:.0f} s{beside}"
            )


def _lost(row: FaultRow) -> str:
    if row.sla_seconds_lost is None:
        return "-"
    without = row.sla_seconds_lost_without_loop
    beside = "" if without is None else f" (without the loop {without:.0f} s)"
    return f"{row.sla_seconds_lost:.0f} s{beside}"


def _after(row: FaultRow, moment: str | None) -> str:
    after = row.seconds_after(moment)
    return "-" if after is None else f"+{after:.1f} s"
