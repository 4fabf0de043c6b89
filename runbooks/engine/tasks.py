"""Commands as Invoke tasks: flags, error texts and exit codes. The only module that subclasses Invoke's classes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Final

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task, task

from runbooks.errors import InventoryError, PrecheckError, RunbookError
from runbooks.text import printable


class RunbookTask(Task):  # type: ignore[type-arg]
    """A task without positional arguments, so that no word after the task name can be taken for a host's name.

    A missing flag, and every RunbookError, ends the command with a text on standard error and an exit code. Any other exception is
    a bug and keeps its traceback.
    """

    can_plan = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("positional", ())
        kwargs.setdefault("auto_shortflags", False)
        super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.require(kwargs)
        try:
            # Invoke's own dry run skips only Invoke's own commands, so it would not keep this one from making changes.
            if args[0].config.run.dry and not self.can_plan:
                raise PrecheckError(f"{self.name} has no dry run", hint="run it without --dry (-R)")
            return self.call(args[0], kwargs)
        except RunbookError as error:
            raise Exit(explain(error), code=error.exit_code) from error
        except BrokenPipeError:  # the output was piped into `head`, for example
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=141) from None
        except KeyboardInterrupt:
            raise Exit("interrupted; run the same command again to continue", code=130) from None

    def require(self, given: Mapping[str, Any], name: str = "") -> None:
        """Raise Exit when a flag that the function needs is not ``given``. ``name``: the command's full name, where it is known."""
        parameters = list(signature(self.body).parameters.values())[1:]
        missing = [
            f"--{p.name.replace('_', '-')}" for p in parameters if p.default is Parameter.empty and given.get(p.name) is None
        ]
        if missing:
            raise Exit(f"error: {name or self.name} needs {', '.join(missing)}", code=2)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the function's flags. Invoke takes their help texts out of ``help`` (findings/invoke-help-once.sh); they are kept here."""
        texts = dict(self.help)
        try:
            return list(super().get_arguments(ignore_unknown_help=ignore_unknown_help))
        finally:
            self.help = texts

    def call(self, context: Any, kwargs: dict[str, Any]) -> Any:
        """Call the function with Invoke's Context; subclasses pass a Session instead."""
        return self.body(context, **kwargs)


class SessionTask(RunbookTask):
    """A command on the site: its function gets a Session instead of Invoke's Context. Adds the flag --json."""

    common: tuple[tuple[str, Any, str], ...] = (("json", False, "print JSON instead of text, for programs"),)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the function's own flags, then the common ones."""
        return super().get_arguments(ignore_unknown_help=ignore_unknown_help) + [
            Argument(names=(name,), kind=type(default), default=default, help=text, optional=name == "resume")
            for name, default, text in self.common
        ]

    def call(self, context: Any, kwargs: dict[str, Any]) -> Any:
        """Open a session with the common flags and call the function with the others."""
        from runbooks.engine.session import Options, session  # noqa: PLC0415 - start-up time

        common = {name: kwargs.pop(name, default) for name, default, _ in self.common}
        options = _options(Options, common, dry=context.config.run.dry)
        with error_event(shown=options.json), session(options) as opened:
            return self.body(opened, **kwargs)


class PlannedTask(SessionTask):
    """A command that changes something. Adds the flags --plan (the same as Invoke's --dry) and --diff."""

    can_plan = True
    common = (
        *SessionTask.common,
        ("plan", False, "only show what would be changed; change nothing"),
        ("diff", False, "show every command and the diff of every file that is changed; the report always has them"),
    )


class ProcedureTask(PlannedTask):
    """A command that changes the site step by step. Adds the flag --resume."""

    common = (
        *PlannedTask.common,
        ("resume", "", "continue an interrupted run (its id, or the newest): skip the steps that it finished"),
    )


COMMON: Final = ("json", "plan", "resume")  # flags of a command that is given to another one: not offered there


@dataclass(frozen=True, slots=True)
class Given:
    """A command that was given to another one. ``words``: its flags as they are written; ``changes``: it has a --plan, so it changes something."""

    name: str
    words: tuple[str, ...] = ()
    changes: bool = True

    def flag(self, name: str) -> str:
        """Return the value of the flag ``name``, "" when it is not given.

        >>> Given("recover.lb", ("--host", "lb1")).flag("--host"), Given("recover.lb").flag("--host")
        ('lb1', '')
        """
        return next((value for flag, value in zip(self.words, self.words[1:], strict=False) if flag == name), "")


