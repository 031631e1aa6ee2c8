"""Jinja of models, rendered in a process of its own: without keys, files or network, and with bounded time and memory.

A pull request may bring any template, and Jinja's sandbox bounds neither time nor memory. So one child renders all
models of a compile. It knows what a template may ask for and nothing else, ends itself if it opens a file, a socket
or a process, and is stopped after `LIMIT_S` for one template; the place in the template is known all the same. What
it says comes back as JSON: nothing that it made is ever executed here.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from revetl.errors import ConfigError, Where
from revetl.nearest import near

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

    from revetl.dbt import Names

CTE = "__revetl__cte__"
KINDS = ("ephemeral", "view", "table")
MAX_RENDERED = 16_000_000  # characters that one template may give
MAX_ANSWER = 100_000_000  # bytes that all of them may give
MAX_TEMPLATE = 2_000_000  # characters of one file
MAX_MEMORY = 512_000_000  # bytes above what the child needs before it renders
LIMIT_S = 0.8  # for one template; usual ones take some milliseconds
SLOW_CHARACTERS = 200_000  # so many more characters get one second more
MAX_SAID = 100_000  # bytes of stderr
START_S = 30.0
TRIES = 3  # a template that must be stopped costs a child; after so many the other problems are enough
OPENED = 77  # the exit code of a child that did what a template must not do
SECRET_PREFIXES = ("DBT_ENV_SECRET", "REVETL_ENV_SECRET")
UNSET: Any = object()  # `None` is a value that a template may give
# names of variables that are keys by every convention; `_KEY` alone would take PRIMARY_KEY along
_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|PGPASS", re.IGNORECASE
)
_MACRO = re.compile(r"\{%[-+]?\s*macro\s+(\w+)")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_ENDING = re.compile(r";(\s|--[^\n]*(\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in ', re.MULTILINE)
_FORBIDDEN = (
    "open", "socket.", "subprocess.", "ctypes.", "os.", "shutil.", "pty.", "tempfile.", "sqlite3.", "urllib.", "http.",
    "ftplib.", "smtplib.", "webbrowser.", "signal.", "fcntl.", "resource.", "mmap.",
)  # fmt: skip
# `-S` leaves out .pth files, which may start anything
_START = "import sys; sys.path += sys.argv[1:]; from revetl.render import serve; serve()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that templates may ask for.

    Attributes:
        models: by name: (path, text).
        macros: (path, text) of each file.
        sources: how each is written in SQL, by `group.table`.
        relations: of each model, if it is built.
        target: what templates see of it.
        environ: the variables that templates may read.
        denied: names of set variables that hold a secret.
        project: the project's name, as `ref('project', 'model')` has it.
        dbt: what may be read of a dbt project.
    """

    models: Mapping[str, tuple[str, str]]
    macros: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    relations: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    denied: tuple[str, ...] = ()
    project: str = ""
    dbt: Names | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A model after Jinja; `parents` are the models and sources that it names, in order."""

    sql: str
    parents: tuple[str, ...]
    materialized: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What came of a job: the models that could be rendered, and every problem."""

    texts: Mapping[str, Text]
    problems: tuple[ConfigError, ...]


def cte(name: str) -> str:
    """How an ephemeral model is called in SQL; of dbt's, which have dots in their names, too."""
    name = name.replace(".", "__")
    return '"' + CTE + name + '"' if "-" in name else CTE + name


def value_of(values: Mapping[str, Any], name: str, default: Any = UNSET) -> Any:  # noqa: ANN401 any YAML value
    """What dbt's `var()` gives.

    Raises:
        ConfigError: it has neither a value nor a default.
    """
    if name in values:
        return values[name]
    if default is UNSET:
        raise ConfigError(
            f"var({name!r}) has no value and no default{near(name, values)}",
            hint=f"--vars '{name}: …', or `vars` in [tool.revetl]", code="RV066",
        )  # fmt: skip
    return default


