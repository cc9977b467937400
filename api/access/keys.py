"""API keys: make, list, revoke. A key is shown once; only its SHA-256 digest is stored.

A key begins with its id, so that a leaked key can be identified and revoked. The rest has 256 random bits. Guessing is
therefore infeasible, and a single SHA-256 hash is enough to protect the stored digest.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.access.caller import Scope
from api.http.ids import is_id
from api.http.names import NAME_LENGTH
from api.http.times import optional_timestamp
from core.domain.frozen import ONE_LINE, Frozen
from core.domain.ids import new_id
from core.errors import NotFoundError
from core.settings import Settings
from core.store.database.session import Database
from core.store.database.tables import DEFAULT_TENANT, ApiKeyRow
from core.store.queries import keys

PREFIX = "er_"


class KeyCreate(Frozen):
    """A request for a new key."""

    name: Annotated[
        str, Field(min_length=1, max_length=NAME_LENGTH, pattern=ONE_LINE, description="Who or what uses the key.")
    ]
    tenant: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9-]{0,39}$",
            description="Owner of the runs and datasets that the key reaches. A new name creates a new tenant.",
        ),
    ] = DEFAULT_TENANT
    scopes: Annotated[frozenset[Scope], Field(min_length=1, description="What the key permits.")] = frozenset(
        {Scope.READ, Scope.WRITE}
    )


class KeyOut(Frozen):
    """A key's record, without the secret."""

    id: str
    name: str
    tenant: str
    scopes: list[Scope]
    created_at: datetime | None
    revoked_at: datetime | None


class KeyMade(KeyOut):
    """A new key. `key` is the secret; no later response shows it."""

    key: str


@dataclass(frozen=True, slots=True)
class KeyService:
    """The keys in the table, of all tenants."""

    database: Database

    def make(self, body: KeyCreate) -> KeyMade:
        """Make a key and store its digest."""
        key_id = new_id("key")
        key = f"{PREFIX}{key_id.removeprefix('key_')}_{secrets.token_urlsafe(32)}"
        scopes = [scope for scope in Scope if scope in body.scopes]
        with self.database.writing() as session:
            row = keys.add(session, key_id, name=body.name, tenant=body.tenant, digest=digest(key), scopes=scopes)
        return KeyMade(key=key, **_shown(row).model_dump())

    def every(self) -> list[KeyOut]:
        """Return all keys, newest first."""
        with self.database.reading() as session:
            return [_shown(row) for row in keys.every(session)]

    def revoke(self, key_id: str) -> None:
        """Revoke a key permanently.

        Raises:
            NotFoundError: the key does not exist.
        """
        if not is_id(key_id, "key"):
            raise NotFoundError("There is no such key. GET /v1/keys lists the existing ones.")
        with self.database.writing() as session:
            keys.revoke(session, key_id)


def digest(key: str) -> str:
    """Return the SHA-256 digest of a key as 64 hexadecimal digits."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def operators_key(settings: Settings) -> str | None:
    """Return the key in EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE, or None if neither is set.

    Raises:
        ValueError: the key is empty, or its file is empty or cannot be read.
    """
    if settings.api_key is not None:
        key = settings.api_key.get_secret_value().strip()
    elif settings.api_key_file is not None:
        try:
            key = settings.api_key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"EMBEDREEL_API_KEY_FILE cannot be read: {error}") from error
    else:
        return None
    if not key:
        raise ValueError("The API key is empty: set EMBEDREEL_API_KEY, or write one into EMBEDREEL_API_KEY_FILE.")
    return key


def _shown(row: ApiKeyRow) -> KeyOut:
    return KeyOut(
        id=row.id,
        name=row.name,
        tenant=row.tenant,
        scopes=[Scope(scope) for scope in row.scopes],
        created_at=optional_timestamp(row.created_at),
        revoked_at=optional_timestamp(row.revoked_at),
    )
