"""The row that shows how Trimtab itself does."""

from dashboards.panels import events, lines
from dashboards.sdk import builders


def _quantile(metric: str, by: str) -> str:
    labels = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile(0.95, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))"


def add_itself(board: builders.Dashboard) -> builders.Dashboard:
    """Add the row of Trimtab's own health."""
    return _process(_loop(board.with_row(builders.Row("Trimtab itself"))))


def _loop(board: builders.Dashboard) -> builders.Dashboard:
    rate = "[$__rate_interval]"
    return (
        board.with_panel(
            lines(
                "Samples",
                "Samples taken into the journal, by source.",
                [(f"sum by (source) (rate(trimtab_ingest_samples_total{rate}))", "{{source}}")],
                "cps",
                width=8,
            )
        )
        .with_panel(
            events(
                "Gaps",
                "Times when a source gave nothing where something was due.",
                [
                    (
                        f"sum by (source, reason) (increase(trimtab_ingest_gaps_total{rate}))",
                        "{{source}}: {{reason}}",
                    )
                ],
            )
        )
        .with_panel(
            lines(
                "Step and sync, 95th percentile",
                "How long the machines think, and how long the journal's group commit takes.",
                [
                    (_quantile("trimtab_loop_step_duration_seconds", "machine"), "{{machine}}"),
                    (_quantile("trimtab_journal_sync_duration_seconds", ""), "journal sync"),
                ],
                "s",
                width=8,
            )
        )
    )


def _process(board: builders.Dashboard) -> builders.Dashboard:
    rate = "[$__rate_interval]"
    return (
        board.with_panel(
            lines(
                "Since the last turn",
                "Seconds since the loop turned last: it grows when the loop hangs.",
                [("time() - max(trimtab_loop_last_step_timestamp_seconds)", "seconds")],
                "s",
                width=8,
            )
        )
        .with_panel(
            lines(
                "Behind the loop",
                "Frames of the journal that the read model has yet to take in, and turns that it lost.",
                [
                    ("max(trimtab_store_lag_frames)", "read model"),
                    (
                        f"sum by (queue) (increase(trimtab_queue_dropped_total{rate}))",
                        "lost: {{queue}}",
                    ),
                ],
                "short",
                width=8,
            )
        )
        .with_panel(
            lines(
                "Memory, and size of the journal",
                "Resident memory of the process, and the journal on disk.",
                [
                    (
                        "process_resident_memory_bytes and on (job, instance) trimtab_build_info",
                        "memory",
                    ),
                    ("max(trimtab_journal_size_bytes)", "journal"),
                ],
                "bytes",
                width=8,
            )
        )
    )
