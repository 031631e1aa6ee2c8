"""The rights that revetl needs in a warehouse, as a script for its administrator. Pure: text from a compiled project.

Three roles, so that no job has more than it needs:

    plan    reads the sources and the state: `diff`, `status`, pull requests
    run     reads the sources, makes and changes the tables of the state schema: `run`, `retry`
    admin   makes the schema, and may change what `run` made: upgrades, repairs
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from revetl.compiler import Compiled
from revetl.errors import ConfigError
from revetl.folding import named
from revetl.project import Project, Source

DIALECTS = ("postgres", "snowflake", "bigquery")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a project touches in a warehouse.

    Attributes:
        sources: the tables that the enabled syncs' models declare and read.
        unknown: models that name neither a source nor another model: what they read is in their SQL only.
        built: names of the views and tables that runs make in `schema`.
    """

    database: str
    schema: str
    state_schema: str
    sources: tuple[Source, ...]
    unknown: tuple[str, ...]
    built: tuple[str, ...]


def needs(project: Project, compiled: Compiled) -> Needs:
    """What the enabled syncs of a project touch."""
    seen: dict[str, None] = {}

    def visit(node: str) -> None:
        if node not in seen:
            seen[node] = None
            for parent in compiled.parents.get(node, ()):
                visit(parent)

    for name in compiled.order:
        visit(f"sync.{name}")
    sources = [project.sources[node.removeprefix("source.")] for node in seen if node.startswith("source.")]
    models = [node.removeprefix("model.") for node in seen if node.startswith("model.")]
    if compiled.dbt is not None:
        used = {one for sync in compiled.order for one in compiled.dbt.stored(compiled.upstream(sync))}
        nodes = [compiled.dbt.node(one) for one in used]
        sources += [Source(name=n.name, schema=n.schema, identifier=n.identifier, database=n.database) for n in nodes]
    unknown = [
        name
        for name in models
        if not compiled.models[name].parents and re.search(r"\b(from|join)\b", compiled.models[name].sql, re.IGNORECASE)
    ]
    return Needs(
        database=project.target.database, schema=project.target.schema, state_schema=project.state_schema,
        sources=tuple(sorted((s for s in sources if not s.external_location), key=lambda s: (s.schema, s.identifier))),
        unknown=tuple(sorted(unknown)), built=tuple(sorted(b.name for b in compiled.builds if b.name in models)),
    )  # fmt: skip


def script(found: Needs, dialect: str, *, prefix: str = "revetl") -> str:
    """The GRANT script.

    Args:
        found: from `needs`.
        dialect: one of `DIALECTS`.
        prefix: of the three roles' names.

    Raises:
        ConfigError: there are no roles in this warehouse, or the prefix is no name.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,40}", prefix):
        raise ConfigError("the roles' prefix has letters, digits and `_` only", hint="revetl grants --roles revetl")
    if dialect not in DIALECTS:
        raise ConfigError(
            f"there are no roles in {dialect}", hint=f"revetl grants --dialect {' | '.join(DIALECTS)} prints the script for it"
        )
    if dialect == "bigquery":
        return "\n".join(_bigquery(found, prefix)) + "\n"
    lines = _postgres(found, prefix) if dialect == "postgres" else _snowflake(found, prefix)
    return "\n".join([*_head(found, dialect, prefix), *lines]) + "\n"


def _given(dialect: str, prefix: str) -> str:
    """An example of how a user gets a role and acts as it."""
    if dialect == "postgres":
        return f"--   GRANT {prefix}_run TO job; ALTER ROLE job SET role TO '{prefix}_run';"
    return f"--   GRANT ROLE {prefix}_run TO USER job; ALTER USER job SET DEFAULT_ROLE = {prefix}_run;".upper()


def _quoted(*parts: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)


def _named(*parts: str) -> str:
    """Names of a project as Snowflake's catalog has them."""
    return _quoted(*(named(part, "snowflake") for part in parts))


def _comment(text: str) -> str:
    """Text behind `--`: no name can end the line."""
    return " ".join(text.split())


