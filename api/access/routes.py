"""Routes for API keys. They need the scope admin."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from api.access.keyring import KeyRing
from api.access.keys import KeyCreate, KeyMade, KeyOut, KeyService
from api.access.services import service

router = APIRouter(prefix="/v1/keys", tags=["keys"])

Keys = Annotated[KeyService, Depends(service(KeyService))]
Ring = Annotated[KeyRing, Depends(service(KeyRing))]


@router.post("", operation_id="makeKey", summary="Make a key", status_code=status.HTTP_201_CREATED)
def make(keys: Keys, keyring: Ring, response: Response, body: KeyCreate) -> KeyMade:
    """Make a key for any tenant. Only this response shows the key. Needs the scope admin.

    If the service had no keys before, every request needs a key from now on.
    """
    response.headers["Cache-Control"] = "no-store"
    made = keys.make(body)
    keyring.forget()
    return made


@router.get("", operation_id="listKeys", summary="List keys")
def every(keys: Keys) -> dict[str, list[KeyOut]]:
    """List the keys of all tenants, newest first, including revoked keys. Needs the scope admin."""
    return {"keys": keys.every()}


@router.delete("/{key_id}", operation_id="revokeKey", summary="Revoke a key", status_code=status.HTTP_204_NO_CONTENT)
def revoke(keys: Keys, keyring: Ring, key_id: str) -> None:
    """Revoke a key permanently. The service rejects it within seconds. Needs the scope admin."""
    keys.revoke(key_id)
    keyring.forget()
