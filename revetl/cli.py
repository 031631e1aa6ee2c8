"""The command line: options → one call of `api.py` → one renderer of `report.py` → an exit code.

Results go to stdout, everything else to stderr. Global options may stand before or after the sub-command, as in
dbt, and each has an environment twin `REVETL_X`. Engines and drivers are imported by the commands that use them.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from revetl import __version__
from revetl.errors import ConfigError, ExitCode, GuardTripped, Interrupted, ProjectErrors, RevetlError

if TYPE_CHECKING:
    from types import FrameType
    from typing import IO

    from revetl.console import Log
    from revetl.engine import DiffResult, RunResult
    from revetl.project import Project
    from revetl.report import Style

Command = TypeVar("Command", bound=Callable[..., Any])
MANY = {"-s", "--select", "-m", "--models", "--exclude"}
GLOBAL_HELP = "Global options (see `revetl --help`) may stand here too."
SAMPLES = 10


# --- arguments ---------------------------------------------------------------------------------------------------


def spread(args: Sequence[str]) -> list[str]:
    """`--select a b` as `--select a --select b`: dbt takes values until the next option."""
    out: list[str] = []
    flag, first = "", False
    for i, arg in enumerate(args):
        if arg == "--":
            return [*out, *args[i:]]
        if arg.startswith("-") and len(arg) > 1:
            name, equals, _ = arg.partition("=")
            flag, first = (name, not equals) if name in MANY else ("", False)
            out.append(arg)
        elif flag and not first:
            out += [flag, arg]
        else:
            out.append(arg)
            first = False
    return out


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:  # noqa: ANN401 any option's value
    """Remember a global option: the sub-command's own wins over the one before it."""
    kept = context.find_root().ensure_object(dict)
    name = str(parameter.name)
    given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    if given or name not in kept:
        kept[name] = value
    return value