def readable(environ: Mapping[str, str], secrets: Collection[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables that a template may read, and the names of those that it may not.

    Args:
        environ: all of them.
        secrets: values that are keys of this project, under whatever name.
    """
    kept, denied = {}, []
    for name, value in environ.items():
        if name.startswith(SECRET_PREFIXES) or _SECRET_NAME.search(name) or value in secrets:
            denied.append(name)
        else:
            kept[name] = value
    return kept, tuple(denied)


# --- the parent ------------------------------------------------------------------------------------------------------


def render(job: Job, *, limit_s: float = LIMIT_S, memory: int = MAX_MEMORY, address_space: bool = True) -> Rendering:
    """Render every model of a job.

    Args:
        job: what to render, and with what.
        limit_s: for one template.
        memory: bytes above what the child starts with.
        address_space: whether the system bounds the memory (Linux); otherwise a thread of the child watches it.
    """
    if not job.models and not job.macros:
        return Rendering(texts={}, problems=())
    stopped: dict[str, ConfigError] = {}
    answer = _Answer()
    for _ in range(TRIES):
        answer = _ask(job, frozenset(stopped), (limit_s, memory, address_space))
        if answer.stopped is None:
            break
        stopped[answer.stopped[0]] = answer.stopped[1]
    return Rendering(texts=answer.texts, problems=(*answer.problems, *stopped.values()))


@dataclass(slots=True)
class _Answer:
    """What one child said; `stopped` is the file that ended it, with the problem."""

    texts: dict[str, Text] = field(default_factory=dict)
    problems: list[ConfigError] = field(default_factory=list)
    lines: dict[str, str] = field(default_factory=dict)
    at: str = ""
    done: bool = False
    stopped: tuple[str, ConfigError] | None = None

    def take(self, line: bytes) -> None:
        """One message of the child; it is not trusted, so anything odd is an error."""
        said = json.loads(line)
        if "at" in said:
            self.at = str(said["at"])
        elif "lines" in said:
            self.lines[str(said["lines"][0])] = str(said["lines"][1])
        elif "model" in said:
            self.texts[str(said["model"])] = Text(
                sql=str(said["sql"]), parents=tuple(map(str, said["parents"])), materialized=str(said["materialized"]),
                tags=tuple(map(str, said["tags"])),
            )  # fmt: skip
        elif "problem" in said:
            message, hint, code, file, line_number = said["problem"]
            where = Where(file=str(file), line=int(line_number)) if file else None
            self.problems.append(ConfigError(str(message), hint=str(hint), where=where, code=str(code)))
        else:
            self.done = bool(said["done"])


def _ask(job: Job, skipped: frozenset[str], limits: tuple[float, int, bool]) -> _Answer:
    import pickle  # noqa: PLC0415 here and below: the child starts faster without
    import subprocess  # noqa: PLC0415

    answer, heard = _Answer(), _Heard()
    child = subprocess.Popen(  # noqa: S603 our own interpreter and module
        # everything that it needs comes through its stdin: no variable, no argument
        [sys.executable, "-I", "-S", "-c", _START, *_places()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={"MALLOC_ARENA_MAX": "1", **_loader(os.environ)},
    )  # fmt: skip
    stdin, stdout, stderr = child.stdin, child.stdout, child.stderr
    assert stdin is not None and stdout is not None and stderr is not None  # noqa: S101, PT018 pipes, for mypy
    with stdout, stderr:
        try:
            with suppress(BrokenPipeError), stdin:
                stdin.write(pickle.dumps((job, skipped, limits)))
            _listen(answer, heard, stdout, stderr, limits[0])
        finally:
            child.kill()
            code = child.wait()
    if not answer.done:
        answer.stopped = _stopped(answer, heard, code, limits[0])
    return answer


@dataclass(slots=True)
class _Heard:
    """What a child wrote on stderr, and what went wrong on this side, if anything did."""

    stderr: bytes = b""
    why: str = ""


def _places() -> list[str]:
    """The folders of what the child imports."""
    import importlib.util  # noqa: PLC0415 the parent only

    found = [str(Path(__file__).resolve().parent.parent)]
    for name in ("jinja2", "markupsafe"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            found.append(str(Path(spec.origin).parent.parent))
    return list(dict.fromkeys(found))


def _loader(environ: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter needs to find its own libraries."""
    return {name: environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT") if name in environ}


def _listen(answer: _Answer, heard: _Heard, stdout: IO[bytes], stderr: IO[bytes], limit_s: float) -> None:
    """Take the child's messages until it is done or ends."""
    import selectors  # noqa: PLC0415 loaded by subprocess

    size, rest = 0, b""
    with selectors.DefaultSelector() as ready:
        for stream in (stdout, stderr):
            ready.register(stream, selectors.EVENT_READ)
        while ready.get_map():
            # a template of any size may take this long; the child's own clock is the exact one
            found = ready.select(START_S + limit_s + MAX_TEMPLATE / SLOW_CHARACTERS)
            if not found:
                heard.why = "the process that renders templates does not answer"
                return
            for key, _ in found:
                part = os.read(key.fd, 1 << 20)
                if not part:
                    ready.unregister(key.fileobj)
                elif key.fileobj is stderr:
                    heard.stderr = (heard.stderr + part)[:MAX_SAID]
                else:
                    size += len(part)
                    *lines, rest = (rest + part).split(b"\n")
                    heard.why = _taken(answer, lines, size)
                    if heard.why or answer.done:
                        return


def _taken(answer: _Answer, lines: Sequence[bytes], size: int) -> str:
    """Take some messages; what is wrong with them, or nothing."""
    if size > MAX_ANSWER:
        return f"the models together give more than {MAX_ANSWER:,} bytes"
    try:
        for line in lines:
            answer.take(line)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return "the template made its process say something strange"
    return ""


def _stopped(answer: _Answer, heard: _Heard, code: int, limit_s: float) -> tuple[str, ConfigError]:
    """The file that ended the child, and the problem with the innermost line of a template that is known."""
    said = heard.stderr.decode(errors="replace")
    known = {path.encode("ascii", "backslashreplace").decode(): path for path in {*answer.lines, answer.at}}
    where = Where(file=answer.at)
    for file, number in _FRAME.findall(said):
        if file in known:
            path = known[file]
            where = Where(file=path, line=_template_line(answer.lines.get(path, ""), int(number)))
            break
    hint = ""
    if heard.why:
        text = heard.why
    elif "Timeout (" in said:
        text, hint = f"the template takes longer than {limit_s:g} s", "a template writes SQL; leave the work to the warehouse"
    elif "memory limit" in said:
        text = "the template takes too much memory"
    elif code == OPENED:
        text = f"the template does what no template may: {said.partition('audit: ')[2].partition(chr(10))[0][:80]}"
    else:
        text = f"the template ends the process that renders it (status {code})"
    outer = f" (called in {answer.at})" if where.file != answer.at else ""
    return answer.at, ConfigError(text + outer, hint=hint, where=where, code="RV069")


def _template_line(lines: str, number: int) -> int:
    """A template's line by a line of its Python code; `lines` as Jinja writes them: `1=12&3=20`."""
    found = 1
    for pair in filter(None, lines.split("&")):
        template, _, python = pair.partition("=")
        if int(python) > number:
            break
        found = int(template)
    return found


# --- the child -------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Read a job from stdin, write what comes of it to stdout; the child's only work."""
    import codecs  # noqa: PLC0415 whatever templates may need is imported before the door is shut
    import difflib  # noqa: F401, PLC0415
    import html  # noqa: F401, PLC0415
    import pickle  # noqa: PLC0415
    import pprint  # noqa: F401, PLC0415
    import textwrap  # noqa: F401, PLC0415
    import traceback  # noqa: F401, PLC0415
    import urllib.parse  # noqa: F401, PLC0415

    import jinja2.debug  # noqa: F401, PLC0415

    for name in ("ascii", "latin-1", "utf-8", "utf-16", "unicode_escape", "raw_unicode_escape"):  # Jinja's own, and usual ones
        codecs.lookup(name)
    job, skipped, (limit_s, memory, address_space) = pickle.load(sys.stdin.buffer)  # noqa: S301 of our own parent
    out = os.fdopen(os.dup(1), "wb")
    engine = _Engine(job, skipped, limit_s, out)
    _shut(memory, address_space=address_space)
    engine.work()
    out.flush()
    os._exit(0)  # nothing that a template left behind runs any more


def _shut(memory: int, *, address_space: bool) -> None:
    """From now on: bounded memory, no files, no network, no processes."""
    import faulthandler  # noqa: PLC0415 the child only
    import resource  # noqa: PLC0415
    import threading  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = 0
    with suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    if used and address_space and sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = used + memory if hard == resource.RLIM_INFINITY else min(used + memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))
    else:  # macOS takes that limit and does nothing
        unit = 1 if sys.platform == "darwin" else 1024
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit + memory

        def watch() -> None:
            while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < most:
                time.sleep(0.01)
            os.write(2, b"memory limit\n")
            faulthandler.dump_traceback(all_threads=True)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()

    def audit(event: str, _: object) -> None:
        if event.startswith(_FORBIDDEN):
            os.write(2, f"audit: {event}\n".encode())
            faulthandler.dump_traceback(all_threads=False)
            os._exit(OPENED)

    sys.addaudithook(audit)


@dataclass(frozen=True, slots=True)
class _MacroFile:
    """A file of macros; `code` is None if it is no template: then its macros fail without another word."""

    path: str
    names: tuple[str, ...]
    code: CodeType | None


class _Engine:
    """Renders templates; tells problems and goes on."""

    def __init__(self, job: Job, skipped: frozenset[str], limit_s: float, out: IO[bytes]) -> None:
        self.job = job
        self.skipped = skipped
        self.limit_s = limit_s
        self.out = out
        self.failed = False
        self.jinja = _sandbox()
        self.macros: tuple[_MacroFile, ...] = ()

    def say(self, **what: Any) -> None:  # noqa: ANN401 JSON
        self.out.write(json.dumps(what).encode() + b"\n")

    def bad(self, problem: ConfigError) -> None:
        self.failed = True
        where = problem.where or Where(file="")
        self.say(problem=[problem.message, problem.hint, problem.code, where.file, where.line])

    def begin(self, path: str, text: str) -> None:
        """The clock of one template starts anew, and the parent knows which it is."""
        import faulthandler  # noqa: PLC0415 the child only

        self.say(at=path)
        self.out.flush()
        faulthandler.dump_traceback_later(self.limit_s + len(text) / SLOW_CHARACTERS, exit=True)

    def work(self) -> None:
        """Macros, then models."""
        self.macros = self._macro_files()
        self._models()
        self.say(done=True)

    def _macro_files(self) -> tuple[_MacroFile, ...]:
        owners: dict[str, str] = {}
        found = []
        for path, text in self.job.macros:
            code = self._code(path, text)
            names = tuple(_MACRO.findall(text))
            for name in names:
                if owners.setdefault(name, path) != path:
                    problem = f"macro {name!r} exists already in {owners[name]}"
                    self.bad(ConfigError(problem, where=Where(file=path), code="RV054"))
            found.append(_MacroFile(path, names, code))
        return tuple(found)

    def _code(self, path: str, text: str) -> CodeType | None:
        """A template's code, whose tracebacks name its file."""
        if path in self.skipped:
            return None
        if len(text) > MAX_TEMPLATE:
            self.bad(ConfigError(f"is longer than {MAX_TEMPLATE:,} characters", where=Where(file=path), code="RV061"))
            return None
        self.begin(path, text)
        try:
            # typed as code or text: text only with `raw=True`
            return self.jinja.compile(text, name=path, filename=path)  # type: ignore[no-any-return,unused-ignore]
        except Exception as error:  # noqa: BLE001 whatever a parser can raise
            self.bad(self._template_problem(path, error, ()))
            return None

    def _models(self) -> None:
        """Every model, rendered.

        What `ref` gives depends on how the other model is built, which its own config() says: so all are rendered as
        if all were ephemeral, and those that read one that is not, once more.
        """
        codes = {name: self._code(path, text) for name, (path, text) in self.job.models.items()}
        found = {
            name: made for name, code in codes.items() if code is not None and (made := self._model(name, code, {})) is not None
        }
        built = {name: one.materialized for name, one in found.items() if one.materialized != "ephemeral"}
        if self.failed or not built:
            return
        for name, one in found.items():
            code = codes[name]
            if code is not None and built.keys() & set(one.parents):
                self._model(name, code, built)

    def _model(self, name: str, code: CodeType, built: Mapping[str, str]) -> Text | None:
        """One model rendered and told, or None with the problem told."""
        path, text = self.job.models[name]
        self.begin(path, text)
        parents: list[str] = []
        config: dict[str, Any] = {}
        scope = self._functions(name, parents, config, built)
        scope.update(self._late_macros(scope))
        try:
            parts, size = [], 0
            for part in self._template(path, code, scope).generate():
                size += len(part)
                _bounded(size)
                parts.append(part)
            made = Text(
                sql=_ENDING.sub("", "".join(parts)).rstrip(), parents=tuple(dict.fromkeys(parents)),
                materialized=str(config.get("materialized", "ephemeral")), tags=_texts(config.get("tags", [])),
            )  # fmt: skip
        except _Silent:
            return None
        except Exception as error:  # noqa: BLE001 whatever a template can raise
            self.bad(self._template_problem(path, error, tuple(scope)))
            return None
        if not self._fits(made, path, config):
            return None
        self.say(model=name, sql=made.sql, parents=made.parents, materialized=made.materialized, tags=made.tags)
        return made

    def _fits(self, made: Text, path: str, config: Mapping[str, Any]) -> bool:
        """Whether a model can be used as it is."""
        place, kind = Where(file=path, line=1), made.materialized
        problem = None
        if kind not in KINDS:
            problem = ConfigError(
                f"materialized={kind!r} is not supported{near(kind, KINDS)}", where=place, code="RV062",
                hint=f"one of: {', '.join(KINDS)}; a table that dbt builds is read as a source",
            )  # fmt: skip
        elif kind != "ephemeral" and (other := [key for key in ("schema", "alias", "database") if config.get(key)]):
            problem = ConfigError(
                f"config({other[0]}=…) is not supported: a {kind} is built in the target's schema under its own name",
                where=place, code="RV062",
            )  # fmt: skip
        elif not _COMMENT.sub("", made.sql).strip():
            problem = ConfigError("the model gives no SQL", where=place, code="RV068")
        if problem is not None:
            self.bad(problem)
        return problem is None

    def _template(self, path: str, code: CodeType, scope: Mapping[str, Any]) -> Template:
        made = _template(self.jinja, code, scope)
        self.say(lines=[path, "&".join(f"{a}={b}" for a, b in made.debug_info)])
        self.out.flush()
        return made

    def _late_macros(self, scope: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
        """The project's macros for one model.

        They see that model's `ref`, `config` and `this`, and each other, whatever their files' order. A file is run
        when the first of its macros is called.
        """
        loaded: dict[str, Mapping[str, Any]] = {}

        def macro(file: _MacroFile, name: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 a template's values
                if file.code is None:
                    raise _Silent
                if file.path not in loaded:
                    template = self._template(file.path, file.code, scope)
                    context = template.new_context()
                    for _ in template.root_render_func(context):
                        pass
                    loaded[file.path] = context.vars
                return loaded[file.path][name](*args, **kwargs)

            return call

        return {name: macro(file, name) for file in self.macros for name in file.names}

    def _template_problem(self, path: str, error: Exception, known: Collection[str]) -> ConfigError:
        from jinja2 import TemplateSyntaxError, UndefinedError  # noqa: PLC0415 loaded by now

        where = self._place(path, error)
        hint, code = "", "RV060"
        if isinstance(error, ConfigError):
            text, hint, code = error.message, error.hint, error.code
        elif isinstance(error, TemplateSyntaxError):
            text, where = f"the template is wrong: {error.message}", Where(file=path, line=error.lineno)
        elif isinstance(error, UndefinedError):
            name = (re.findall(r"'([^']+)' is undefined", str(error)) or [""])[0]
            text = f"{name!r} is not defined{near(name, known)}" if name else f"the template fails: {error.message}"
        elif isinstance(error, _Returned):
            text = "return() belongs into a macro"
        elif isinstance(error, MemoryError):
            text, code = "the template takes too much memory", "RV069"
        else:
            text = f"the template fails: {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        if where.file != path:
            outer = self._place(path, error, files={path})
            text += f" (called in {outer})"
        return ConfigError(text, hint=hint, where=where, code=code)

    def _place(self, path: str, error: BaseException, files: Collection[str] = ()) -> Where:
        """The innermost line of our templates in which an exception arose."""
        files = files or {path, *(file.path for file in self.macros)}
        where, trace = Where(file=path), error.__traceback__
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            if file in files:
                where = Where(file=file, line=trace.tb_lineno)
            trace = trace.tb_next
        return where

    def _functions(
        self, model: str, parents: list[str], config: dict[str, Any], built: Mapping[str, str]
    ) -> dict[str, Any]:
        job = self.job

        def ref(*names: str, v: Any = None, version: Any = None) -> str:  # noqa: ANN401 a number or text
            if len(names) not in {1, 2}:
                raise ConfigError("ref() takes a model, or a project and a model", code="RV064")
            name, number = names[-1], v if v is not None else version
            if number is not None and f"{name}_v{number}" in job.models:
                name = f"{name}_v{number}"
            package = names[0] if len(names) > 1 else ""
            if job.dbt is not None and (name not in job.models or package not in {"", job.project}):
                found = job.dbt.ref(name, package, "" if number is None else str(number))
                parents.append(found.id)
                return found.relation or cte(found.id)
            if name not in job.models:
                raise ConfigError(f"ref({name!r}): there is no such model{near(name, job.models)}", code="RV064")
            parents.append(name)
            return job.relations[name] if name in built else cte(name)

        def source(group: str, table: str) -> str:
            name = f"{group}.{table}"
            if job.dbt is not None and name not in job.sources:
                found = job.dbt.source(group, table)
                parents.append(found.id)
                return found.relation
            if name not in job.sources:
                raise ConfigError(
                    f"source({group!r}, {table!r}) is not declared{near(name, job.sources)}",
                    hint="declare it under `sources:` in a YAML file beside the models", code="RV065",
                )  # fmt: skip
            parents.append(name)
            return job.sources[name]

        def var(name: str, default: Any = UNSET) -> Any:  # noqa: ANN401 any YAML value
            return value_of(job.vars, name, default)

        def configure(**values: Any) -> str:  # noqa: ANN401 dbt's settings
            config.update(values)
            return ""

        return {
            **_PLAIN_FUNCTIONS, "ref": ref, "source": source, "var": var, "env_var": self._env_var, "config": configure,
            "target": dict(job.target), "this": job.relations[model],
        }  # fmt: skip

    def _env_var(self, name: str, default: str | None = None) -> str:
        if name.startswith(SECRET_PREFIXES) or name in self.job.denied:
            raise ConfigError(f"env_var({name!r}): a secret may be used in profiles.yml only", code="RV067")
        if name in self.job.environ:
            return self.job.environ[name]
        if default is None:
            raise ConfigError(f"the environment variable {name} is not set", hint=f"export {name}=…", code="RV027")
        return default


class _Returned(Exception):  # noqa: N818 no error: dbt's return()
    """Carries the value of a macro that returns."""

    def __init__(self, value: Any) -> None:  # noqa: ANN401 a template's value
        super().__init__()
        self.value = value


class _Silent(Exception):  # noqa: N818 named by what it does
    """What went wrong has been noted already."""


def _stop(message: str = "") -> str:
    raise ConfigError(f"the model stops: {message}", code="RV060")


def _return(value: Any = "") -> str:  # noqa: ANN401 a template's value
    raise _Returned(value)


def _quiet(*_: Any, **__: Any) -> str:  # noqa: ANN401 whatever is logged
    return ""


def _from_json(text: str, default: Any = None) -> Any:  # noqa: ANN401 any JSON value
    """`fromjson` of dbt: the default where the text is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        if default is None:
            raise
        return default


def _to_json(value: Any, default: Any = None, sort_keys: bool = False) -> Any:  # noqa: ANN401, FBT002 dbt's signature
    """`tojson` of dbt: the default where the value has no JSON."""
    try:
        return json.dumps(value, sort_keys=sort_keys)
    except (TypeError, ValueError):
        if default is None:
            raise
        return default


_PLAIN_FUNCTIONS: Mapping[str, Any] = MappingProxyType({
    "log": _quiet, "print": _quiet, "return": _return, "is_incremental": lambda: False, "execute": False,
    "fromjson": _from_json, "tojson": _to_json,
    "exceptions": MappingProxyType({"raise_compiler_error": _stop, "warn": _quiet}),
})  # fmt: skip


def _sandbox() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined  # noqa: PLC0415 the child only
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    # not the immutable sandbox: dbt's macros build lists with `do list.append(x)`
    made = SandboxedEnvironment(
        undefined=StrictUndefined, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], autoescape=False,
        keep_trailing_newline=False, optimized=False,  # nothing is worked out while it is only read
    )  # fmt: skip
    made.intercepted_binops = frozenset({"+", "*", "**"})  # of this one environment
    made.binop_table.update({"+": _sum, "*": _product, "**": _power})
    made.globals.pop("lipsum")
    return made


def _template(jinja: SandboxedEnvironment, code: CodeType, scope: Mapping[str, Any]) -> Template:
    """A template whose macros can return values: dbt's `return` leaves the innermost macro with any value."""
    from jinja2 import Template  # noqa: PLC0415 loaded by now
    from jinja2.runtime import Macro  # noqa: PLC0415

    def macro(environment: Any, function: Callable[..., Any], *facts: Any) -> Macro:  # noqa: ANN401 Jinja's business
        def returning(*args: Any) -> Any:  # noqa: ANN401 a template's values
            try:
                return function(*args)
            except _Returned as returned:
                return returned.value

        return Macro(environment, returning, *facts)

    made = Template.from_code(jinja, code, jinja.make_globals(dict(scope)))
    made.root_render_func.__globals__.update(Macro=macro, str_join=_joined)
    return made


def _bounded(size: float) -> None:
    if size > MAX_RENDERED:
        raise ConfigError(f"the template gives more than {MAX_RENDERED:,} characters", code="RV061")


def _joined(parts: Iterable[Any]) -> str:
    """`x ~ y`, within bounds."""
    texts, size = [], 0
    for part in parts:
        texts.append(str(part))
        size += len(texts[-1])
        _bounded(size)
    return "".join(texts)


def _sum(left: Any, right: Any) -> Any:  # noqa: ANN401 a template's values
    """`x + y`, within bounds."""
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        _bounded(len(left) + len(right))
    return left + right


def _product(left: Any, right: Any) -> Any:  # noqa: ANN401 a template's values
    """`'x' * n`, within bounds."""
    for value, count in ((left, right), (right, left)):
        if isinstance(value, str | bytes | list | tuple) and isinstance(count, int):
            _bounded(len(value) * count)
        elif isinstance(value, int):
            _bounded(value.bit_length())
    return left * right


def _power(left: Any, right: Any) -> Any:  # noqa: ANN401 a template's values
    """`x ** n`, within bounds."""
    if isinstance(left, int) and isinstance(right, int):
        _bounded(left.bit_length() * float(right) * 100)
    return left**right


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 what a model gives
    return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)


# --- one SELECT ------------------------------------------------------------------------------------------------------

_PIECE = re.compile(
    r"""--[^\n\r]*|/\*|'|"|\$(?:[A-Za-z_\x80-\uffff][A-Za-z0-9_\x80-\uffff]*)?\$|[();]|[A-Za-z_\x80-\uffff][\w$]*""", re.ASCII
)


def loose_end(sql: str) -> tuple[str, int] | None:
    """What in a text keeps it from being one statement in brackets, and its line from 1; None if nothing does.

    A text that closes a bracket it never opened, or goes on behind a `;`, could put statements of its own behind the
    one that it is meant to be a part of.
    """
    depth, at = 0, 0
    while match := _PIECE.search(sql, at):
        piece, start, at = match[0], match.start(), match.end()
        if piece in {"'", '"'}:
            before = sql[max(0, start - 1) : start]
            escapes = piece == "'" and before in {"e", "E"} and not sql[max(0, start - 2) : start - 1].isidentifier()
            at = _closing(sql, at, piece, escapes=escapes)
        elif piece == "/*":
            at = _comment_end(sql, at)
        elif piece.startswith("$"):
            end = sql.find(piece, at)
            at = end + len(piece) if end >= 0 else -1
        elif piece == "(":
            depth += 1
        elif piece == ")":
            depth -= 1
        if at < 0:
            return "a quote or comment that never ends", sql.count("\n", 0, start) + 1
        if piece == ";" or depth < 0:
            what = "a `;` in the middle" if piece == ";" else "a `)` without its `(`"
            return what, sql.count("\n", 0, start) + 1
    return ("a `(` without its `)`", sql.count("\n") + 1) if depth else None


def _closing(sql: str, at: int, quote: str, *, escapes: bool) -> int:
    """Behind the closing quote; -1 if there is none. A doubled quote is a quote inside."""
    while (end := sql.find(quote, at)) >= 0:
        if escapes and (len(sql[at:end]) - len(sql[at:end].rstrip("\\"))) % 2:
            at = end + 1
        elif sql.startswith(quote, end + 1):
            at = end + 2
        else:
            return end + 1
    return -1


def _comment_end(sql: str, at: int) -> int:
    """Behind the end of a comment, in which others may stand; -1 if it never ends."""
    depth = 1
    for match in re.finditer(r"/\*|\*/", sql[at:]):
        depth += 1 if match[0] == "/*" else -1
        if not depth:
            return at + match.end()
    return -1
