"""API keys, for those whose own key has the scope admin."""

from fastapi import APIRouter, Response, status

from api.access.keys import KeyCreate, KeyMade, KeyOut
from api.wiring import PartsOf

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.post("", operation_id="makeKey", summary="Make a key", status_code=status.HTTP_201_CREATED)
def make(parts: PartsOf, response: Response, body: KeyCreate) -> KeyMade:
    """Make a key of any tenant. It is shown in this answer and never again. Needs the scope admin.

    On a service that needed no key this is the first: from now on it needs one of everybody.
    """
    response.headers["Cache-Control"] = "no-store"
    made = parts.keys.make(body)
    parts.keyring.forget()
    return made


@router.get("", operation_id="listKeys", summary="List keys")
def every(parts: PartsOf) -> dict[str, list[KeyOut]]:
    """All keys of all tenants, newest first, the revoked ones among them. Needs the scope admin."""
    return {"keys": parts.keys.every()}


@router.delete("/{key_id}", operation_id="revokeKey", summary="Revoke a key", status_code=status.HTTP_204_NO_CONTENT)
def revoke(parts: PartsOf, key_id: str) -> None:
    """Make a key useless for ever, within seconds. Needs the scope admin."""
    parts.keys.revoke(key_id)
    parts.keyring.forget()
