"""Commands for API keys. They need a key with the scope admin."""

import argparse

from embedreel.access import connect
from embedreel.command import OK, Command, Group
from embedreel.output import add_json_flag, show, show_once

COLUMNS = ["id", "name", "tenant", "scopes", "created_at", "revoked_at"]


def list_keys(options: argparse.Namespace) -> int:
    """Show the API keys, without their secrets."""
    with connect(options) as client:
        show(client.keys(), COLUMNS, as_json=options.json)
    return OK


def add_key(options: argparse.Namespace) -> int:
    """Make an API key and print the key. The key is never shown again."""
    with connect(options) as client:
        made = client.add_key(options.name, tenant=options.tenant, scopes=options.scopes)
    show_once(made, made.get("name", options.name), "key", as_json=options.json)
    return OK


def revoke_key(options: argparse.Namespace) -> int:
    """Revoke an API key permanently."""
    with connect(options) as client:
        client.revoke_key(options.key)
    print(f"{options.key}  revoked")
    return OK


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="who or what uses the key")
    parser.add_argument(
        "--tenant",
        metavar="NAME",
        help="owner of the runs and datasets that the key reaches (default: the service's own tenant)",
    )
    parser.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        metavar="SCOPE",
        help="what the key permits: read, write or admin; may be repeated (default: read and write)",
    )
    add_json_flag(parser)


def _key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="ID", help="the key's id, not the key itself")


COMMANDS = (
    Group(
        "keys",
        "Show, make or revoke API keys.",
        (
            Command("list", list_keys, add_json_flag),
            Command("add", add_key, _add_flags),
            Command("revoke", revoke_key, _key_argument),
        ),
    ),
)
