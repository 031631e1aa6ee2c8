"""A pull request's job never sends to a real workspace, and where it has secrets it runs no model. A diff never writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from revetl.ci import may_read, may_send, pull_request
from revetl.errors import ConfigError, WarehouseError
from revetl.warehouse import open_warehouse
from tests.bars import Bar
from tests.suites.world import World, postgres_world
from tests.unit.project_files import SHOP, write

PULL_REQUESTS: Mapping[str, Mapping[str, str]] = {
    "GitHub": {"GITHUB_EVENT_NAME": "pull_request"}, "GitHub review": {"GITHUB_EVENT_NAME": "pull_request_review"},
    "GitHub merge queue": {"GITHUB_EVENT_NAME": "merge_group"},
    "GitLab": {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "7"},
    "GitLab id": {"CI_MERGE_REQUEST_IID": "7"},
    "Buildkite": {"BUILDKITE_PULL_REQUEST": "7"}, "CircleCI": {"CIRCLE_PULL_REQUEST": "https://github.com/a/b/pull/7"},
    "Travis": {"TRAVIS_PULL_REQUEST": "7"}, "Azure": {"SYSTEM_PULLREQUEST_PULLREQUESTID": "7"},
    "Azure reason": {"BUILD_REASON": "PullRequest"}, "Bitbucket": {"BITBUCKET_PR_ID": "7"}, "Drone": {"DRONE_PULL_REQUEST": "7"},
    "Jenkins": {"CHANGE_ID": "PR-7", "BUILD_TAG": "jenkins-x-1"}, "AppVeyor": {"APPVEYOR_PULL_REQUEST_NUMBER": "7"},
    "Woodpecker": {"CI_COMMIT_PULL_REQUEST": "7"}, "Cirrus": {"CIRRUS_PR": "7"}, "Semaphore": {"SEMAPHORE_GIT_PR_NUMBER": "7"},
    "CodeBuild": {"CODEBUILD_WEBHOOK_EVENT": "PULL_REQUEST_CREATED"}, "Bitrise": {"BITRISE_PULL_REQUEST": "7"},
    "Prow": {"PULL_NUMBER": "7", "PROW_JOB_ID": "x"},
}  # fmt: skip
WITH_SECRETS: Mapping[str, Mapping[str, str]] = {
    "GitHub target": {"GITHUB_EVENT_NAME": "pull_request_target"},
}
OTHERS: tuple[Mapping[str, str], ...] = (
    {}, {"CI": "true"}, {"GITHUB_EVENT_NAME": "push"}, {"GITHUB_EVENT_NAME": "schedule"},
    {"GITHUB_EVENT_NAME": "workflow_dispatch"},
    {"GITHUB_EVENT_NAME": "workflow_run"}, {"BUILDKITE_PULL_REQUEST": "false"}, {"TRAVIS_PULL_REQUEST": "false"},
    {"CIRCLE_PULL_REQUEST": ""}, {"CI_PIPELINE_SOURCE": "push"}, {"BUILD_REASON": "IndividualCI"}, {"CHANGE_ID": "CHG0012345"},
    {"PULL_NUMBER": "7"}, {"CODEBUILD_WEBHOOK_EVENT": "PUSH"}, {"DRONE_BUILD_EVENT": "cron"},
)  # fmt: skip
FILES = {
    **SHOP,
    "profiles.yml": """\
        shop:
          target: prod
          outputs:
            prod: {type: duckdb, path: shop.duckdb, state_schema: revetl_prod}
            dev: {type: duckdb, path: shop.duckdb}
          destinations:
            prod: {type: customerio, region: eu, site_id: "{{ env_var('CIO_SITE') }}", api_key: "{{ env_var('CIO_KEY') }}"}
            dev: {type: sandbox}
        """,
    "syncs/orders.yml": None,
}
# the command in a process of its own that writes down every address it wants to reach, by the interpreter's own hook
WATCHED = """
import sys
out = open(sys.argv[1], "a")
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        print(event, args[1] if event.startswith("socket.connect") else args[0], file=out, flush=True)
sys.addaudithook(hook)
from revetl.cli import main
sys.exit(main(sys.argv[2:]))
"""


class Job:
    """A CI job in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = write(folder, FILES)
        self.notes = folder / "sockets.txt"
        with duckdb.connect(str(folder / "shop.duckdb")) as db:
            db.execute("CREATE TABLE t AS SELECT 1 AS a")

    def __call__(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Exit code and output."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("REVETL_", "DBT_", "CIO_", "GITHUB_", "CI"))}
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, str(self.notes), *arguments], cwd=self.folder, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**plain, "HOME": str(self.folder), "CIO_SITE": "site-canary", "CIO_KEY": "key-canary", **environ},
        )  # fmt: skip
        return done.returncode, done.stdout

    def reached(self) -> list[str]:
        """Every address, one a line."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.mark.parametrize("environ", [*PULL_REQUESTS.values(), *WITH_SECRETS.values()], ids=[*PULL_REQUESTS, *WITH_SECRETS])
def test_a_pull_request_is_recognised(environ: Mapping[str, str]) -> None:
    assert pull_request(environ) is not None
    with pytest.raises(ConfigError) as caught:
        may_send(environ, real=True)
    assert caught.value.hint
    assert int(caught.value.exit_code) == 2


@pytest.mark.parametrize("environ", OTHERS, ids=str)
def test_other_jobs_may_send(environ: Mapping[str, str]) -> None:
    assert pull_request(environ) is None
    may_send(environ, real=True)


@pytest.mark.parametrize("environ", PULL_REQUESTS.values(), ids=PULL_REQUESTS)
def test_a_pull_request_may_look_and_send_to_a_sandbox(environ: Mapping[str, str]) -> None:
    may_read(environ)
    may_send(environ, real=False)


def test_a_job_with_secrets_runs_no_model(tmp_path: Path) -> None:
    for environ in WITH_SECRETS.values():
        with pytest.raises(ConfigError, match="no model is run"):
            may_read(environ)
    event = tmp_path / "event.json"
    job = {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_EVENT_PATH": str(event)}
    for text, refused in (('{"workflow_run": {"event": "pull_request"}}', True), ('{"workflow_run": {"event": "push"}}', False),
                          ("[1]", False), ("{", False), ('{"workflow_run": 3}', False)):  # fmt: skip
        event.write_text(text)
        assert (pull_request(job) is not None) is refused


def test_no_request_leaves_a_pull_request(tmp_path: Path, bar: Bar) -> None:
    """As processes: one of each system, for `run` and `retry`; the hook sees every socket."""
    job = Job(tmp_path)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "run_results.json").write_text(json.dumps({
        "metadata": {"revetl_schema_version": "revetl/run-results/v1"}, "args": {},
        "results": [{"unique_id": "sync.shop.people", "status": "error"}]}))  # fmt: skip
    refused = 0
    contexts = {**PULL_REQUESTS, **WITH_SECRETS}
    chosen = {**dict(list(contexts.items())[::2]), **WITH_SECRETS}  # every second as a process; all of them above
    for i, environ in enumerate(chosen.values()):
        code, said = job(*(("retry",) if i % 4 == 3 else ("run", "--confirm-first-run", "1")), **environ)
        assert code == 2, said
        assert "revetl diff" in said or "docs/diff.md" in said
        assert "canary" not in said
        refused += 1
    assert job.reached() == []
    code, said = job("diff", GITHUB_EVENT_NAME="pull_request_target")
    assert (code, "no model is run" in said) == (2, True)
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as db:
        assert db.execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'revetl%'").fetchall() == []
    assert refused >= 10
    bar(37, "simulated pull requests in which `run` or `retry` was refused", found=f"{refused}/{len(chosen)}", goal="10/10")
    bar(37, "sockets opened by them", found=len(job.reached()), goal="0", of=f"{refused} processes")


def test_the_hook_would_see_a_socket(tmp_path: Path) -> None:
    """The same run outside of a pull request does reach for Customer.io (and finds nobody: the name is not resolved here)."""
    job = Job(tmp_path)
    code, _ = job("run", "--confirm-first-run", "1", "--target", "dev", GITHUB_EVENT_NAME="pull_request")
    assert code == 0  # a sandbox is allowed, and it is reached through a socket
    assert any("127.0.0.1" in line for line in job.reached())


def test_a_diff_writes_nothing_and_opens_no_socket(tmp_path: Path, bar: Bar) -> None:
    job = Job(tmp_path)
    before = (tmp_path / "shop.duckdb").read_bytes()
    shapes = (["diff"], ["diff", "--output", "json"], ["diff", "--output", "markdown"], ["run", "--dry-run"])
    for words in shapes:
        code, said = job(*words)
        assert code == 0, said
    changed = int((tmp_path / "shop.duckdb").read_bytes() != before)
    assert changed == 0
    assert job.reached() == []
    bar(37, "bytes of the warehouse changed by a diff", found=changed, goal="0", of="DuckDB, 4 shapes of a diff")
    bar(37, "sockets opened by a diff", found=len(job.reached()), goal="0", of="4 processes with a real destination")


def test_a_diff_writes_nothing_on_postgres(postgres_uri: str, bar: Bar) -> None:
    """By PostgreSQL's own counters, and because it may not."""
    with postgres_world(postgres_uri, "dry_run") as connect:
        world = World(connect=connect, box=None)  # type: ignore[arg-type]  # there is nobody to send to
        world.people_table(("a", "ann@example.com", "free", 0), ("b", "bob@example.com", "pro", 12.5))
        world.orders_table(("o1", "a", 2, 30))

        def counters() -> list[tuple[Any, ...]]:
            world.sql("SELECT pg_stat_force_next_flush()")
            return world.ask("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del), count(*) FROM pg_stat_user_tables")

        before = counters()
        result = world.diff()
        assert sum(d.counts.planned for d in result.syncs) == 3
        after = counters()
        assert after == before
        bar(37, "rows written and tables made by a diff", found=sum(map(int, after[0])) - sum(map(int, before[0])), goal="0",
            of="PostgreSQL's counters")  # fmt: skip
        session = connect(read_only=True)
        for statement in ("INSERT INTO people VALUES ('x')", "CREATE TABLE made (a int)", "UPDATE people SET plan = 'x'",
                          "DROP TABLE people"):  # fmt: skip
            with pytest.raises(Exception, match="read-only transaction"):
                session.execute(sa.text(statement))
        session.close()


