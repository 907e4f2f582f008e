"""Identifiers that derive from content, so that a replay, another batch border or another shard names things alike."""

import hashlib

ID_BYTES = 10
SEPARATOR = "\x1f"


def content_id(kind: str, *parts: str | int) -> str:
    """Return `kind-<20 hex digits>` from the parts that make the thing what it is.

    Never from uuid4, `hash()`, a shard's number or a batch's sequence: those differ between two runs
    over the same inputs.

    >>> content_id("alarm", "acme/service/vpn", "delay", 5)
    'alarm-3cbf96590dc2b2294526'
    """
    text = SEPARATOR.join((kind, *map(str, parts)))
    return f"{kind}-{hashlib.blake2b(text.encode(), digest_size=ID_BYTES).hexdigest()}"
