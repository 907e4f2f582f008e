"""Verifications: did the action help? The provider's own."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.context import Caller, Source
from api.paging import Paging
from api.problem import not_found
from api.responses import READS
from api.view import ListView, next_cursor
from api.views import VerificationView
from trimtab.domain.verification import Verdict
from trimtab.store.questions import VerificationFilter

router = APIRouter(prefix="/api/v1/verifications", tags=["verifications"], responses=READS)


@router.get("")
async def list_verifications(
    source: Source,
    principal: Caller,
    paging: Paging,
    incident_id: Annotated[str | None, Query(max_length=128)] = None,
    action_id: Annotated[str | None, Query(max_length=128)] = None,
    verdict: Verdict | None = None,
) -> ListView[VerificationView]:
    """Return verifications, newest first; a tenant has none."""
    if not principal.provider:
        return ListView(items=[], total=0)
    where = VerificationFilter(incident_id, action_id, verdict)
    page = await source.verifications(where, paging)
    items = [VerificationView.of(item) for item in page.items]
    return ListView(items=items, total=page.total, next=next_cursor(page))


@router.get("/{verification_id}")
async def get_verification(
    verification_id: str, source: Source, principal: Caller
) -> VerificationView:
    """Return one verification."""
    found = await source.verification(verification_id) if principal.provider else None
    if found is None:
        raise not_found(f"verification {verification_id}")
    return VerificationView.of(found)
