"""Checks that several collectors make of their settings."""

import re
import ssl
from pathlib import Path


def pattern(value: str | None) -> str | None:
    """Return a setting that is a regular expression. Raises ValueError, as pydantic's validators do, if it is none."""
    try:
        re.compile(value or "")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


def certificates(path: Path | None) -> Path | None:
    """Return a setting that names a file of certificates. Raises ValueError if none can be read from it."""
    try:
        if path is not None:
            ssl.create_default_context(cafile=path)
    except OSError as error:  # an SSLError is one, too
        raise ValueError(f"no certificates can be read from {path}: {error}") from None
    return path
