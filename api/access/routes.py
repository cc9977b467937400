"""Routes for API keys. They need the scope admin."""

from fastapi import APIRouter, Response, status

from api.access.keys import KeyCreate, KeyMade, KeyOut
from api.wiring import PartsOf

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.post("", operation_id="makeKey", summary="Make a key", status_code=status.HTTP_201_CREATED)
def make(parts: PartsOf, response: Response, body: KeyCreate) -> KeyMade:
    """Make a key for any tenant. Only this response shows the key. Needs the scope admin.

    If the service had no keys before, every request needs a key from now on.
    """
    response.headers["Cache-Control"] = "no-store"
    made = parts.keys.make(body)
    parts.keyring.forget()
    return made


@router.get("", operation_id="listKeys", summary="List keys")
def every(parts: PartsOf) -> dict[str, list[KeyOut]]:
    """List the keys of all tenants, newest first, including revoked keys. Needs the scope admin."""
    return {"keys": parts.keys.every()}


@router.delete("/{key_id}", operation_id="revokeKey", summary="Revoke a key", status_code=status.HTTP_204_NO_CONTENT)
def revoke(parts: PartsOf, key_id: str) -> None:
    """Revoke a key permanently. The service rejects it within seconds. Needs the scope admin."""
    parts.keys.revoke(key_id)
    parts.keyring.forget()