def _common(*, hidden: bool) -> list[Callable[[Command], Command]]:
    def option(*names: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401 click's
        return click.option(*names, expose_value=False, callback=_keep, hidden=hidden, **settings)

    def twin(name: str) -> str:
        return f"REVETL_{name}"

    return [
        option("--project-dir", metavar="DIR", envvar=twin("PROJECT_DIR"), help="The project [default: here or above]."),
        option("--profiles-dir", metavar="DIR", envvar=twin("PROFILES_DIR"), help="Where profiles.yml is."),
        option("--profile", metavar="NAME", envvar=twin("PROFILE"), help="The profile to use."),
        option("-t", "--target", metavar="NAME", envvar=twin("TARGET"), help="The target of the profile."),
        option("--vars", "variables", metavar="YAML", envvar=twin("VARS"), help="Variables, as YAML or JSON."),
        option("--target-path", metavar="DIR", envvar=twin("TARGET_PATH"), help="For artifacts [default: target]."),
        option("--log-path", metavar="DIR", envvar=twin("LOG_PATH"), help="For revetl.log [default: logs]."),
        option("--state", metavar="DIR", envvar=twin("STATE"), help="Another state's files, for state:modified and --defer."),
        option("--defer/--no-defer", default=False, envvar=twin("DEFER"),
               help="Read what dbt has not built where the --state has it."),
        option("--favor-state/--no-favor-state", default=False, envvar=twin("FAVOR_STATE"),
               help="Read all that dbt builds where the --state has it."),
        option("-q", "--quiet", is_flag=True, envvar=twin("QUIET"), help="Show errors and asked-for results only."),
        option("--log-format", type=click.Choice(["text", "json"]), default="text", envvar=twin("LOG_FORMAT"),
               help="Of the lines on stderr and in the log file."),
        option("--use-colors/--no-use-colors", default=None, envvar=twin("USE_COLORS"),
               help="[default: on a terminal; NO_COLOR and FORCE_COLOR are honoured]"),
        option("-x", "--fail-fast", is_flag=True, envvar=twin("FAIL_FAST"), help="Stop at the first sync that fails."),
        option("-d", "--debug", is_flag=True, envvar=twin("DEBUG"), help="More lines, and a traceback of a bug."),
    ]  # fmt: skip


def _command(group: click.Group, name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:  # noqa: ANN401 click's
    """A sub-command that accepts the global options."""

    def add(function: Callable[..., Any]) -> click.Command:
        for option in reversed(_common(hidden=True)):
            function = option(function)
        return group.command(name, epilog=GLOBAL_HELP, **settings)(click.pass_context(function))

    return add


def _selection(function: Command) -> Command:
    """`--select` and `--exclude`."""
    exclude = click.option("--exclude", multiple=True, metavar="SELECTOR", help="Syncs to leave out.")
    select = click.option(
        "-s", "--select", "-m", "--models", "select", multiple=True, metavar="SELECTOR",
        help="Syncs: names, globs, model+, tag:x, path:x; a space is a union, a comma an intersection.",
    )  # fmt: skip
    return select(exclude(function))


def _output(*choices: str, default: str = "text") -> Callable[[Command], Command]:
    return click.option(
        "--output", "-o", type=click.Choice(choices), default=default, envvar="REVETL_OUTPUT" if "text" in choices else None,
        show_default=True, help="Of the result on stdout.",
    )  # fmt: skip


def _gate(function: Command) -> Command:
    return click.option(
        "--fail-on", type=click.Choice(["error", "warning", "info", "never"]), default="error", show_default=True,
        help="Exit 1 for findings at least this bad.",
    )(function)  # fmt: skip


def _confirmations(function: Command) -> Command:
    """The options that `run` and `diff` share."""
    options = [
        click.option(
            "-f", "--full-refresh", is_flag=True, help="Send every person again, with all attributes."
        ),
        click.option("--retry-refused", is_flag=True, help="Try refused rows again now."),
        click.option(
            "--backfill", is_flag=True, help="Send events of the past too (they can't trigger campaigns)."
        ),
        click.option("--older-only", is_flag=True, help="A backfill of only what can't trigger campaigns any more."),
        click.option("--backfill-before", metavar="TIME", help="A backfill of only what is older: 2026-11-01."),
        click.option("--confirm-triggering", type=int, metavar="N", help="Confirm exactly N backfilled events that may trigger."),
        click.option("--confirm-deletes", type=int, metavar="N", help="Confirm exactly N deletes."),
        click.option("--confirm-changes", type=int, metavar="N", help="Confirm exactly N updates."),
        click.option(
            "--confirm-first-run", type=int, metavar="N", help="Confirm exactly N rows of a first run."
        ),
        click.option("--confirm-growth", type=int, metavar="N", help="Confirm exactly N new rows."),
        click.option("--confirm-merges", type=int, metavar="N", help="Confirm exactly N merges of people."),
        click.option("--allow-empty", is_flag=True, help="Accept a model without rows."),
        click.option("--confirm-drift", metavar="CODE", help="Take exactly this drift for the new normal (drift)."),
        click.option(
            "--accept-contract", is_flag=True, help="Let an old name end before its last day (renamed_from)."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


# --- one command's surroundings ------------------------------------------------------------------------------------


def emit(text: str) -> None:
    """A result on stdout. A reader that has seen enough (`| head`) must not turn a finished run into an error."""
    from revetl.console import harmless

    text = harmless(text)
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # what Python would still flush at exit goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_tty(stream: Any) -> bool:  # noqa: ANN401 stdin, stdout, stderr or a test's
    return bool(getattr(stream, "isatty", lambda: False)())


def _style(stream: Any, use_colors: bool | None, environ: Mapping[str, str]) -> Style:  # noqa: ANN401
    """Colours by flag, then NO_COLOR and FORCE_COLOR (any text but an empty one), then by what the stream is."""
    import shutil

    from revetl.report import Style

    if use_colors is not None:
        color = use_colors
    elif environ.get("NO_COLOR"):
        color = False
    elif environ.get("FORCE_COLOR"):
        color = True
    else:
        color = _is_tty(stream) and environ.get("TERM") != "dumb"
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
    width = shutil.get_terminal_size((200, 24)).columns if _is_tty(stream) else 200
    return Style(color=color, unicode=encoding.startswith("utf"), width=width)


@dataclass(slots=True)
class Session:
    """What every command needs: the global options, the log, the styles of both streams, and its signals.

    Attributes:
        options: the global options by name.
        invocation_id: of this command, in the log and the artifacts.
        stop: set by a run: ends it cleanly.
        cleanup: called when a second signal ends the process at once.
    """

    options: Mapping[str, Any]
    environ: Mapping[str, str]
    invocation_id: str
    out: Style
    log: Log
    stop: Callable[[RevetlError], None] | None = None
    cleanup: list[Callable[[], None]] = field(default_factory=list)
    signalled: int = 0

    def load(self, **instead: str | None) -> Project:
        """The project of the options; its warnings are told, and its log file is opened."""
        from pathlib import Path

        from revetl import api

        options = {**self.options, **{name: value for name, value in instead.items() if value is not None}}
        project = api.load(
            options["project_dir"], profiles_dir=options["profiles_dir"], profile=options["profile"],
            target=options["target"], variables=options["variables"], target_path=options["target_path"],
            environ=self.environ, state=options["state"], defer=options["defer"] or options["favor_state"],
            favor_state=options["favor_state"],
        )  # fmt: skip
        self.log.secrets = api.secrets_of(project, self.environ)
        given = self.options["log_path"] or self.environ.get("DBT_LOG_PATH")
        self.log.open((Path(given) if given else project.log_path) / "revetl.log")
        for warning in project.warnings:
            self.log.say("warn", f"warning: {warning}")
        return project

    def stopping(self, stop: Callable[[RevetlError], None]) -> None:
        """Take the function that ends a run cleanly; a signal that came before calls it at once."""
        self.stop = stop
        if self.signalled:
            stop(self._interrupted(self.signalled))

    @staticmethod
    def _interrupted(number: int) -> Interrupted:
        return Interrupted(f"stopped by {signal.Signals(number).name}", signal_number=number)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks for a clean end, the second ends the process."""
        del frame
        if self.signalled:
            for action in self.cleanup:
                with suppress(Exception):
                    action()
            os._exit(128 + number)
        self.signalled = number
        if self.stop is None:
            raise self._interrupted(number)
        self.stop(self._interrupted(number))
        self.log.say("warn", "stopping: waiting for the requests under way (once more to stop at once)")


@contextmanager
def session(context: click.Context) -> Iterator[Session]:
    """Log, styles and signals of one command; the log is closed and the signals are given back at the end."""
    import uuid

    from revetl.artifacts import secret_values
    from revetl.console import Log

    options: dict[str, Any] = context.find_root().ensure_object(dict)
    environ = os.environ
    style = _style(sys.stderr, options["use_colors"], environ)
    invocation_id = str(uuid.uuid4())
    log = Log(
        sys.stderr, style=style, json_lines=options["log_format"] == "json", secrets=secret_values(environ),
        invocation_id=invocation_id,
        least="error" if options["quiet"] else "debug" if options["debug"] else "info",
        live=_is_tty(sys.stderr) and not environ.get("CI") and environ.get("TERM") != "dumb",
    )  # fmt: skip
    one = Session(
        options=options, environ=environ, invocation_id=invocation_id, log=log,
        out=_style(sys.stdout, options["use_colors"], environ),
    )  # fmt: skip
    before: dict[int, Any] = {}
    # a signal's handler can only be set in the main thread; elsewhere the caller has its own way to stop
    with suppress(ValueError):
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            before[number] = signal.signal(number, one.on_signal)
    try:
        yield one
    except RevetlError as error:
        tell(one, error)
        context.exit(int(error.exit_code))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        log.close()


def tell(one: Session, error: RevetlError, *, name: str = "") -> None:
    """An error on stderr and in the log."""
    from revetl.report import error_json, error_text

    if isinstance(error, ProjectErrors) and not one.log.json_lines:
        for problem in error.problems:
            one.log.say("error", error_text(problem, one.log.style))
        if len(error.problems) > 1:
            one.log.say("error", error.message)
        return
    one.log.say(
        "error",
        error_text(error, one.log.style, name=name),
        name=type(error).__name__,
        data=error_json(error),
    )


def _confirm(one: Session, question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere only `--yes` will do.

    Raises:
        ConfigError: it was not confirmed.
    """
    if yes:
        return
    if not (_is_tty(sys.stdin) and _is_tty(sys.stderr)):
        raise ConfigError(f"this needs a confirmation: {question}", hint="add --yes")
    one.log.erase()
    if not click.confirm(question, err=True):
        raise ConfigError("not confirmed; nothing was done")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "--version", prog_name="revetl")
def cli() -> None:
    """Sync models of your warehouse to Customer.io: people and events, only what changed.

    A first look, without an account:  revetl init shop && cd shop && revetl diff && revetl run
    """


for _option in _common(hidden=False):  # on a group each is put at the end
    _option(cli)


# --- the project ---------------------------------------------------------------------------------------------------


@_command(cli, "init")
@click.option(
    "--from", "starter", metavar="STARTER", default="shop", show_default=True,
    help="What to begin as: shop, or shopify for the tables that Fivetran loads.",
)
@click.option("--from-dbt", metavar="DIR", help="Begin with the models of this dbt project instead.")
@click.argument("directory", default=".")
def init(context: click.Context, starter: str, from_dbt: str | None, directory: str) -> None:
    """Make a project whose first run needs no account and no editing."""
    with session(context) as one:
        from revetl import api

        if from_dbt is not None:
            _init_from_dbt(one, directory, from_dbt)
            return
        made = api.init(directory, starter=starter, environ=one.environ)
        for name in made.kept:
            one.log.say("warn", f"kept {name}: it was there already")
        for name in made.written:
            one.log.say("info", f"wrote {name}")
        if made.problem is not None:
            one.log.say(
                "warn", "the files that were there do not go with the new ones; nothing else was done:"
            )
            raise made.problem
        if made.tables:
            rows = ", ".join(f"{n:,} {table.replace('_', ' ')}" for table, n in made.tables.items())
            one.log.say("info", f"made a shop's tables: {rows} (no person or order in it exists)")
        go = "" if directory == "." else f"cd {shlex.quote(directory)} && "
        emit(
            f"Next:\n  {go}revetl diff\n  revetl run\n  revetl sandbox    # a page with the people and their events"
        )


def _init_from_dbt(one: Session, directory: str, project: str) -> None:
    from revetl import api

    made = api.init_from_dbt(directory, project, environ=one.environ)
    for name in made.kept:
        one.log.say("warn", f"kept {name}: it was there already")
    for name in made.written:
        one.log.say("info", f"wrote {name}")
    for note in made.notes:
        one.log.say("warn", f"not proposed: {note}" if ": it looks like" in note else note)
    go = "" if directory == "." else f"cd {shlex.quote(directory)} && "
    emit(f"Next: read syncs/, and set `enabled: true` where a proposal is right\n  {go}revetl parse\n  revetl diff\n  revetl run")


@_command(cli, "debug")
def debug(context: click.Context) -> None:
    """Check everything that a run needs, without sending anything."""
    with session(context) as one:
        from revetl import api

        fine = True
        emit(f"revetl {__version__}, Python {sys.version.split()[0]}")
        for check in api.checks(one.load(), one.environ):
            words = {True: one.out.paint("ok: ", "green"), False: one.out.paint("failed: ", "red"), None: ""}
            emit(f"{check.name}: {words[check.ok]}{check.text}")
            if check.hint:
                emit(f"  {one.out.arrow} {check.hint}")
            fine = fine and check.ok is not False
        if not fine:
            context.exit(1)


@_command(cli, "parse")
def parse(context: click.Context) -> None:
    """Read and check all files; write target/manifest.json."""
    with session(context) as one:
        from revetl import api
        from revetl.report import plural

        project = one.load()
        api.write_manifest(project, invocation_id=one.invocation_id, environ=one.environ)
        _warn(one, project)
        emit(f"{plural(len(project.syncs), 'sync')} and {plural(len(project.models), 'model')} are in order")


@_command(cli, "lint")
@_output("text", "json")
@_gate
@click.option("--ignored", is_flag=True, help="Show what is accepted as well, with the reasons.")
@click.option("--explain", metavar="CODE", is_flag=False, flag_value="all", help="Say what a finding means; `all` lists them.")
def lint(context: click.Context, output: str, fail_on: str, ignored: bool, explain: str | None) -> None:
    """Find names that break segments: two names of one thing, missing properties, wrong types.

    Reads the project's files and nothing else. A finding is accepted where it stands: ignore: {RV303: the reason}
    """
    with session(context) as one:
        from revetl import api, findings, report

        if explain is not None:
            emit(findings.explained("" if explain == "all" else explain.upper(), one.out))
            return
        project = one.load()
        found = api.lint(project)
        if output == "json":
            emit(report.json_line(findings.lint_json(found, api.heading(project))))
        else:
            emit(findings.lint_text(found, one.out, silenced=ignored))
        if findings.worse(found, fail_on):
            context.exit(1)


@_command(cli, "check")
@_output("text", "json")
@_gate
@click.option("--list", "only_list", is_flag=True, help="The checklist only, and exit 0 whatever it says.")
def check(context: click.Context, output: str, fail_on: str, only_list: bool) -> None:
    """Say whether the data is ready for journeys: a checklist, and the findings of the lint.

    Exit 1 if a line is not met that this project could meet, or for findings as bad as --fail-on says.
    """
    with session(context) as one:
        from revetl import api, findings, report

        project = one.load()
        answers, found = api.check(project, environ=one.environ), api.lint(project)
        passed = not (any(answer.fails for answer in answers) or findings.worse(found, fail_on))
        if output == "json":
            emit(report.json_line(findings.check_json(answers, found, api.heading(project), passed=passed)))
        else:
            emit(findings.check_text(answers, one.out))
            if not only_list:
                emit(f"\n{findings.lint_text(found, one.out)}")
        if not (passed or only_list):
            context.exit(1)


def _warn(one: Session, project: Project, names: Collection[str] | None = None) -> None:
    """Open findings about some syncs on stderr; they change nothing of what is sent."""
    from revetl import api, findings

    for line in findings.warnings(api.lint(project), names):
        one.log.say("warn", line, name="Lint")


@_command(cli, "compile")
@_selection
def compile_(context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    """Write each sync's SQL to target/compiled.

    Prints it if exactly one sync is selected.
    """
    with session(context) as one:
        from revetl import api

        project = one.load()
        compiled = api.write_manifest(project, invocation_id=one.invocation_id, environ=one.environ)
        chosen = list(api.write_compiled(project, select=select, exclude=exclude, compiled=compiled))
        for path, _ in chosen:
            one.log.say("info", f"wrote {os.path.relpath(path)}")
        if select and len(chosen) == 1:
            emit(chosen[0][1])


@_command(cli, "ls")
@_selection
@_output("name", "path", "selector", "json", "renames", "exposures", default="name")
def ls(context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str) -> None:
    """List the syncs that a selection means."""
    with session(context) as one:
        from revetl import api
        from revetl.report import dual_json, json_line, unique_id

        project = one.load()
        if output == "exposures":
            emit(api.exposures(project, select=select, exclude=exclude, environ=one.environ))
            return
        for sync in api.selected(project, select=select, exclude=exclude, environ=one.environ):
            dual = api.dual_sends(project, sync)
            if output == "renames":
                for name in dual:
                    emit(f"{sync.name}: {name}")
            elif output == "json":
                emit(json_line({
                    "name": sync.name, "unique_id": unique_id(project.name, sync.name), "resource_type": "sync",
                    "type": str(sync.type), "event": sync.event, "model": sync.model, "uid": sync.uid,
                    "original_file_path": sync.where.file, "tags": list(sync.tags), "owner": sync.owner,
                    "dual_sends": [dual_json(name) for name in dual],
                }))  # fmt: skip
            else:
                emit({"name": sync.name, "path": sync.where.file, "selector": f"sync:{sync.name}"}[output])


@_command(cli, "schema")
def schema(context: click.Context) -> None:
    """Print the JSON Schema of syncs/*.yml, for editors."""
    with session(context):
        from revetl import api

        emit(api.schema())


@_command(cli, "grants")
@click.option("--dialect", type=click.Choice(["postgres", "snowflake", "bigquery"]), help="[default: the target's type]")
@click.option("--roles", "prefix", default="revetl", show_default=True, metavar="PREFIX", help="Of the roles' names.")
def grants(context: click.Context, dialect: str | None, prefix: str) -> None:
    """Print the GRANT script of this project: what its roles need in the warehouse, and no more."""
    with session(context) as one:
        from revetl import api

        emit(api.grants(one.load(), dialect=dialect, prefix=prefix, environ=one.environ))


# --- diff and run --------------------------------------------------------------------------------------------------


@_command(cli, "diff")
@_selection
@_confirmations
@_output("text", "json", "markdown")
@click.option(
    "--show-values", is_flag=True, help="Keys and old → new values of some changes; on a terminal only."
)
@click.option(
    "--fail-on", type=click.Choice(["changes", "deletes", "violations", "narrowed", "warnings"]),
    help="Exit 1 if there are any; violations: --check.",
)
@click.option("--check", is_flag=True, help="Read the rows that would be sent, and count what they break.")
def diff(  # noqa: PLR0913 a command's options
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str, show_values: bool,
    fail_on: str | None, check: bool, **asked: Any,  # noqa: ANN401 the confirmations
) -> None:  # fmt: skip
    """Show what a run would do now. Writes nothing, and opens no connection to Customer.io."""
    check = check or fail_on == "violations"
    with session(context) as one:
        _diff(context, one, select, exclude, output, show_values=show_values, fail_on=fail_on, check=check, asked=asked)


def _diff(  # noqa: PLR0913 a command's options
    context: click.Context, one: Session, select: tuple[str, ...], exclude: tuple[str, ...], output: str, *,
    show_values: bool, fail_on: str | None, check: bool, asked: Mapping[str, Any],
) -> None:  # fmt: skip
    from revetl import api, markdown, report
    from revetl.console import Progress

    if show_values:
        _may_show_values(one, output)
    project = one.load()
    options = api.run_options({**asked, "fail_fast": one.options["fail_fast"]})
    result = api.diff(
        project, select=select, exclude=exclude, options=options, show=SAMPLES if show_values else 0, check=check,
        observer=Progress(one.log, monotonic=time.monotonic), environ=one.environ,
    )  # fmt: skip
    _warn(one, project, [d.sync.name for d in result.syncs])
    heading = api.heading(project)
    if output == "json":
        emit(report.json_line(report.diff_json(result, heading)))
    elif output == "markdown":
        emit(markdown.diff_markdown(result, heading))
    else:
        emit(report.diff_text(result, one.out, heading))
    if fail_on and _found(result, fail_on):
        one.log.say("error", f"--fail-on {fail_on}: there are some")
        context.exit(1)


def _may_show_values(one: Session, output: str) -> None:
    """Values of rows are for one person at a terminal: logs of CI are read by many and kept for long.

    Raises:
        ConfigError: stdout is not a terminal, or CI is set.
    """
    if output != "text":
        raise ConfigError("--show-values goes with --output text only", hint="leave one of them out")
    if one.environ.get("CI") or not _is_tty(sys.stdout):
        raise ConfigError(
            "--show-values shows personal data, so it works on a terminal only, and not where CI is set",
            hint="leave it out: counts and attributes are shown without it",
        )


def _found(result: DiffResult, what: str) -> bool:
    if what == "changes":
        return any(d.counts.planned or d.problems for d in result.syncs)
    if what == "deletes":
        return any(d.counts.deleted for d in result.syncs)
    if what == "narrowed":
        return any(d.contract.breaks for d in result.syncs)
    if what == "warnings":
        return any(d.warnings for d in result.syncs)
    return any(d.problems or d.counts.bad_keys or d.counts.duplicate_keys or (d.checked and d.checked.refused)
               for d in result.syncs)  # fmt: skip


@_command(cli, "run")
@_selection
@_confirmations
@_output("text", "json", "markdown")
@click.option("--dry-run", is_flag=True, help="The same as `revetl diff`.")
@click.option("--expect", metavar="PLAN", help="Send only if the plan is still the one that a diff showed under this number.")
@click.option(
    "--yes", "-y", is_flag=True, help="Answer yes (needed with --full-refresh where there is no terminal)."
)
@click.option("--warn-error", is_flag=True, envvar="REVETL_WARN_ERROR", help="Exit 1 if there are warnings.")
@click.option(
    "--skip-code", type=int, metavar="N", help="Exit code when there was nothing to do (Airflow: 99)."
)
def run(  # noqa: PLR0913 a command's options
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str, dry_run: bool, yes: bool,
    warn_error: bool, skip_code: int | None, **asked: Any,  # noqa: ANN401 the confirmations
) -> None:  # fmt: skip
    """Send what changed, and remember what was acknowledged."""
    with session(context) as one:
        if dry_run:
            fail_on = "warnings" if warn_error else None
            _diff(context, one, select, exclude, output, show_values=False, fail_on=fail_on, check=False, asked=asked)
            return
        if asked["full_refresh"]:
            _confirm(one, "send every selected person again, with all attributes?", yes=yes)
        project = one.load()
        asked["warn_error"] = warn_error
        _run(context, one, project, select, exclude, output, skip_code, asked, command="run")


@_command(cli, "retry")
@_output("text", "json", "markdown")
@click.option("--skip-code", type=int, metavar="N", help="Exit code when there was nothing to do.")
def retry(context: click.Context, output: str, skip_code: int | None) -> None:
    """Run again what the last run left.

    Its failed, skipped and partial syncs, with its options.
    """
    with session(context) as one:
        from revetl import api
        from revetl.artifacts import MASK

        project = one.load()
        last = api.last_run(project)
        target, variables = (last.args.get(name) for name in ("target", "variables"))
        if MASK in str(variables) and not one.options["variables"]:
            raise ConfigError(
                "the last run's --vars held a secret, which is not kept", hint="give --vars again"
            )
        # what is given now wins over what the last run had
        project = one.load(
            target=one.options["target"] or target, variables=one.options["variables"] or variables
        )
        if not last.names:
            one.log.say("info", "the last run left nothing to do")
            context.exit(skip_code or 0)
        one.log.say("info", f"again: {', '.join(last.names)}")
        select = tuple(f"sync:{name}" for name in last.names)
        asked = {name: last.args.get(name) for name in api.ARGS}
        _run(
            context, one, project, select, (), output, skip_code, asked, command="retry", variables=variables
        )


def _run(  # noqa: PLR0913 a command's options
    context: click.Context, one: Session, project: Project, select: tuple[str, ...], exclude: tuple[str, ...],
    output: str, skip_code: int | None, asked: Mapping[str, Any], *, command: str, variables: str | None = None,
) -> None:  # fmt: skip
    from revetl import api, markdown, report
    from revetl.console import Progress

    asked = {**asked, "fail_fast": one.options["fail_fast"] or bool(asked.get("fail_fast"))}
    result = api.run(
        project, select=select, exclude=exclude, options=api.run_options(asked),
        observer=Progress(one.log, monotonic=time.monotonic), stopping=one.stopping, on_kill=one.cleanup.append,
        environ=one.environ,
    )  # fmt: skip
    one.stop = None
    args = {**asked, "command": command, "select": list(select), "exclude": list(exclude),
            "target": project.target.name, "variables": one.options["variables"] or variables}  # fmt: skip
    api.write_run(project, result, args=args, invocation_id=one.invocation_id, environ=one.environ)
    for failed in result.syncs:
        if failed.error is not None and failed.error is not result.error:
            tell(one, failed.error, name=failed.sync.name)
    if result.error is not None:
        tell(one, result.error)
    _warn(one, project, [r.sync.name for r in result.syncs])
    heading = api.heading(project)
    one.log.erase()
    if output == "json":
        emit(report.json_line(report.run_json(result, heading)))
    elif output == "markdown":
        emit(markdown.run_markdown(result, heading))
    elif not one.options["quiet"]:
        emit(report.run_text(result, one.out))
    _leave(context, one, result, skip_code, warn_error=bool(asked.get("warn_error")))


def _leave(
    context: click.Context, one: Session, result: RunResult, skip_code: int | None, *, warn_error: bool
) -> NoReturn:
    code = int(result.exit_code)
    if warn_error and not code and any(r.warnings for r in result.syncs):
        one.log.say("error", "--warn-error: there are warnings")
        context.exit(1)
    if skip_code is not None and code == 0 and not any(r.counts.planned for r in result.syncs):
        code = skip_code
    context.exit(code)


# --- tests ---------------------------------------------------------------------------------------------------------


@_command(cli, "test")
@_selection
@_output("text", "json")
def test(context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str) -> None:
    """Run the tests of models and sources; exit 1 if one fails.

    The SQL of each is in target/compiled, to look at the rows that fail. Writes nothing to the warehouse.
    """
    with session(context) as one:
        _test(context, one, select, exclude, output, freshness=False)


@cli.group("source", epilog=GLOBAL_HELP)
def source() -> None:
    """The tables that models read."""


@_command(source, "freshness")
@_selection
@_output("text", "json")
def source_freshness(
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str
) -> None:
    """How old the newest row of each source is; exit 1 if one is too old. Writes target/sources.json."""
    with session(context) as one:
        _test(context, one, select, exclude, output, freshness=True)


def _test(  # noqa: PLR0913 a command's options
    context: click.Context, one: Session, select: tuple[str, ...], exclude: tuple[str, ...], output: str, *, freshness: bool
) -> None:
    from revetl import api, gates, report, tested

    project = one.load()

    def told(number: int, total: int, outcome: gates.Outcome) -> None:
        text = tested.line(number, total, outcome, one.log.style)
        one.log.say("info", text, name="TestEnded", data=report.outcome_json(outcome))

    found = api.run_tests(
        project, select=select, exclude=exclude, freshness=freshness, told=told, environ=one.environ
    )
    command = "source freshness" if freshness else "test"
    args = {"command": command, "select": list(select), "exclude": list(exclude),
            "target": project.target.name}  # fmt: skip
    api.write_tests(project, found, args=args, freshness=freshness, invocation_id=one.invocation_id, environ=one.environ)
    if output == "json":
        emit(report.json_line(tested.as_json(found.outcomes, found.seconds, api.heading(project), command)))
    else:
        emit(tested.as_text(found.outcomes, found.seconds, one.out, "source" if freshness else "data test"))
    if gates.worst(found.outcomes):
        context.exit(1)


# --- identity ------------------------------------------------------------------------------------------------------


@cli.group("identity", epilog=GLOBAL_HELP)
def identity() -> None:
    """Who is who: people who may be one person."""


@_command(identity, "report")
@_selection
@_output("text", "json")
@click.option("--show-values", is_flag=True, help="Whole keys, of more groups; on a terminal only.")
@click.option("--fail-on", type=click.Choice(["duplicates"]), help="Exit 1 if there are any.")
def identity_report(  # noqa: PLR0913 a command's options
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str, show_values: bool,
    fail_on: str | None,
) -> None:  # fmt: skip
    """List people of the models who may be one person, by rule, with the counts of the last runs.

    Writes nothing. The rules: those that each person sync declares (`duplicates:`), and those that follow from its
    contract: the same e-mail or phone under several keys, keys that differ only in form.
    """
    with session(context) as one:
        from revetl import api, candidates, report

        if show_values:
            _may_show_values(one, output)
        project = one.load()
        show = SAMPLES if show_values else candidates.GROUPS
        found = api.candidates(project, select=select, exclude=exclude, show=show, environ=one.environ)
        if output == "json":
            emit(report.json_line(candidates.as_json(found, api.heading(project))))
        else:
            emit(candidates.as_text(found, one.out, show_values=show_values))
        if fail_on and any(each.any for each in found):
            one.log.say("error", f"--fail-on {fail_on}: there are some")
            context.exit(1)


@_command(cli, "reconcile")
@_selection
@_output("text", "json")
@click.option("--days", type=click.IntRange(min=0), default=30, show_default=True, help="Today included (UTC); 0: all.")
@click.option("--fail-on", type=click.Choice(["difference"]), help="Exit 1 if there is any.")
def reconcile(  # noqa: PLR0913 a command's options
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str, days: int, fail_on: str | None,
) -> None:  # fmt: skip
    """Compare the money that was sent with the models: orders, refunds and net, by day and currency.

    Writes nothing, and says why a day differs.
    """
    with session(context) as one:
        from revetl import api, reconciled, report

        project = one.load()
        found = api.reconcile(project, select=select, exclude=exclude, days=days, environ=one.environ)
        if output == "json":
            emit(report.json_line(reconciled.as_json(found, api.heading(project))))
        else:
            emit(reconciled.as_text(found, one.out))
        if fail_on and not found.agrees:
            one.log.say("error", f"--fail-on {fail_on}: there is one")
            context.exit(1)


# --- the state -----------------------------------------------------------------------------------------------------


@_command(cli, "status")
@_selection
@_output("text", "json")
@click.option("--max-age", metavar="TIME", help="Exit 11 if a sync's last success is older: 90m, 2h, 1d.")
@click.option("--max-unsent", metavar="TIME", help="Exit 11 if an event that may start a campaign is unsent for longer: 48h.")
@click.option("--no-models", is_flag=True, help="Do not read the models of events, so without their oldest unsent event.")
def status(  # noqa: PLR0913 a command's options
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str, max_age: str | None,
    max_unsent: str | None, no_models: bool,
) -> None:  # fmt: skip
    """How each sync is, what is refused, held or not sent, and the last runs."""
    with session(context) as one:
        from revetl import api, report

        limit = report.seconds_of(max_age) if max_age else None
        longest = report.seconds_of(max_unsent) if max_unsent else None
        project = one.load()
        models = not no_models or longest is not None
        found = api.status(project, select=select, exclude=exclude, models=models, environ=one.environ)
        told = (found.streams, found.runs)
        if output == "json":
            emit(report.json_line(report.status_json(*told, api.heading(project), found.workspace, found.unsent)))
        else:
            emit(report.status_text(*told, one.out, found.workspace, found.unsent))
        if longest is not None:
            over = [name for name, waiting in found.unsent.items() if waiting.in_time_s > longest or waiting.problem]
            if over:
                raise GuardTripped(
                    f"events are not sent within {report.duration(longest)}: {', '.join(over)}",
                    hint="revetl run", code="RV273",
                )  # fmt: skip
        if limit is not None:
            old = [s.name for s in found.streams if not 0 <= s.success_age_s <= limit]
            if old:
                raise GuardTripped(
                    f"no success within {report.duration(limit)}: {', '.join(old)}",
                    hint="revetl run",
                    code="RV215",
                )


@cli.group("state", epilog=GLOBAL_HELP)
def state() -> None:
    """Look at what is remembered, or change it by hand."""


@_command(state, "show")
@_selection
@_output("text", "json")
def state_show(
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], output: str
) -> None:
    """Rows, lease, fence and open rows of each stream."""
    with session(context) as one:
        from revetl import api, report

        project = one.load()
        found = api.status(project, select=select, exclude=exclude)
        if output == "json":
            emit(report.json_line(report.status_json(found.streams, found.runs, api.heading(project))))
        else:
            emit(report.state_text(found.streams, found.workspace, found.schema, one.out))


@_command(state, "reset")
@_selection
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def state_reset(context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], yes: bool) -> None:
    """Forget what was acknowledged: the next run is a first run. Customer.io keeps what it has."""
    with session(context) as one:
        from revetl import api, report

        project = one.load()
        with api.hands_on(project, select=select, exclude=exclude) as work:
            for sync, stream in work.known():
                emit(report.reset_text(stream, sync.type, style=one.out))
            _confirm(one, f"forget this on target {project.target.name}?", yes=yes)
            for name in work.reset():
                one.log.say("info", f"{name}: forgotten")


@_command(state, "unlock")
@_selection
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def state_unlock(
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], yes: bool
) -> None:
    """Clear the lease of a run that died."""
    with session(context) as one:
        from revetl import api, report

        project = one.load()
        with api.hands_on(project, select=select, exclude=exclude) as work:
            held = work.held()
            if not held:
                emit("no run holds any of these syncs: there is nothing to unlock")
                return
            for stream in held:
                one.log.say("info", f"{stream.name}: held by {stream.owner}")
            _confirm(one, "are these runs dead? (one that is alive stops at its next checkpoint)", yes=yes)
            for name, wait in work.unlock():
                late = f"; the next run waits {report.duration(wait)} before it sends" if wait else ""
                one.log.say("info", f"{name}{late}")
            emit("unlocked")


@_command(state, "accept-key")
@_selection
def state_accept_key(context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    """Accept that a key column has another type."""
    with session(context) as one:
        from revetl import api

        with api.hands_on(one.load(), select=select, exclude=exclude) as work:
            for name in work.accept_key():
                emit(f"{name}: the next run takes the key column's type as it is")


@_command(state, "repair")
@_selection
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def state_repair(
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], yes: bool
) -> None:
    """Make a damaged state usable again.

    Says first what is wrong and what it will do. People are sent again by the next run; events of which nobody can
    know whether they were sent are held.
    """
    with session(context) as one:
        from revetl import api

        with api.repairs(one.load(), select=select, exclude=exclude, environ=one.environ) as work:
            broken = [found for found in work.examine() if found.problem]
            if not broken:
                emit("nothing is damaged")
                return
            for found in broken:
                emit(f"{found.name}: {found.problem}")
                for number, step in enumerate(found.steps, 1):
                    emit(f"  {number}. {step}")
            _confirm(one, "do this?", yes=yes)
            for found in broken:
                held = work.repair(found.name)
                more = f"; {held:,} events are held: revetl resolve --select {found.name}" if held else ""
                emit(f"{found.name}: repaired{more}")


@_command(state, "baseline")
@_selection
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def state_baseline(
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], yes: bool
) -> None:
    """Record what the models say as acknowledged, and send nothing.

    For a workspace that already has it: the next run sends what changes from now on.
    """
    with session(context) as one:
        from revetl import api
        from revetl.engine import RunOptions

        project = one.load()
        options = RunOptions(baseline=True)
        found = api.diff(project, select=select, exclude=exclude, options=options, environ=one.environ)
        for one_sync in found.syncs:
            for problem in one_sync.problems:
                raise problem
            emit(f"{one_sync.sync.name}: {one_sync.counts.sendable:,} rows would be recorded as acknowledged")
        _confirm(one, "does Customer.io have all of this?", yes=yes)
        result = api.run(
            project, select=select, exclude=exclude, options=options, environ=one.environ, stopping=one.stopping,
            on_kill=one.cleanup.append,
        )  # fmt: skip
        for failed in result.syncs:
            if failed.error is not None:
                raise failed.error
        if result.error is not None:
            raise result.error
        for done in result.syncs:
            emit(f"{done.sync.name}: {done.acknowledged:,} rows recorded")