def _head(found: Needs, dialect: str, prefix: str) -> Iterator[str]:
    yield f"-- The roles of revetl for {dialect}; let an administrator run it. It may be run again."
    yield f"-- {prefix}_plan   reads the sources and the state: diff, status, pull requests"
    yield f"-- {prefix}_run    reads the sources, and keeps the state: run, retry"
    yield f"-- {prefix}_admin  makes the schema, and may change what the run made: upgrades, repairs"
    yield "-- Give each to the user of its job, and let that user's sessions act as it: what a user makes in its own name,"
    yield "-- the other jobs cannot see. Write `role:` into the target in profiles.yml, or let the server do it:"
    yield _given(dialect, prefix)
    yield "-- Users, passwords and keys are not made here."
    if found.unknown:
        yield "--"
        yield f"-- These models read tables that no source declares: {_comment(', '.join(found.unknown))}."
        yield "-- Add USAGE and SELECT for them, or declare them as sources."


def _schemas(found: Needs) -> list[tuple[str, str]]:
    """(database, schema) of every source, once."""
    return list(dict.fromkeys((source.database, source.schema) for source in found.sources))


def _postgres(found: Needs, prefix: str) -> Iterator[str]:
    plan, run, admin = (f"{prefix}_{name}" for name in ("plan", "run", "admin"))
    state = _quoted(found.state_schema)
    yield from ("", "-- roles")
    for role in (plan, run, admin):
        yield (
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        )
    yield f"GRANT {run} TO {admin};"
    if found.database:
        yield f"GRANT CONNECT ON DATABASE {_quoted(found.database)} TO {plan}, {run};"
        yield f"GRANT CREATE ON DATABASE {_quoted(found.database)} TO {admin};"
    yield from ("", "-- sources")
    for _, schema in _schemas(found):
        yield f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO {plan}, {run};"
    for source in found.sources:
        yield f"GRANT SELECT ON {_quoted(source.schema, source.identifier)} TO {plan}, {run};"
    yield from ("", "-- state")
    yield f"CREATE SCHEMA IF NOT EXISTS {state} AUTHORIZATION {admin};"
    yield f"GRANT USAGE, CREATE ON SCHEMA {state} TO {run};"
    yield f"GRANT USAGE ON SCHEMA {state} TO {plan};"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {state} TO {plan};"
    yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {run}, {admin} IN SCHEMA {state} GRANT SELECT ON TABLES TO {plan};"
    # a list of forgotten people that runs cannot read would be no list for them
    yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {admin} IN SCHEMA {state} GRANT ALL ON TABLES TO {run};"
    if found.built:
        schema = _quoted(found.schema)
        yield from ("", f"-- views and tables that runs make: {_comment(', '.join(found.built))}")
        yield f"CREATE SCHEMA IF NOT EXISTS {schema};"
        yield f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {run};"
        yield f"GRANT USAGE ON SCHEMA {schema} TO {plan};"
        yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {run} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {plan};"


