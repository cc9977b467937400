"""Definition of a command of the command line, and the exit statuses."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

OK, FAILED, USAGE, UNREACHABLE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
"""Exit statuses, which `embedreel --help` explains."""

if TYPE_CHECKING:
    Known: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def no_flags(parser: argparse.ArgumentParser) -> None:
    """Add no flags."""


def run_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument RUN."""
    parser.add_argument("run", metavar="RUN", help="the run's id")


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    Attributes:
        name: the command's name on the command line.
        run: function that runs the command and returns the exit status; its docstring is the help text.
        add_flags: adds the command's arguments to its parser.
    """

    name: str
    run: Callable[[argparse.Namespace], int]
    add_flags: Callable[[argparse.ArgumentParser], None] = no_flags


@dataclass(frozen=True, slots=True)
class Group:
    """A group of subcommands, such as `embedreel keys add`.

    Attributes:
        name: the group's name on the command line.
        about: help text.
        commands: the subcommands.
    """

    name: str
    about: str
    commands: Sequence[Command]


def add(known: "Known", commands: Sequence[Command | Group]) -> None:
    """Add commands to the parser."""
    for command in commands:
        if isinstance(command, Group):
            parser = known.add_parser(command.name, help=command.about, description=command.about)
            add(parser.add_subparsers(title="commands", required=True, metavar="COMMAND"), command.commands)
        else:
            about = command.run.__doc__ or ""
            parser = known.add_parser(command.name, help=about.partition("\n")[0], description=about)
            command.add_flags(parser)
            parser.set_defaults(command=command.run)
