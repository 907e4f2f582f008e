"""The present inventory, and what the loop tells the NOC about itself. The provider's own."""

from fastapi import APIRouter

from api.context import Caller, Source
from api.paging import Paging
from api.responses import READS
from api.view import ListView, View, next_cursor
from api.views import NoticeView
from api.visibility import provider_only

router = APIRouter(prefix="/api/v1", tags=["inventory"], responses=READS)


class ObjectView(View):
    """A role in the network, and the present native ids of what fills it."""

    id: str
    kind: str
    tenant: str
    name: str
    labels: dict[str, str]
    native_ids: dict[str, str]


class RelationView(View):
    """How a subject depends on an object."""

    subject_id: str
    kind: str
    object_id: str


class TopologyResource(View):
    """Managed objects and what ties them."""

    objects: list[ObjectView]
    relations: list[RelationView]


@router.get("/topology")
async def get_topology(source: Source, principal: Caller) -> TopologyResource:
    """Return the present inventory; its size is bounded where it is gathered."""
    provider_only(principal, "topology")
    found = await source.topology()
    present: dict[str, dict[str, str]] = {}
    for alias in found.aliases:
        if alias.valid_to_ns is None:
            present.setdefault(alias.object_id, {})[alias.source] = alias.native_id
    return TopologyResource(
        objects=[
            ObjectView(
                id=item.id, kind=item.kind, tenant=item.tenant, name=item.name,
                labels=dict(item.labels), native_ids=present.get(item.id, {}),
            )
            for item in found.objects
        ],
        relations=[
            RelationView(subject_id=r.subject_id, kind=r.kind, object_id=r.object_id)
            for r in found.relations
        ],
    )  # fmt: skip


@router.get("/notices")
async def list_notices(source: Source, principal: Caller, paging: Paging) -> ListView[NoticeView]:
    """Return notices, newest first; a tenant has none."""
    if not principal.provider:
        return ListView(items=[], total=0)
    page = await source.notices(paging)
    items = [NoticeView.of(item) for item in page.items]
    return ListView(items=items, total=page.total, next=next_cursor(page))
