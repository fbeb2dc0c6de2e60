"""The OpenAPI document: every path with what it takes, answers and refuses. Built when it is first asked for.

Objects are open where the gateway passes on what it does not know. A type is only stated for a field that the gateway
itself refuses if it is wrong; what a field means to a target is the target's to say.
"""

from __future__ import annotations

from typing import Any

from overspill.gateway.openapi.operations import PATHS
from overspill.gateway.openapi.parts import ERRORS, PARAMETERS, SECURITY
from overspill.gateway.openapi.requests import REQUESTS
from overspill.gateway.openapi.responses import RESPONSES

_DESCRIPTION = (
    "One endpoint for local engines and rented models. Which models there are is in GET /v1/models. Keys are asked for "
    "where the gateway has keys."
)


def document(version: str) -> dict[str, Any]:
    """Return the document; ``version`` is the gateway's."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Overspill",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [*({name: []} for name in SECURITY), {}],
        "paths": PATHS,
        "components": {
            "schemas": {**REQUESTS, **RESPONSES},
            "parameters": PARAMETERS,
            "responses": ERRORS,
            "securitySchemes": SECURITY,
        },
    }
