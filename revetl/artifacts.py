"""The files of `target/` that other programs read: `run_results.json`, `sources.json` and `manifest.json`.

They have dbt's envelope, so that tools which read dbt's files need little change, and a version and a JSON Schema
of their own (`revetl/schemas/`). They are written atomically and hold counts and names, never a key, a value of a
row or a secret.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revetl import previous
from revetl.compiler import DBT
from revetl.contracts import NOWHERE, Field
from revetl.errors import ConfigError
from revetl.report import Heading, inert, result_json, unique_id

if TYPE_CHECKING:
    from revetl.compiler import Compiled
    from revetl.engine import RunResult, SyncResult
    from revetl.gates import Outcome
    from revetl.project import Project

RUN_RESULTS = "revetl/run-results/v1"
MANIFEST = "revetl/manifest/v1"
SOURCES = "revetl/sources/v1"
SECRET_PREFIXES = ("DBT_ENV_SECRET", "REVETL_ENV_SECRET")
CUSTOM_PREFIXES = ("DBT_ENV_CUSTOM_ENV_", "REVETL_ENV_CUSTOM_ENV_")
MASK = "*****"
SHORTEST_SECRET = 4  # anything shorter would be masked inside ordinary words
_STATUS = {"partial": "partial success"}  # dbt's word
AGAIN = ("error", "skipped", "partial success")


def secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values that must never be written, longest first so that one inside another is masked whole."""
    found = {
        value
        for name, value in environ.items()
        if name.startswith(SECRET_PREFIXES) and len(value) >= SHORTEST_SECRET
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def scrub(text: str, secrets: Sequence[str]) -> str:
    """The text with every secret replaced."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def scrubbed(value: Any, secrets: Sequence[str]) -> Any:  # noqa: ANN401 any JSON value
    """A JSON value with every secret replaced, in keys as well."""
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, Mapping):
        return {scrub(str(key), secrets): scrubbed(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item, secrets) for item in value]
    return value


def metadata(
    schema: str, heading: Heading, *, invocation_id: str, now: datetime, environ: Mapping[str, str]
) -> dict[str, Any]:
    """The head of an artifact, as in dbt's."""
    custom = {
        name.removeprefix(prefix): value
        for prefix in CUSTOM_PREFIXES
        for name, value in sorted(environ.items())
        if name.startswith(prefix)
    }
    return {
        "revetl_schema_version": schema,
        "revetl_version": heading.version,
        "generated_at": timestamp(now),
        "invocation_id": invocation_id,
        "project_name": heading.project,
        "target": heading.target,
        "env": custom,
    }


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`, as dbt writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def run_results(
    result: RunResult,
    heading: Heading,
    *,
    head: Mapping[str, Any],
    args: Mapping[str, Any],
    secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """`run_results.json` as a value.

    Args:
        head: from `metadata`.
        args: the command's options, which `revetl retry` uses again.
        secrets: texts to mask.
    """
    document = {
        "metadata": dict(head) | {"run_id": result.run_id},
        "results": [*(_result(r, heading) for r in result.syncs), *tested(result.syncs, heading)],
        "elapsed_time": round(result.seconds, 6),
        "exit_code": int(result.exit_code),
        "message": result.error.message if result.error else None,
        "requests": result.requests,
        "retries": result.retries,
        "bytes_sent": result.bytes_sent,
        "statements": result.statements,
        "args": dict(args),
    }
    return dict(scrubbed(document, secrets))


def _result(result: SyncResult, heading: Heading) -> dict[str, Any]:
    message = result.error.message if result.error else None
    return {
        "unique_id": unique_id(heading.project, result.sync.name),
        "status": _STATUS.get(result.status, result.status),
        # the deletes of people come after all events, so a sync's work is not one interval
        "timing": [],
        "thread_id": "main",
        "execution_time": round(result.seconds, 6),
        "message": message,
        "failures": result.refused,
        "adapter_response": result_json(result),
        "compiled": True,
        "relation_name": result.sync.model,
    }


def tested(syncs: Sequence[SyncResult], heading: Heading) -> list[dict[str, Any]]:
    """The tests before some syncs, each once."""
    seen = {one.unique_id: one for result in syncs for one in result.tests}
    return [test_result(one, heading) for one in seen.values()]


def test_result(one: Outcome, heading: Heading) -> dict[str, Any]:
    """One test in the form of dbt's; a source's freshness as a kind of its own."""
    return {
        "unique_id": f"{'test' if one.test else 'freshness'}.{heading.project}.{one.unique_id}", "status": one.status,
        "timing": [], "thread_id": "main", "execution_time": round(one.seconds, 6), "message": one.told or None,
        "failures": one.failures, "adapter_response": {}, "compiled": bool(one.compiled),
        "compiled_path": one.compiled or None, "relation_name": None,
    }  # fmt: skip


def results_of_tests(  # noqa: PLR0913 what an artifact says
    outcomes: Sequence[Outcome], heading: Heading, *, head: Mapping[str, Any], args: Mapping[str, Any], seconds: float,
    secrets: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """`run_results.json` of `revetl test`, as a value; arguments as in `run_results`."""
    document = {
        "metadata": dict(head) | {"run_id": head["invocation_id"]}, "results": [test_result(one, heading) for one in outcomes],
        "elapsed_time": round(seconds, 6), "exit_code": int(any(one.status in {"fail", "error"} for one in outcomes)),
        "message": None, "requests": 0, "retries": 0, "bytes_sent": 0, "statements": len(outcomes), "args": dict(args),
    }  # fmt: skip
    return dict(scrubbed(document, secrets))


def sources(outcomes: Sequence[Outcome], heading: Heading, *, head: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """`sources.json` as a value, in the form of dbt's."""
    return {"metadata": dict(head), "results": [_source(one, heading) for one in outcomes], "elapsed_time": round(seconds, 6)}


def _source(one: Outcome, heading: Heading) -> dict[str, Any]:
    rule = one.freshness
    assert rule is not None  # noqa: S101 of a source
    ages = {name: age for name, age in (("warn_after", rule.warn_after), ("error_after", rule.error_after)) if age}
    known = one.age_s is not None
    return {
        "unique_id": f"source.{heading.project}.{one.name}",
        "status": {"fail": "error", "error": "runtime error"}.get(one.status, one.status),
        "max_loaded_at": timestamp(datetime.fromtimestamp(one.now_s - (one.age_s or 0), UTC)) if known else None,
        "snapshotted_at": timestamp(datetime.fromtimestamp(one.now_s, UTC)) if one.now_s else None,
        "max_loaded_at_time_ago_in_s": one.age_s,
        "criteria": {**{name: {"count": age.count, "period": age.period} for name, age in ages.items()},
                     "filter": rule.condition or None},
        "adapter_response": {}, "timing": [], "thread_id": "main", "execution_time": round(one.seconds, 6),
        "error": one.told if one.problem else None,
    }  # fmt: skip


def manifest(project: Project, compiled: Compiled, *, head: Mapping[str, Any]) -> dict[str, Any]:
    """`manifest.json` as a value: what the project is.

    Checksums are of the text before Jinja: a target's names and variables would make every model look modified.
    """

    def ids(nodes: Sequence[str]) -> list[str]:
        return [_node_id(project.name, node) for node in nodes]

    syncs = {}
    for sync in project.syncs.values():
        one = unique_id(project.name, sync.name)
        columns = {
            f.name: {"name": f.name, "data_type": str(f.type), "column": f.column, "description": f.description,
                     "on_null": str(f.on_null), **({"pii": True} if f.pii else {})}
            for f in sync.fields
        }  # fmt: skip
        syncs[one] = {
            "unique_id": one, "name": sync.name, "resource_type": "sync", "original_file_path": sync.where.file,
            "line": sync.where.line, "uid": sync.uid, "type": str(sync.type), "event": sync.event, "model": sync.model,
            "relation": sync.relation, "key": sync.key, "identifier": str(sync.identifier), "enabled": sync.enabled,
            "description": sync.description, "owner": sync.owner, "tags": list(sync.tags),
            # the place in the file is no part of what a sync is
            "checksum": checksum(repr(replace(sync, where=NOWHERE, fields=tuple(map(_unplaced, sync.fields))))),
            "digest": previous.sync_digest(sync),
            "contract_digest": sync.contract_digest(), "columns": columns,
            "compiled_path": f"compiled/{project.name}/syncs/{sync.name}.sql" if sync.name in compiled.order else None,
            "depends_on": {"nodes": ids(compiled.parents.get(f"sync.{sync.name}", ()))},
        }  # fmt: skip
    nodes: dict[str, Any] = {}
    relations = {build.name: build.relation for build in compiled.builds}
    for name, rendered in compiled.models.items():
        one = f"model.{project.name}.{name}"
        nodes[one] = {
            "unique_id": one, "name": name, "resource_type": "model", "original_file_path": rendered.model.path,
            "materialized": rendered.materialized, "tags": list(rendered.tags), "description": "",
            "checksum": checksum(rendered.model.sql), "digest": previous.model_digest(project, name),
            "relation_name": relations.get(name),
            "depends_on": {"nodes": ids(compiled.parents.get(f"model.{name}", ()))},
        }  # fmt: skip
    for name, source in project.sources.items():
        one = f"source.{project.name}.{name}"
        nodes[one] = {"unique_id": one, "name": source.name, "resource_type": "source",
                      "original_file_path": source.where.file, "digest": previous.source_digest(project, name),
                      "depends_on": {"nodes": []}}  # fmt: skip
    dbt = compiled.dbt
    for one in (name.removeprefix(DBT) for name in compiled.parents if name.startswith(DBT)):
        if dbt is None:
            break
        found = dbt.node(one)
        nodes[one] = {"unique_id": one, "name": found.name, "resource_type": found.kind, "package_name": found.package,
                      "original_file_path": found.file, "materialized": found.materialized, "tags": list(found.tags),
                      "description": found.description, "checksum": {"name": "sha256", "checksum": dbt.digest(one)},
                      "relation_name": found.relation or None,
                      "depends_on": {"nodes": ids(compiled.parents[f"{DBT}{one}"])}}  # fmt: skip
    parents = {one: node["depends_on"]["nodes"] for one, node in {**syncs, **nodes}.items()}
    children: dict[str, list[str]] = {one: [] for one in parents}
    for one, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(one)
    return {"metadata": dict(head) | {"adapter_type": project.target.type}, "syncs": syncs, "nodes": nodes,
            "parent_map": parents, "child_map": children}  # fmt: skip


def _unplaced(field: Field) -> Field:
    item = _unplaced(field.item) if field.item else None
    return replace(field, where=NOWHERE, items=tuple(map(_unplaced, field.items)), item=item)


def _node_id(project: str, node: str) -> str:
    kind, name = node.split(".", 1)
    return name if kind == "dbt" else f"{kind}.{project}.{name}"


def checksum(text: str) -> dict[str, str]:
    """In the form of dbt's manifest."""
    return {"name": "sha256", "checksum": hashlib.sha256(text.encode()).hexdigest()}


def failed_syncs(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the syncs that did not end with every row acknowledged."""
    return tuple(
        str(item["unique_id"]).split(".", 2)[2]
        for item in document["results"]
        if item["status"] in AGAIN and str(item["unique_id"]).startswith("sync.")
    )


# --- files -----------------------------------------------------------------------------------------------------


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, even after a crash.

    Raises:
        ConfigError: the folder cannot be written.
    """
    text = inert(json.dumps(value, indent=1, ensure_ascii=False, default=str)) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a temporary one in the same folder, flushed to the disk, then renamed.

    Raises:
        ConfigError: the folder cannot be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes it private; artifacts are read by other tools
        Path(temporary).replace(path)
        temporary = ""
    except OSError as problem:
        raise ConfigError(
            f"cannot write {path}: {problem.strerror or type(problem).__name__}",
            hint="choose a folder that can be written: --target-path DIR (or REVETL_TARGET_PATH)",
        ) from None
    finally:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()


def read_run_results(path: Path) -> dict[str, Any]:
    """The results of the last run.

    Raises:
        ConfigError: there are none, or another version of revetl wrote them.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}: nothing was run yet", hint="revetl run") from None
    except (OSError, ValueError) as problem:
        raise ConfigError(f"{path} cannot be read ({type(problem).__name__})", hint="revetl run") from None
    version = (
        document.get("metadata", {}).get("revetl_schema_version") if isinstance(document, dict) else None
    )
    if version != RUN_RESULTS:
        raise ConfigError(
            f"{path} has the version {version!r}; this revetl reads {RUN_RESULTS!r}",
            hint="run again: revetl run",
        )
    return dict(document)


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of an artifact: `run_results` or `manifest`."""
    text = (
        resources.files("revetl").joinpath("schemas").joinpath(f"{name}-v1.json").read_text(encoding="utf-8")
    )
    return dict(json.loads(text))
