"""What browsers are told to refuse, and which posts are refused here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mooring.model.errors import (
    AccessDeniedException,
    NotFoundException,
    ServiceError,
    UnrecognizedClientException,
)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not none at all: browsers would then post with the origin null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Of each answer. Nothing inline, nothing from elsewhere, in no frame, kept nowhere."""


def status_of(error: ServiceError) -> int:
    """The status of a page that tells of an error: some are 400 to clients of the API."""
    if isinstance(error, AccessDeniedException | UnrecognizedClientException):
        return 403
    return 404 if isinstance(error, NotFoundException) else error.status


def protect(response: Response) -> Response:
    """The response with what browsers have to heed."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def check_origin(request: Request) -> None:
    """Raise AccessDeniedException for what another site's page has sent."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if origin != own:
        raise AccessDeniedException(
            "This request was not sent by a page of this console, so nothing was done. If a proxy "
            "is in between, it has to pass the headers Host and Origin on as they are."
        )


def check_token(good: bool) -> None:
    """Raise AccessDeniedException unless the form was made for this session."""
    if not good:
        raise AccessDeniedException(
            "The page from which this came was made for another session, so nothing was done. "
            "Load it again, and try once more."
        )