@_command(cli, "resolve")
@_selection
@click.option("--resend", is_flag=True, help="They go out with the next run, under the same ids.")
@click.option("--mark-sent", is_flag=True, help="They arrived: no run sends them again.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def resolve(  # noqa: PLR0913 a command's options
    context: click.Context, select: tuple[str, ...], exclude: tuple[str, ...], resend: bool, mark_sent: bool,
    yes: bool,
) -> None:  # fmt: skip
    """Decide about held events: those which may have arrived, and are not sent again unasked.

    Sent again, they keep their ids, so Customer.io drops those that it remembers.
    """
    with session(context) as one:
        from revetl import api

        if resend == mark_sent:
            raise ConfigError("say what to do with held events", hint="revetl resolve --resend, or --mark-sent")
        with api.hands_on(one.load(), select=select, exclude=exclude) as work:
            held = sum(g.rows for _, stream in work.known() for g in stream.open if g.outcome == "held")
            if not held:
                emit("no event is held")
                return
            question = "send {} events again, which may have arrived?" if resend else "take {} events for sent?"
            _confirm(one, question.format(f"{held:,}"), yes=yes)
            for name, rows in work.resolve(resend=resend):
                then = f"they go out with: revetl run --select {name}" if resend else "taken for sent"
                emit(f"{name}: {rows:,} events; {then}")


