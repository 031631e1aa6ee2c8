"""Whether this process works for a pull request, by what its CI says in the environment. Pure but for one file.

A pull request's models and macros are anyone's code. So a run for one never writes to a real workspace, and where
the job also holds the base repository's secrets (`pull_request_target`), no model is run at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError

# variables that exist only in a pull request's job, or that name it there (and say `false` elsewhere), from each vendor's
# list of predefined variables; where the name alone could be anyone's, one more must be set
_NAMED: tuple[tuple[str, str, str], ...] = (
    ("CI_MERGE_REQUEST_IID", "GitLab", ""), ("CI_EXTERNAL_PULL_REQUEST_IID", "GitLab", ""),
    ("BUILDKITE_PULL_REQUEST", "Buildkite", ""), ("CIRCLE_PULL_REQUEST", "CircleCI", ""),
    ("CIRCLE_PR_NUMBER", "CircleCI", ""), ("TRAVIS_PULL_REQUEST", "Travis CI", ""),
    ("SYSTEM_PULLREQUEST_PULLREQUESTID", "Azure Pipelines", ""), ("BITBUCKET_PR_ID", "Bitbucket", ""),
    ("DRONE_PULL_REQUEST", "Drone", ""), ("CI_COMMIT_PULL_REQUEST", "Woodpecker", ""),
    ("CHANGE_ID", "Jenkins", "BUILD_TAG"), ("ghprbPullId", "Jenkins", ""),
    ("APPVEYOR_PULL_REQUEST_NUMBER", "AppVeyor", ""), ("CIRRUS_PR", "Cirrus CI", ""),
    ("SEMAPHORE_GIT_PR_NUMBER", "Semaphore", ""), ("BITRISE_PULL_REQUEST", "Bitrise", ""),
    ("CM_PULL_REQUEST_NUMBER", "Codemagic", ""), ("PULL_NUMBER", "Prow", "PROW_JOB_ID"),
)  # fmt: skip
# these say which kind of job it is
_KINDS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("BUILD_REASON", ("PullRequest",), "Azure Pipelines"),
    ("CI_PIPELINE_SOURCE", ("merge_request_event", "external_pull_request_event"), "GitLab"),
    ("DRONE_BUILD_EVENT", ("pull_request",), "Drone"), ("CI_PIPELINE_EVENT", ("pull_request",), "Woodpecker"),
    ("CODEBUILD_WEBHOOK_EVENT", ("PULL_REQUEST_CREATED", "PULL_REQUEST_UPDATED", "PULL_REQUEST_REOPENED"), "CodeBuild"),
)  # fmt: skip
# whose disk is gone after the job: CI that makes a machine or container for each, functions, and containers
_VANISHING: tuple[tuple[str, str], ...] = (
    ("GITHUB_ACTIONS", "GitHub Actions"), ("GITLAB_CI", "GitLab"), ("CIRCLECI", "CircleCI"), ("TF_BUILD", "Azure Pipelines"),
    ("BITBUCKET_BUILD_NUMBER", "Bitbucket"), ("TRAVIS", "Travis CI"), ("DRONE", "Drone"), ("CODEBUILD_BUILD_ID", "CodeBuild"),
    ("SEMAPHORE", "Semaphore"), ("CIRRUS_CI", "Cirrus CI"), ("AWS_LAMBDA_FUNCTION_NAME", "AWS Lambda"),
    ("K_SERVICE", "Cloud Run"),
    ("CLOUD_RUN_JOB", "Cloud Run"), ("ECS_CONTAINER_METADATA_URI_V4", "ECS"), ("KUBERNETES_SERVICE_HOST", "Kubernetes"),
    ("CI", "CI"),
)  # fmt: skip
NEW_STATE = "REVETL_NEW_STATE"  # says that a file of the state is new on purpose
_NO = frozenset({"", "false", "0", "none", "null"})
_BEFORE_MERGE = ("pull_request", "merge_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request's job.

    Attributes:
        system: the CI.
        sign: the variable that says so.
        trusted_context: the job has the base repository's rights and secrets (`pull_request_target`).
    """

    system: str
    sign: str
    trusted_context: bool = False


