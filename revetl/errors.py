"""The errors of revetl, grouped by who has to act next, and the exit code of each.

    RevetlError
    ├── ConfigError          2   the person who writes the project
    │   └── ProjectErrors    2   several of them, found in one pass
    ├── ContractBroken      10   the owner of the model
    ├── GuardTripped        11   the person who confirms the run
    ├── StateDamaged        12   the operator of the state schema
    ├── DestinationDown     21   nobody: try later
    ├── CredentialsRefused  22   the owner of the credentials
    ├── WarehouseError      30   the warehouse (usually: try again)
    ├── LeaseHeld           40   nobody: another run is at work
    └── LeaseLost           41   nobody: try again

A message never holds a secret or a value of a row: counts, names of columns, and masked keys only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to its orchestrator (`docs/exit-codes.md`)."""

    OK = 0
    ROWS_REFUSED = 1
    USAGE = 2
    BUG = 3
    CONTRACT = 10
    GUARD = 11
    STATE = 12
    DESTINATION = 21
    CREDENTIALS = 22
    WAREHOUSE = 30
    LEASE_HELD = 40
    LEASE_LOST = 41
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A place in a file of the project. Lines and columns count from 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """`syncs/people.yml:7:5`, the form that editors and terminals make clickable."""
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return place


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A warning: something that nobody has to act on now. It stops nothing, unless it is asked to (`--warn-error`).

    Attributes:
        code: a stable code such as `RV262`.
        message: what was seen; counts and names, no values.
        hint: what to do, if possible the command to type.
    """

    code: str
    message: str
    hint: str = ""


class RevetlError(Exception):
    """Something a user can act on.

    Args:
        message: what happened, with its cause; one sentence, no values of rows.
        hint: what to do next, if possible the command to type.
        where: the place in the project that has to change.
        code: a stable code such as `RV012` that documentation and editors can point to.
        keys: some keys that are to blame, masked: shown in text, never in a comment, an artifact or the warehouse.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(
        self, message: str, *, hint: str = "", where: Where | None = None, code: str = "", keys: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.keys = tuple(keys)
        self.hint = hint
        self.where = where
        self.code = code

    def __str__(self) -> str:
        """Place, message, keys, code on the first line; the hint on the second."""
        text = f"{self.where}: {self.message}" if self.where else self.message
        if self.keys:
            text += f" (such as {', '.join(self.keys)})"
        if self.code:
            text += f" [{self.code}]"
        if self.hint:
            text += f"\n  → {self.hint}"
        return text


class ConfigError(RevetlError):
    """The project, a profile, a flag or a model's SQL is wrong: nothing was sent."""

    exit_code = ExitCode.USAGE


class ProjectErrors(ConfigError):
    """All problems of a project, found in one pass, in the order of files and lines."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the project")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Each problem on its own lines, then the count."""
        return "\n".join([*(str(problem) for problem in self.problems), self.message])


class ContractBroken(RevetlError):
    """A model does not give what its sync promises (keys, types, columns): nothing was sent."""

    exit_code = ExitCode.CONTRACT


class GuardTripped(RevetlError):
    """A guard stopped the run before the first request."""

    exit_code = ExitCode.GUARD


class StateDamaged(RevetlError):
    """The state is missing, edited, newer than this tool, or of another workspace: nothing was sent."""

    exit_code = ExitCode.STATE


class DestinationDown(RevetlError):
    """Customer.io could not be reached, or the retry budget or the run's deadline was used up."""

    exit_code = ExitCode.DESTINATION


class CredentialsRefused(RevetlError):
    """Customer.io answered 401 or 403. No row is to blame."""

    exit_code = ExitCode.CREDENTIALS


class WarehouseError(RevetlError):
    """The warehouse refused a statement or could not be reached.

    Args:
        line: the line of the statement that the engine points at; 0 if it does not.
        statement: the text that was sent; never shown, as it may hold values of `var()`.
    """

    exit_code = ExitCode.WAREHOUSE

    def __init__(  # noqa: PLR0913 what an error of the warehouse is known by
        self, message: str, *, hint: str = "", where: Where | None = None, code: str = "", line: int = 0,
        statement: str = "",
    ) -> None:  # fmt: skip
        super().__init__(message, hint=hint, where=where, code=code)
        self.line = line
        self.statement = statement

    def line_in(self, text: str) -> int:
        """The line inside `text`, a part of the statement, that the engine points at; 0 if it is not in it."""
        for written in (text, text.replace("%", "%%")):  # some drivers double percent signs
            start = self.statement.find(written)
            if self.line and start >= 0:
                line, last = self.line - self.statement.count("\n", 0, start), text.count("\n") + 1
                # what is missing at the end of the text is noticed at the bracket behind it
                return min(line, last) if 0 < line <= last + 1 else 0
        return 0


class LeaseHeld(RevetlError):
    """Another run works on the same stream. Nothing was sent by this one."""

    exit_code = ExitCode.LEASE_HELD


class LeaseLost(RevetlError):
    """The lease ended during the run; another run has taken over what is left."""

    exit_code = ExitCode.LEASE_LOST


class Interrupted(RevetlError):
    """A signal asked the run to stop; it stopped after a clean checkpoint."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message, hint="the same command again sends the rest; or for all: revetl run")
        self.exit_code = ExitCode.TERMINATED if signal_number == 15 else ExitCode.INTERRUPTED  # noqa: PLR2004 SIGTERM
