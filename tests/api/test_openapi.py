"""What is published is what is answered: schemathesis asks everything that the OpenAPI document has."""

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi import FastAPI
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = 4


@pytest.fixture(scope="module")
def app(staged: tuple[Any, FastAPI]) -> FastAPI:
    return staged[1]


def test_the_document_is_valid_and_complete(app: FastAPI) -> None:
    document = app.openapi()
    validate(document)
    assert {"/api/v1/services", "/api/v1/events", "/metrics", "/readyz"} <= set(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["security"] == ([] if path == "/healthz" else [{"bearer": []}])
            statuses = set(operation["responses"])
            if path.startswith("/api/v1/"):
                assert {"401", "403", "422", "500"} <= statuses, f"{method} {path}"
                media = operation["responses"]["422"]["content"]
                assert set(media) == {"application/problem+json"}


def test_no_interactive_page_loads_scripts_from_elsewhere(app: FastAPI) -> None:
    paths = {getattr(route, "path", "") for route in app.routes}
    assert not {"/docs", "/redoc"} & paths


def test_nothing_that_is_published_fails(
    staged: tuple[Any, FastAPI], world: Any, tokens: dict[str, str]
) -> None:
    stage, app = staged
    stage.world = world
    headers = {"Authorization": f"Bearer {tokens['noc']}"}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)
    checks: list[Callable[..., Any]] = [
        not_a_server_error, status_code_conformance, content_type_conformance,
        response_schema_conformance,
    ]  # fmt: skip
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path != "/api/v1/events":  # endless: tests/api/test_events.py has it
            asked += _ask(operation, GenerationMode.POSITIVE, checks, headers)
            asked += _ask(operation, GenerationMode.NEGATIVE, checks, headers)
    assert asked > 200


def _ask(
    operation: Any, mode: GenerationMode, checks: list[Callable[..., Any]], headers: dict[str, str]
) -> int:
    """Ask one operation with generated values, good or bad ones; return how often."""
    later = operation.responses.find_by_status_code(501) is not None
    wanted = [check for check in checks if not (later and check is not_a_server_error)]
    asked = 0

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=2 if later else EXAMPLES, deadline=None, database=None,
        derandomize=True, suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        case.validate_response(case.call(headers=headers), checks=wanted)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        assert (
            mode is GenerationMode.NEGATIVE
        )  # an operation that takes nothing can't be asked wrongly
    return asked
