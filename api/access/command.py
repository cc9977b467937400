"""`python -m api keys …`: manage API keys from the operator's terminal. The service need not be running."""

import argparse
from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError

from api.access.caller import Scope
from api.access.keys import KeyCreate, KeyService, operators_key
from core.settings import Settings
from core.store.database import migrate
from core.store.database.session import Database
from core.store.database.tables import DEFAULT_TENANT
from core.store.queries import keys as stored_keys

FIRST = (
    "\nThis is the first key. From now on, every request needs a key, also on this machine. The embedreel command "
    "reads its key from EMBEDREEL_API_KEY."
)


def run(settings: Settings, arguments: Sequence[str]) -> str:
    """Run one `keys` command.

    Args:
        settings: settings of the service.
        arguments: command-line arguments after `keys`.

    Returns:
        The text to print.

    Raises:
        ValueError: a name, tenant or scope is invalid.
        EmbedreelError: the key does not exist, or the database does not answer.
    """
    asked = _parser().parse_args(arguments)
    database = Database(settings.database)
    try:
        database.check_server()
        migrate.upgrade(database)
        return _do(KeyService(database), asked, settings)
    finally:
        database.close()


def _do(keys: KeyService, asked: argparse.Namespace, settings: Settings) -> str:
    if asked.action == "add":
        return _add(keys, asked, closes=operators_key(settings) is None and not _ever_made(keys))
    if asked.action == "revoke":
        keys.revoke(asked.id)
        return f"{asked.id} is revoked. The service rejects it within seconds."
    return "\n".join(_table(keys))


def _add(keys: KeyService, asked: argparse.Namespace, *, closes: bool) -> str:
    fields = {"name": asked.name, "tenant": asked.tenant, "scopes": asked.scopes.split(",")}
    try:
        made = keys.make(KeyCreate.model_validate(fields))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ValueError(f"{wrong['loc'][0]}: {wrong['msg']}.") from error
    note = f"{made.id}, tenant {made.tenant}, scopes {_may(made.scopes)}. The key is not shown again."
    return f"{made.key}\n\n{note}{FIRST if closes else ''}"


def _ever_made(keys: KeyService) -> bool:
    with keys.database.reading() as session:
        return stored_keys.ever_made(session)


def _table(keys: KeyService) -> list[str]:
    rows = [("id", "name", "tenant", "scopes", "made", "revoked")]
    rows += [
        (key.id, key.name, key.tenant, _may(key.scopes), _day(key.created_at), _day(key.revoked_at))
        for key in keys.every()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _may(scopes: Sequence[Scope]) -> str:
    return ",".join(scopes)


def _day(at: datetime | None) -> str:
    return at.date().isoformat() if at else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api keys", description="API keys of this service.")
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="make a key; it is shown only once")
    add.add_argument("name", help="who or what uses the key")
    add.add_argument(
        "--tenant",
        default=DEFAULT_TENANT,
        help="owner of the runs and datasets that the key reaches (default: %(default)s)",
    )
    add.add_argument(
        "--scopes", default="read,write", help="comma-separated list of read, write, admin (default: %(default)s)"
    )
    actions.add_parser("list", help="list all keys, newest first")
    actions.add_parser("revoke", help="revoke a key permanently").add_argument("id", help="id of the key, from `list`")
    return parser