def test_a_session_of_a_diff_has_a_time_limit(postgres_uri: str) -> None:
    url = sa.make_url(postgres_uri)
    base = {"host": url.query["host"], "user": url.username, "dbname": url.database}

    def limit(*, read_only: bool, **fields: object) -> str:
        session = open_warehouse("postgres", {**base, **fields}, root=Path(), read_only=read_only)
        try:
            return str(session.fetch(sa.text("SELECT current_setting('statement_timeout')"))[0][0])
        finally:
            session.close()

    assert [limit(read_only=True), limit(read_only=False)] == ["10min", "0"]
    assert [limit(read_only=flag, statement_timeout=7) for flag in (True, False)] == ["7s", "7s"]
    session = open_warehouse("postgres", {**base, "statement_timeout": 1}, root=Path(), read_only=True)
    with pytest.raises(Exception, match="57014") as caught:
        session.fetch(sa.text("SELECT pg_sleep(30)"))
    assert "statement_timeout" in caught.value.hint  # type: ignore[attr-defined]
    session.close()


def test_a_search_path_cannot_bring_an_option_of_its_own(postgres_uri: str) -> None:
    url = sa.make_url(postgres_uri)
    fields = {"host": url.query["host"], "user": url.username, "dbname": url.database}

    def asked(path: str) -> list[tuple[object, ...]]:
        session = open_warehouse("postgres", {**fields, "search_path": path}, root=Path(), read_only=True)
        try:
            return session.fetch(sa.text("SELECT current_setting('search_path'), current_setting('transaction_read_only')"))
        finally:
            session.close()

    assert asked('public, "a b"') == [('public, "a b"', "on")]
    with pytest.raises(WarehouseError, match=r"invalid value for parameter .search_path"):
        asked("public -c default_transaction_read_only=off")
