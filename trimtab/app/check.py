"""`trimtab check`: everything that is wrong, and every timing as it came out."""

from pathlib import Path
from typing import Any

from policies.load import resolved
from trimtab.app.settings import load_settings
from trimtab.errors import ConfigurationError, Finding


def check_configuration(path: Path) -> tuple[tuple[Finding, ...], list[dict[str, Any]]]:
    """Return all findings, and each policy with its resolved values when there are none."""
    try:
        settings = load_settings(path)
    except ConfigurationError as error:
        return error.findings, []
    return (), [
        {
            "name": policy.name,
            "mode": policy.mode.value,
            "location": policy.location,
            "profile": settings.profile,
            "timings": dict(resolved(policy)),
        }
        for policy in settings.policies.policies
    ]
