"""The reason phrases of status codes, by RFC 9110: releases of Python differ over some of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_RENAMED: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def phrase(status: int) -> str:
    """Return the phrase of a status code. Raises ValueError for one that is unknown."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase
