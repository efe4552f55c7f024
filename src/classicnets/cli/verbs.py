"""The verbs as commands: --help in plain sections, and answers to what other tools call them."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from classicnets.support.errors import shell, suggest
from classicnets.support.files import exists

from .habits import Verb, answer, tokens, verb_for

UsageError: Any = typer.BadParameter.__mro__[1]  # which typer does not name


class VerbCommand(TyperCommand):
    """A command whose --help has a plain section for each `rich_help_panel`.

    Typer draws panels only with rich markup, which would take [..] in a text for a tag, put errors
    into boxes and draw boxes into pipes. Raises a ValueError for an option it does not have.
    """

    context_class = typer.Context

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _require_text(args)
        helps = {"-h", "--help"} & {*args}
        if not helps and (lacking := _without_value(verb_of(self, ctx), args)):
            raise ValueError(_needs_value(self, ctx, lacking))
        if not helps and (reply := answer(verb_of(self, ctx), args, _verbs(ctx))):
            raise ValueError(reply)
        try:
            return super().parse_args(ctx, list(args))
        except UsageError as error:
            raise ValueError(_unfit(self, ctx, error, args)) from None

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                name, text = record
                title = getattr(parameter, "rich_help_panel", None) or "Options"
                if parameter.param_type_name == "argument":
                    title, name = "Arguments", name.partition(" <")[0]  # without its type
                sections.setdefault(title, []).append((name, text))
        width = min(30, max(len(name) for rows in sections.values() for name, _ in rows))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def _require_text(args: Sequence[str]) -> None:
    """Raises a ValueError for an empty argument, which as a path would be the current folder."""
    for before, word in pairwise(["", *args]):
        option, given, value = word.partition("=")
        if not word or (given and not value and word.startswith("--")):
            named = option or (before if before.startswith("-") else "an argument")
            raise ValueError(
                f"{named} is empty, as is a variable that is not set in the shell; give a value, "
                "or leave it out"
            )


class VerbGroup(TyperGroup):
    """All verbs. Raises a ValueError for an unknown one, saying what to write in its place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if args and args[0].startswith("-") and args[0] not in own:
            option = args[0].partition("=")[0]
            raise ValueError(
                f"{option} goes after a command, as in `classicnets train NETWORK {option} ...`; "
                "`classicnets --help` lists the commands"
            )
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            raise ValueError(self._instead(ctx, args))
        return super().resolve_command(ctx, args)

    def _instead(self, ctx: Any, args: list[str]) -> str:
        word = args[0]
        if verb := verb_for(word):
            return f"no command {word!r}; write: classicnets {verb}"
        if "=" in word and (reply := answer(verb_of(self.commands["train"], ctx), args)):
            return reply
        if _is_network(word):
            return (
                f"{word} is a network, and a command goes before it; write: "
                f"{shell('classicnets', 'show', word)}, or: "
                f"{shell('classicnets', 'train', word, '--data', 'FOLDER')}"
            )
        if _is_run([word]):
            return f"{word} is a run; write: {shell('classicnets', 'evaluate', word)}"
        if exists(word):
            return (
                f"{word} is not a command; write: classicnets train NETWORK {shell('--data', word)}"
            )
        return f"no command {word!r}; {suggest(word, self.commands)}"


def print_version(
    version: Annotated[
        bool, typer.Option("--version", help="print the version, and torch's")
    ] = False,
) -> None:
    """Prints the versions for --version, without importing torch, and ends."""
    if version:
        from importlib import metadata

        versions = (f"{name} {metadata.version(name)}" for name in ("classicnets", "torch"))
        print(", ".join(versions))
        raise typer.Exit


def _unfit(command: Any, ctx: Any, error: Any, args: Sequence[str]) -> str:
    """What to say of a command with an argument or a value missing, or a value of another kind."""
    reason = error.format_message().rstrip(".")
    option = getattr(error, "option_name", "")  # of an option without its value
    params = {name: p for p in command.get_params(ctx) for name in (p.name, *p.opts)}
    param = params.get(option, getattr(error, "param", None))
    if extra := re.search(r"unexpected extra argument.*\((.*)\)", reason):
        takes = [p.metavar for p in command.get_params(ctx) if p.param_type_name == "argument"]
        return f"{command.name} takes {' '.join(takes) or 'no argument'}, and not {extra[1]!r} too"
    if param is None:
        return reason
    if param.param_type_name == "argument":
        typed = tokens(verb_of(command, ctx), args)
        given = [token.value or "" for token in typed if not token.option]
        needed = [p.metavar for p in command.get_params(ctx) if p.required]
        if (run := "RUN" in needed and not _is_run(given[:1])) or len(given) < len(needed):
            rest = given if run else given[len(needed) :]
            first = needed[:1] if run else [*given, *needed[len(given) :]]
            missing = "RUN" if run else needed[len(given)]
            call = " ".join([*first, *map(shell, rest or needed[1:] * run)])
            return f"{command.name} needs {missing}; write: classicnets {command.name} {call}"
    if option:
        return _needs_value(command, ctx, option)
    if wrong := getattr(error.__cause__, "errors", list)():  # pydantic's
        should = wrong[0]["msg"].partition(",")[0].replace("Input should", "should")
        return f"{param.opts[0]} {should}, not {wrong[0]['input']!r}{_example(param)}"
    return reason


def _without_value(verb: Verb, args: Sequence[str]) -> str:
    """The first option that takes a value and has another option after it; "" if there is none."""
    for word, after in pairwise(args):
        if word == "--":
            break
        if verb.options.get(word) and after in verb.options:
            return word
    return ""


def _needs_value(command: Any, ctx: Any, option: str) -> str:
    param = next(p for p in command.get_params(ctx) if option in (*p.opts, *p.secondary_opts))
    return f"{option} needs a value{_example(param)}"


def _example(param: Any) -> str:
    """What the help of an option has for an example."""
    example = re.search(r"such as (-.*?)(?:;|$)", param.help or "")
    return f", such as {example[1]}" if example else ""


def _is_run(paths: Sequence[str]) -> bool:
    return any(exists(Path(path) / "run.json") for path in paths)


def _is_network(word: str) -> bool:
    from classicnets import catalog

    try:
        return catalog.find(word).paper is not None
    except ValueError:
        return False


def verb_of(command: Any, ctx: Any) -> Verb:
    """The options and arguments of a command."""
    parameters = command.get_params(ctx)
    options = {
        option: not parameter.is_flag
        for parameter in parameters
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    arguments = [p.metavar for p in parameters if p.param_type_name == "argument"]
    return Verb(command.name, options, arguments)


def _verbs(ctx: Any) -> Iterator[Verb]:
    """All verbs, which are not imported before one of them is asked for."""
    from . import application

    group: Any = typer.main.get_command(application())
    for command in group.commands.values():
        yield verb_of(command, ctx)