class ForwardingTask(SessionTask):
    """A command that is given another command with its flags: `inv rehearse upgrade.run --to 1.36.2`.

    Its function gets that command as a `Given`, in its argument ``procedure``. A flag that both have is told to both. ``others``: what may
    be given, by name; the top-level tasks.py sets it.
    """

    others: Mapping[str, RunbookTask] = {}

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the own flags, and those of the command that is given on the command line."""
        own = super().get_arguments(ignore_unknown_help=ignore_unknown_help)
        taken = {name for each in own for name in each.names}
        words = sys.argv[sys.argv.index(self.name) + 1 :] if self.name in sys.argv else []
        other = next((self.others[word] for word in words if word in self.others), None)
        return own + [each for each in _offered(other) if not taken & set(each.names)]

    def call(self, context: Any, kwargs: dict[str, Any]) -> Any:
        """Call the function with the other command in place of its name. Raises PrecheckError when there is no such command."""
        name = kwargs["procedure"]
        if name not in self.others:
            raise InventoryError(
                f"{name} is no command", hint="inv --list; inv --help rehearse" if name.startswith("-") else "inv --list"
            )
        other, own = self.others[name], signature(self.body).parameters
        found = {str(each.name): kwargs.get(str(each.name), each.default) for each in _offered(other)}
        other.require(found, name)
        words = tuple(word for each in _offered(other) for word in _words(each, found[str(each.name)]))
        kwargs = {key: value for key, value in kwargs.items() if key in own or key == "json"}
        return super().call(context, kwargs | {"procedure": Given(name, words, other.can_plan)})


def _offered(other: RunbookTask | None) -> list[Argument]:
    found = other.get_arguments() if other else []
    return [Argument(**_flag(each)) for each in found if each.name not in COMMON]


def _flag(found: Argument) -> dict[str, Any]:
    """Return what makes the same flag once more. A value that stands alone gets its name in front: here the command stands alone."""
    kind = {"kind": found.kind, "default": found.default, "help": found.help, "optional": found.optional}
    return {"names": found.names, "attr_name": found.attr_name, **kind}


def _words(flag: Argument, value: Any) -> Iterator[str]:
    """Yield how ``value`` is written on a command line, nothing for the default."""
    name = f"--{flag.names[0].replace('_', '-')}"
    if value is None or value == flag.default:
        return
    if isinstance(value, bool):
        yield name if value else name.replace("--", "--no-", 1)
        return
    for each in value if isinstance(value, list) else [value]:
        yield from (name, str(each))


def _options(kind: Any, common: dict[str, Any], *, dry: bool) -> Any:
    resume, plan = common.pop("resume", ""), common.pop("plan", False)
    # Invoke gives True for a bare --resume, and the default "" when the flag is absent.
    return kind(**common, plan=plan or dry, resume=None if resume == "" else ("" if resume is True else resume))


@contextmanager
def error_event(*, shown: bool) -> Iterator[None]:
    """Print an error of the command inside as one JSON object, where ``shown``: its text, the hint and the exit status. It goes on as it is."""
    try:
        yield
    except RunbookError as error:
        if shown:
            notes = getattr(error, "__notes__", [])
            said = {"event": "error", "exit": error.exit_code, "error": str(error), "next": error.hint}
            print(json.dumps(said | ({"notes": notes} if notes else {})), flush=True)
        raise


def explain(error: RunbookError) -> str:
    """Return the text of ``error`` for the operator: what is wrong, where the run stopped, and the next command."""
    notes: list[str] = getattr(error, "__notes__", [])
    said = "\n".join([f"error: {error}", *notes, *([f"next:  {error.hint}"] if error.hint else [])])
    return printable(said, "\n\t")  # hosts and files of other people may be quoted in it


def runbook(*args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Mark a function as a command that needs no site; takes the arguments of Invoke's ``task``."""
    return task(*args, klass=RunbookTask, **kwargs)


def query(*args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Mark a function as a command without --plan; it gets a Session."""
    return task(*args, klass=SessionTask, **kwargs)


def planned(*args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Mark a function as a command that changes something but cannot be resumed; it gets a Session."""
    return task(*args, klass=PlannedTask, **kwargs)


def procedure(*args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Mark a function as a command that changes the site step by step; it gets a Session."""
    return task(*args, klass=ProcedureTask, **kwargs)


def forwarding(*args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Mark a function as a command that is given another one; it gets a Session, and that one as a `Given`."""
    return task(*args, klass=ForwardingTask, **kwargs)


def named_tasks(collections: Mapping[str, Any]) -> dict[str, RunbookTask]:
    """Return the commands of ``collections`` (chapters, as Invoke's collections by their names) by their full names."""
    return {
        f"{chapter}.{name}": found
        for chapter, collection in collections.items()
        for name, found in collection.tasks.items()
        if isinstance(found, RunbookTask)
    }


def remainder() -> list[str]:
    """Return the words after a bare ``--`` on the command line (Invoke 2 does not give them to the task)."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