def _snowflake(found: Needs, prefix: str) -> Iterator[str]:
    plan, run, admin = (f"{prefix}_{name}".upper() for name in ("plan", "run", "admin"))
    database = found.database
    state = _named(database, found.state_schema)
    yield from ("", "-- roles")
    for role in (plan, run, admin):
        yield f"CREATE ROLE IF NOT EXISTS {role};"
    yield f"GRANT ROLE {run} TO ROLE {admin};"
    yield from _to((plan, run), "USAGE ON WAREHOUSE <WAREHOUSE>")
    databases = dict.fromkeys([database, *(d or database for d, _ in _schemas(found))])
    for one in filter(None, databases):
        yield from _to((plan, run), f"USAGE ON DATABASE {_named(one)}")
    yield from ("", "-- sources (for a view: SELECT ON VIEW)")
    for other, schema in _schemas(found):
        yield from _to((plan, run), f"USAGE ON SCHEMA {_named(other or database, schema)}")
    for source in found.sources:
        name = _named(source.database or database, source.schema, source.identifier)
        yield from _to((plan, run), f"SELECT ON TABLE {name}")
    yield from ("", "-- state; transient tables keep no copy of people's data after they are dropped")
    yield f"CREATE TRANSIENT SCHEMA IF NOT EXISTS {state};"
    yield f"GRANT OWNERSHIP ON SCHEMA {state} TO ROLE {admin} COPY CURRENT GRANTS;"
    yield from _to((run,), f"USAGE ON SCHEMA {state}", f"CREATE TABLE ON SCHEMA {state}")
    # a list of forgotten people that runs cannot read would be no list for them
    rows = "SELECT, INSERT, UPDATE, DELETE ON"
    yield from _to((run,), f"{rows} ALL TABLES IN SCHEMA {state}", f"{rows} FUTURE TABLES IN SCHEMA {state}")
    yield from _to((plan,), f"USAGE ON SCHEMA {state}", f"SELECT ON ALL TABLES IN SCHEMA {state}",
                   f"SELECT ON FUTURE TABLES IN SCHEMA {state}")  # fmt: skip
    if found.built:
        schema = _named(database, found.schema)
        yield from ("", f"-- views and tables that runs make: {_comment(', '.join(found.built))}")
        yield f"CREATE SCHEMA IF NOT EXISTS {schema};"
        yield from _to((run,), *(f"{right} ON SCHEMA {schema}" for right in ("USAGE", "CREATE VIEW", "CREATE TABLE")))
        yield from _to((plan,), f"USAGE ON SCHEMA {schema}", f"SELECT ON FUTURE TABLES IN SCHEMA {schema}",
                       f"SELECT ON FUTURE VIEWS IN SCHEMA {schema}")  # fmt: skip


def _bigquery(found: Needs, prefix: str) -> Iterator[str]:
    """BigQuery has no roles of its own: each job is a service account."""
    project = found.database or "<project>"
    account = f"serviceAccount:{prefix.lower().replace('_', '-')}-%s@{project}.iam.gserviceaccount.com"
    plan, run, admin = (account % name for name in ("plan", "run", "admin"))

    def of(*parts: str) -> str:
        return ".".join(f"`{part}`" for part in parts)

    def give(role: str, kind: str, name: str, *who: str) -> str:
        return f"GRANT `roles/bigquery.{role}` ON {kind} {name} TO " + ", ".join(f'"{one}"' for one in who) + ";"

    yield "-- The service accounts of revetl for BigQuery; let an administrator run it. It may be run again."
    yield "-- plan reads the sources and the state; run keeps the state as well; admin may change what the run made."
    yield "-- They are made, and may run jobs, by these commands, which are no SQL:"
    for one in (plan, run, admin):
        name = one.removeprefix("serviceAccount:").partition("@")[0]
        yield f"--   gcloud iam service-accounts create {name} --project={project}"
        yield f"--   gcloud projects add-iam-policy-binding {project} --member={one} --role=roles/bigquery.jobUser"
    if found.unknown:
        yield f"-- These models read tables that no source declares: {_comment(', '.join(found.unknown))}."
        yield "-- Add roles/bigquery.dataViewer for them, or declare them as sources."
    yield from ("", "-- sources (for a view: ON VIEW)")
    for source in found.sources:
        yield give("dataViewer", "TABLE", of(source.database or project, source.schema, source.identifier), plan, run)
    yield from ("", "-- state; add OPTIONS(location='EU') for the location of the sources")
    state = of(project, found.state_schema)
    yield f"CREATE SCHEMA IF NOT EXISTS {state};"
    yield give("dataEditor", "SCHEMA", state, run)
    yield give("dataViewer", "SCHEMA", state, plan)
    yield give("dataOwner", "SCHEMA", state, admin)
    if found.built:
        schema = of(project, found.schema)
        yield from ("", f"-- views and tables that runs make: {_comment(', '.join(found.built))}")
        yield give("dataEditor", "SCHEMA", schema, run)
        yield give("dataViewer", "SCHEMA", schema, plan)


def _to(roles: Sequence[str], *rights: str) -> Iterator[str]:
    """One statement for each right and role: Snowflake takes one role at a time."""
    return (f"GRANT {right} TO ROLE {role};" for right in rights for role in roles)
