"""Commands for webhooks, the URLs that receive the service's events."""

import argparse
import json

from embedreel.access import connect
from embedreel.command import OK, Command, Group
from embedreel.output import add_json_flag, show, show_once

COLUMNS = ["id", "url", "events", "created_at", "disabled_at"]


def list_webhooks(options: argparse.Namespace) -> int:
    """Show the webhooks."""
    with connect(options) as client:
        show(client.webhooks(), COLUMNS, as_json=options.json)
    return OK


def add_webhook(options: argparse.Namespace) -> int:
    """Register a webhook and print its signing secret. The secret is never shown again."""
    with connect(options) as client:
        webhook = client.add_webhook(options.webhook_url, options.events)
    show_once(webhook, webhook.get("url", options.webhook_url), "secret", as_json=options.json)
    return OK


def delete_webhook(options: argparse.Namespace) -> int:
    """Delete a webhook."""
    with connect(options) as client:
        client.delete_webhook(options.webhook)
    print(f"{options.webhook}  deleted")
    return OK


def test_webhook(options: argparse.Namespace) -> int:
    """Send an event of type webhook.test to a webhook."""
    with connect(options) as client:
        print(json.dumps(client.test_webhook(options.webhook), indent=2))
    return OK


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook_url", metavar="URL", help="URL that receives the events")
    parser.add_argument(
        "--event",
        dest="events",
        action="append",
        metavar="TYPE",
        help="type of events to send, such as run.succeeded; may be repeated (default: the end of every run)",
    )
    add_json_flag(parser)


def _webhook_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook", metavar="ID", help="the webhook's id")


COMMANDS = (
    Group(
        "webhooks",
        "Show, add, delete or test webhooks.",
        (
            Command("list", list_webhooks, add_json_flag),
            Command("add", add_webhook, _add_flags),
            Command("delete", delete_webhook, _webhook_argument),
            Command("test", test_webhook, _webhook_argument),
        ),
    ),
)