def pull_request(environ: Mapping[str, str]) -> PullRequest | None:
    """The pull request that this process works for, or None."""
    event = environ.get("GITHUB_EVENT_NAME", "")
    if event.startswith("pull_request_target"):
        return PullRequest(system="GitHub Actions", sign=f"GITHUB_EVENT_NAME={event}", trusted_context=True)
    if event.startswith(_BEFORE_MERGE):
        return PullRequest(system="GitHub Actions", sign=f"GITHUB_EVENT_NAME={event}")
    if event == "workflow_run" and _started_by(environ).startswith("pull_request"):
        # such a job has the secrets although a pull request started it
        return PullRequest(system="GitHub Actions", sign="GITHUB_EVENT_NAME=workflow_run", trusted_context=True)
    for name, values, system in _KINDS:
        if environ.get(name) in values:
            return PullRequest(system=system, sign=f"{name}={environ[name]}")
    for name, system, beside in _NAMED:
        if environ.get(name, "").strip().lower() not in _NO and (not beside or environ.get(beside)):
            return PullRequest(system=system, sign=name)
    return None


def _started_by(environ: Mapping[str, str]) -> str:
    """The event behind a GitHub `workflow_run`."""
    found: Any = {}
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
    run = found.get("workflow_run") if isinstance(found, dict) else None
    return str(run.get("event", "")) if isinstance(run, dict) else ""


def may_read(environ: Mapping[str, str]) -> None:
    """Whether models may be run at all.

    Raises:
        ConfigError: their code may be a stranger's, and the job has secrets.
    """
    found = pull_request(environ)
    if found is not None and found.trusted_context:
        raise ConfigError(
            f"no model is run for a pull request in a job that has the repository's secrets ({found.sign})",
            hint="let the workflow start `on: pull_request` instead (docs/diff.md)", code="RV080",
        )  # fmt: skip


def may_send(environ: Mapping[str, str], *, real: bool) -> None:
    """Whether a run may send.

    Args:
        environ: of this process.
        real: the destination is Customer.io itself, not a sandbox.

    Raises:
        ConfigError: this is a pull request's job.
    """
    may_read(environ)
    found = pull_request(environ)
    if found is not None and real:
        raise ConfigError(
            f"nothing is sent to Customer.io for a pull request, and this is one's job on {found.system} ({found.sign})",
            hint="show what a run would do with `revetl diff`, or choose a target whose destination is `type: sandbox`",
            code="RV081",
        )


def vanishing(environ: Mapping[str, str], *, container: Path = Path("/.dockerenv")) -> str:
    """What this process runs on, if its disk is gone afterwards; else an empty text."""
    for name, system in _VANISHING:
        if environ.get(name, "").strip().lower() not in _NO:
            return system
    return "a container" if container.exists() else ""


def may_begin(place: str, environ: Mapping[str, str], *, memory: bool, real: bool, on: str = "") -> str:
    """Whether a run may begin a state in a DuckDB database that is new; what to say of it otherwise.

    Args:
        place: the file.
        environ: of this process.
        memory: there is no file at all.
        real: the destination is Customer.io itself, not a sandbox.
        on: what the process runs on, as `vanishing` says.

    Raises:
        ConfigError: what was acknowledged would be forgotten, so that the next run sends everything again.
    """
    keep = "`state: {in: …}` in profiles.yml keeps it in PostgreSQL (docs/state-elsewhere.md)"
    if memory:
        told, hint = "the state would be in memory, and gone when this run ends", keep
    elif not on or environ.get(NEW_STATE, "").strip().lower() not in _NO:
        return ""
    else:
        told = f"the state's file {place} does not exist yet, and this is {on}, whose disk may be gone after the run"
        hint = f"bring the file of the last run back first; or, to begin here: {NEW_STATE}=1 revetl run; or: {keep}"
    if real:
        raise ConfigError(f"{told}: the next run would send everything again; nothing was sent", hint=hint, code="RV482")
    return f"{told}: the next run will send everything again"