@_command(cli, "forget")
@click.argument("keys", nargs=-1)
@click.option("--file", "file", type=click.File(), help="One key a line; - reads the standard input.")
@click.option("--by", "kind", metavar="KIND", help="id, email or cio_id, as a sync has it [default: the people's]")
@click.option("--reason", help="Kept beside the tombstones, without personal values: ticket 4711.")
@click.option("--undo", is_flag=True, help="Free them again: the next run may create them.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def forget(  # noqa: PLR0913 a command's options
    context: click.Context, keys: tuple[str, ...], file: IO[str] | None, kind: str | None, reason: str | None,
    undo: bool, yes: bool,
) -> None:  # fmt: skip
    """Forget people on request, in Customer.io and in revetl's tables.

    They are deleted and suppressed, and no later run of any sync sends them, whatever the models say. Keys on the
    command line are seen by other users of the machine: --file keeps them out of it.
    """
    with session(context) as one:
        from revetl import api
        from revetl.console import Progress
        from revetl.report import plural

        people = [*keys, *(line.strip() for line in file or () if line.strip())]
        if not people:
            raise ConfigError("nobody to forget", hint="revetl forget --file keys.txt --reason 'ticket 4711'")
        if not reason and not undo:
            raise ConfigError("a reason is needed, without personal values", hint="--reason 'ticket 4711'")
        project = one.load()
        what = "free again" if undo else "delete and suppress"
        _confirm(one, f"{what} {len(people):,} people in the workspace of target {project.target.name}?", yes=yes)
        done = api.forget(
            project, people, kind=kind or "", reason=reason or "", undo=undo, environ=one.environ,
            observer=Progress(one.log, monotonic=time.monotonic), on_kill=one.cleanup.append,
        )  # fmt: skip
        one.log.erase()
        whom = ("1 person" if done.people == 1 else f"{done.people:,} people") + (" freed" if undo else " forgotten")
        rows = plural(done.rows, "row")
        emit(f"{whom}: {plural(done.requests, 'request')}, {rows} deleted from revetl's tables")
        for digest in done.digests:
            emit(f"  receipt {digest[:16]}")


