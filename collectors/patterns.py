"""Regular expressions in settings."""

import re


def pattern(value: str | None) -> str | None:
    """Return a setting that is a regular expression. Raises ValueError, as pydantic's validators do, if it is none."""
    try:
        re.compile(value or "")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value
