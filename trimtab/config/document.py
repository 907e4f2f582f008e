"""YAML with places: every value and key knows its line and column, so that every complaint can name them.

YAML 1.2 by ruamel's round-trip loader (`no`, `10:30` and `012` stay what they look like; a key given twice is an
error), then plain JSON types, then a strict pydantic model. Both this package and the policies read by it.
"""

import datetime
import json
import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from trimtab.config.complaint import complaints
from trimtab.errors import ConfigurationError, Finding

FILE_BYTES_MAX = 4 << 20
NODES_MAX = 400_000
DEPTH_MAX = 40

Path: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[int, int]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document:
    """Hold one file's content as plain JSON types, and where each key and value stands (from 1)."""

    file: str
    data: Any
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)

    def place(self, path: Path, of_key: bool = False) -> Place:
        """Return line and column of a value (or its key), or of the nearest thing around it that exists."""
        for length in range(len(path), -1, -1):
            here = path[:length]
            whole = length == len(path)
            if whole and of_key and here in self.keys:
                return self.keys[here]
            if here in self.values:
                return self.values[here]
        return (1, 1)

    def finding(self, path: Path, problem: str, mend: str, of_key: bool = False) -> Finding:
        """Return a finding at a path."""
        line, column = self.place(path, of_key)
        return Finding(self.file, line, column, problem, mend)

    def location(self, path: Path) -> str:
        """Return `file:line` of a path."""
        return f"{self.file}:{self.place(path)[0]}"


def read_document(text: str, file: str) -> Document:
    """Parse YAML text. Raises ConfigurationError with the place when it is not one sane YAML document."""
    if len(text.encode()) > FILE_BYTES_MAX:
        raise _wrong(file, (1, 1), f"the file is over {FILE_BYTES_MAX} bytes", "split it")
    loader = YAML(typ="rt", pure=True)
    loader.version = None
    try:
        tree = loader.load(text)
    except DuplicateKeyError as error:
        key = str(error.problem).split('"')[1] if '"' in str(error.problem) else "a key"
        raise _wrong(file, _mark(error), f"`{key}` is given twice", "keep one of them") from error
    except MarkedYAMLError as error:
        problem = (error.problem or "malformed").replace("\n", " ")
        raise _wrong(file, _mark(error), f"not YAML: {problem}", "mend the syntax") from error
    except (YAMLError, ValueError, RecursionError) as error:
        text_of = str(error).splitlines()[0] if str(error) else "malformed"
        raise _wrong(file, (1, 1), f"not YAML: {text_of}", "mend the syntax") from error
    document = Document(file, None)
    plain = _Plain(document)
    return Document(file, plain.convert(tree, (), (1, 1)), document.values, document.keys)


def validate(model: type[ModelT], document: Document, at: Path = ()) -> ModelT | list[Finding]:
    """Return the strict model of a document's part, or every finding in it."""
    part = value_at(document.data, at)
    try:
        return model.model_validate_json(json.dumps(part), strict=True)
    except ValidationError as error:
        return [
            document.finding((*at, *said.path), said.problem, said.mend, said.of_key)
            for said in complaints(model, part, error)
        ]


def value_at(data: Any, path: Path) -> Any:
    """Return what stands at a path of plain data; None where nothing does."""
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


class _Plain:
    """Turns ruamel's tree into JSON types, noting places on the way."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def convert(self, node: Any, path: Path, place: Place) -> Any:
        self._nodes += 1
        if self._nodes > NODES_MAX or len(path) > DEPTH_MAX:
            raise self._refuse(place, "the file is too large or too deep", "split it")
        self._document.values[path] = place
        if isinstance(node, CommentedMap):
            return self._mapping(node, path, place)
        if isinstance(node, CommentedSeq):
            return [
                self.convert(item, (*path, index), _one_based(node.lc.item(index), place))
                for index, item in enumerate(node)
            ]
        return self._scalar(node, place)

    def _mapping(self, node: CommentedMap, path: Path, place: Place) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, value in node.items():
            at_key = _one_based(node.lc.data.get(key), place)
            if not isinstance(key, str):
                raise self._refuse(at_key, f"the key {key!r} is not a text", "put it in quotes")
            at_value = node.lc.data.get(key)
            where = at_key if at_value is None else (at_value[2] + 1, at_value[3] + 1)
            here = (*path, str(key))
            self._document.keys[here] = at_key
            plain[str(key)] = self.convert(value, here, where)
        return plain

    def _scalar(self, node: Any, place: Place) -> Any:
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, str):
            return str(node)
        if isinstance(node, int):
            return int(node)
        if isinstance(node, float):
            if not math.isfinite(node):
                raise self._refuse(place, "not a number or infinite", "write a finite number")
            return float(node)
        if isinstance(node, datetime.date | datetime.datetime):
            return node.isoformat()
        if type(node).__name__ == "ScalarBoolean":
            return bool(node)
        raise self._refuse(
            place, f"a value of the kind {type(node).__name__}", "write a text or a number"
        )

    def _refuse(self, place: Place, problem: str, mend: str) -> ConfigurationError:
        return _wrong(self._document.file, place, problem, mend)


def _one_based(found: Any, otherwise: Place) -> Place:
    return (found[0] + 1, found[1] + 1) if found is not None else otherwise


def _mark(error: MarkedYAMLError) -> Place:
    mark = error.problem_mark or error.context_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _wrong(file: str, place: Place, problem: str, mend: str) -> ConfigurationError:
    return ConfigurationError((Finding(file, place[0], place[1], problem, mend),))
