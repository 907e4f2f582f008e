"""`TRIMTAB_SECTION__KEY` variables over the file's scalars: `TRIMTAB_API__PORT=9000` is `api: {port: 9000}`."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from trimtab.config.document import Document
from trimtab.errors import Finding

PREFIX = "TRIMTAB_"
SEPARATOR = "__"


def override(document: Document, environ: Mapping[str, str]) -> tuple[Document, list[Finding]]:
    """Return the document with the variables' values in it, and what is wrong with those."""
    findings: list[Finding] = []
    if not isinstance(document.data, dict):
        return document, findings
    data = copy.deepcopy(document.data)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or SEPARATOR not in variable:
            continue
        path = variable[len(PREFIX) :].lower().split(SEPARATOR)
        problem = _put(data, path, _scalar(environ[variable]))
        if problem:
            findings.append(
                Finding(variable, 1, 1, problem, "name a section and a key, e.g. TRIMTAB_API__PORT")
            )
    return Document(document.file, data, document.values, document.keys), findings


def _scalar(text: str) -> Any:
    """Read a number or truth as such, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (int, float, bool)) else text


def _put(data: dict[str, Any], path: list[str], value: Any) -> str:
    """Set a scalar; return what is wrong, empty when it is set."""
    for step in path[:-1]:
        following = data.setdefault(step, {})
        if not isinstance(following, dict):
            return f"`{step}` is no section with keys"
        data = following
    if isinstance(data.get(path[-1]), (dict, list)):
        return f"`{path[-1]}` is no scalar"
    data[path[-1]] = value
    return ""