# --- the sandbox and the sample ------------------------------------------------------------------------------------


@_command(cli, "sandbox", context_settings={"ignore_unknown_options": True})
@click.option("--port", type=int, help="[default: the sandbox's own; 0 takes a free one]")
@click.option(
    "--tls", is_flag=True, help="https with a certificate made on the spot, for the official clients."
)
@click.option("--clean", is_flag=True, help="Start with an empty workspace.")
@click.option("--fault", multiple=True, metavar="KIND[:name=value,...]", help="Go wrong on purpose.")
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
def sandbox(  # noqa: PLR0913 a command's options
    context: click.Context,
    port: int | None,
    tls: bool,
    clean: bool,
    fault: tuple[str, ...],
    more: tuple[str, ...],
) -> None:
    """Serve a Customer.io workspace on this machine.

    It is the one that the target's runs write to; a page shows its people and events. Options that are not listed
    here go to the sandbox as they are: python -m revetl.sandbox --help
    """
    with session(context) as one:
        from revetl import api

        options = [*(("--port", str(port)) if port is not None else ()), *(("--tls",) if tls else ()),
                   *(("--clean",) if clean else ()), *(part for rule in fault for part in ("--fault", rule)),
                   *more]  # fmt: skip
        command = api.sandbox_command(one.load(), options=options, environ=one.environ)
        one.log.close()
        sys.stdout.flush()
        os.execve(command.argv[0], command.argv, dict(command.environ))  # noqa: S606 our own interpreter


