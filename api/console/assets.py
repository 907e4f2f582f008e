"""Our script and style, and plotly's, which is served from its installed package and never imported."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.problem import not_found

OURS = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "nonce.js": "text/javascript; charset=utf-8",
}
PLOTLY = "plotly.min.js"
FOR_EVER = "private, max-age=31536000, immutable"
REVALIDATE = "private, no-cache"

router = APIRouter(include_in_schema=False)


@cache
def plotly_path() -> Path:
    """Return where the installed plotly keeps its script. Raises FileNotFoundError without plotly."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package plotly is not installed")
    return Path(spec.origin).parent / "package_data" / PLOTLY


@cache
def _content(name: str) -> tuple[bytes, bytes, str]:
    """Return a file's bytes, the same compressed, and its version."""
    if name == PLOTLY:
        plain = plotly_path().read_bytes()
    else:
        plain = files("api.console").joinpath("static", name).read_bytes()
    return plain, gzip.compress(plain, 6, mtime=0), hashlib.sha256(plain).hexdigest()[:12]


def asset_url(name: str) -> str:
    """Return where a page finds a file; the address changes with its content."""
    if name == PLOTLY:
        at = plotly_path().stat()
        return f"/static/{name}?v={at.st_size:x}-{at.st_mtime_ns:x}"
    return f"/static/{name}?v={_content(name)[2]}"


@router.get("/static/{name}")
async def static(name: str, request: Request) -> Response:
    """Serve one of the few files that there are."""
    if name not in OURS and name != PLOTLY:
        raise not_found(f"file {name}")
    plain, packed, version = await run_in_threadpool(_content, name)
    headers = {
        "ETag": f'"{version}"',
        "Cache-Control": FOR_EVER if "v" in request.query_params else REVALIDATE,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        plain = packed
    return Response(plain, headers=headers, media_type=OURS.get(name, "text/javascript"))
