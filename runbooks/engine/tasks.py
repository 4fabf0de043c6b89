"""Commands as Invoke tasks: flags, error texts and exit codes. The only module that subclasses Invoke's classes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task, task

from runbooks.errors import PrecheckError, RunbookError


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
        parameters = list(signature(self.body).parameters.values())[1:]
        missing = [
            f"--{p.name.replace('_', '-')}" for p in parameters if p.default is Parameter.empty and kwargs.get(p.name) is None
        ]
        if missing:
            raise Exit(f"error: {self.name} needs {', '.join(missing)}", code=2)
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
        try:
            with session(options) as opened:
                return self.body(opened, **kwargs)
        except RunbookError as error:
            if options.json:
                notes = getattr(error, "__notes__", [])
                said = {"event": "error", "exit": error.exit_code, "error": str(error), "next": error.hint}
                print(json.dumps(said | ({"notes": notes} if notes else {})), flush=True)
            raise


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


def _options(kind: Any, common: dict[str, Any], *, dry: bool) -> Any:
    resume, plan = common.pop("resume", ""), common.pop("plan", False)
    # Invoke gives True for a bare --resume, and the default "" when the flag is absent.
    return kind(**common, plan=plan or dry, resume=None if resume == "" else ("" if resume is True else resume))


def explain(error: RunbookError) -> str:
    """Return the text of ``error`` for the operator: what is wrong, where the run stopped, and the next command."""
    notes: list[str] = getattr(error, "__notes__", [])
    return "\n".join([f"error: {error}", *notes, *([f"next:  {error.hint}"] if error.hint else [])])


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


def remainder() -> list[str]:
    """Return the words after a bare ``--`` on the command line (Invoke 2 does not give them to the task)."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