@cli.group("sample", epilog=GLOBAL_HELP)
def sample() -> None:
    """The made-up shop that `revetl init` starts with."""


@_command(sample, "build")
def sample_build(context: click.Context) -> None:
    """Make the shop's tables in the project's DuckDB file."""
    with session(context) as one:
        from revetl import api

        _told(api.sample(one.load(), advance=False), "made")


@_command(sample, "advance")
@click.option("--hours", type=float, default=24, show_default=True)
def sample_advance(context: click.Context, hours: float) -> None:
    """Let a day pass in the shop."""
    with session(context) as one:
        from revetl import api

        _told(api.sample(one.load(), advance=True, hours=hours), "new or changed")


def _told(tables: Mapping[str, int], verb: str) -> None:
    emit(f"{verb}: " + ", ".join(f"{rows:,} {table.replace('_', ' ')}" for table, rows in tables.items()))


# --- the process ---------------------------------------------------------------------------------------------------


def _bug(error: BaseException, *, debug: bool) -> None:
    """A bug in revetl: where, never with values. An exception's text may hold a row, so only its type is shown."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__, limit=None)
    mine = [frame for frame in frames if f"{os.sep}revetl{os.sep}" in frame.filename]
    last = mine[-1] if mine else None
    place = f" in {os.path.basename(last.filename)}:{last.lineno} ({last.name})" if last else ""  # noqa: PTH119
    lines = [f"error: a bug in revetl {__version__}: {type(error).__name__}{place}"]
    if debug:
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    else:
        lines.append(
            "  → please report it with the output of the same command with --debug (it shows no values)"
        )
    with suppress(OSError):
        sys.stderr.write("\n".join(lines) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; never exits, never raises."""
    args = spread(sys.argv[1:] if argv is None else argv)
    try:
        code = cli.main(args=args, prog_name="revetl", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as missing:
        emit(missing.format_message())
        return int(ExitCode.USAGE)
    except click.ClickException as wrong:
        wrong.show()
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return int(ExitCode.INTERRUPTED)
    except RevetlError as error:
        sys.stderr.write(f"error: {error}\n")
        return int(error.exit_code)
    except BrokenPipeError:
        return int(ExitCode.OK)
    except Exception as error:  # noqa: BLE001 the boundary of the process: a bug must not print values
        _bug(error, debug="--debug" in args or "-d" in args)
        return int(ExitCode.BUG)
