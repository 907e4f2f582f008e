"""`trimtab explain ID`: the walk from a value to its causes and on to its effects, from the store on disk."""

import json
from pathlib import Path

from trimtab.app.settings import load_settings
from trimtab.domain.time import rfc3339
from trimtab.errors import TrimtabError
from trimtab.store.questions import ExplainStep
from trimtab.store.read_model import ReadModel


def explain_from_store(config: Path, identifier: str, *, as_json: bool) -> str:
    """Return the printed walk. Raises TrimtabError when nothing has that id."""
    path = load_settings(config).file.directory / "read_model.sqlite"
    if not path.exists():
        raise TrimtabError(f"{path} does not exist: has the loop run with {config}?")
    model = ReadModel(path)
    try:
        found = model.explain(identifier)
    finally:
        model.close()
    if found is None:
        raise TrimtabError(f"nothing known has the id {identifier}")
    if as_json:
        return json.dumps(
            {
                "subject": _plain(found.subject),
                "causes": [_plain(step) for step in found.causes],
                "effects": [_plain(step) for step in found.effects],
            },
            indent=2,
        )
    lines = [_line(step, "  because ") for step in reversed(found.causes)]
    lines.append(_line(found.subject, "* "))
    lines.extend(_line(step, "  so      ") for step in found.effects)
    return "\n".join(lines)


def _plain(step: ExplainStep) -> dict[str, str | None]:
    return {
        "id": step.id,
        "kind": step.kind,
        "at": None if step.at_ns is None else rfc3339(step.at_ns),
        "text": step.text,
    }


def _line(step: ExplainStep, lead: str) -> str:
    at = "" if step.at_ns is None else rfc3339(step.at_ns)
    return f"{lead}{at}  {step.kind:12} {step.text}  [{step.id}]"
