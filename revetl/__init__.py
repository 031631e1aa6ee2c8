"""Sync models of a warehouse to Customer.io, so that a crash, a retry or a second run never loses or doubles a row.

The map, from the bottom up (imports go this way only):

    errors, destination, contracts   values that every part speaks
    rules, taxonomy                  what names mean, and what may be wrong with them
    versions, renames                what changed in a contract; names that are sent under two names for a while
    dbt, dbtchecks, previous         what a dbt project built, by its files; what that means for a sync; another state
    fromdbt                          the files of a project beside a dbt project
    adapters, profiles               the fields of dbt's adapters, and the target that is chosen
    sourcefiles                      files that sources declare
    project, compiler, selection     YAML, profiles and Jinja → syncs with their SQL
    dialects, warehouse, tables      the one door to the warehouse; on_duckdb, on_postgres, on_snowflake
                                     (with snowflake_sql), on_redshift (with redshift_dialect), on_bigquery
                                     (with bigquery_sql), on_databricks (with databricks_sql): one engine each;
                                     folding: how names are read
    diffsql, plan                    what would change, in one statement; counts and guards
    encode, entities, ids, customerio  rows → operations → batches; replies → verdicts
    outline, values, reasons         the contract's rules on each value; what breaks them, counted and never shown
    purchases                        one order, one event; a refund follows its order
    delivery                         rates, retries, deadlines
    state                            what Customer.io has acknowledged, crash-safe
    datatests, gates, tested         tests of models and freshness of sources, before anything is sent
    drift, history                   models that are not what they were; versions of each contract
    duplicates, merges               people who may be one person, and those who become one
    engine                           `diff` and `run`, readable from top to bottom
    upkeep                           looking at the state, and the changes made to it by hand
    latency, unsent                  how old events are when they arrive, and while they do not
    elsewhere, carried, pages        a state in another engine than the models; how columns get there; files on the way
    reconcile                        money sent against money in the models
    report, markdown, candidates,    results → text, Markdown, JSON, files; syncs → dbt's exposures
    artifacts
    console, connect, api, cli       a person's side
    sandbox                          a Customer.io workspace on this machine; imports nothing of the above

In Python, `load`, `compile`, `diff`, `run` and `retry` do what the commands of these names do. They give values and
never exit:

    project = revetl.load(project_dir="shop", target="prod")
    for sync in revetl.diff(project).syncs:
        print(sync.sync.name, sync.counts.planned)
    result = revetl.run(project)
    result.exit_code
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from revetl.api import compile, diff, load, retry, run  # noqa: A004 the command's name

__version__ = "0.1.0"
__all__ = ["__version__", "compile", "diff", "load", "retry", "run"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 functions of several types
    """The API is imported when it is used, so that `revetl --help` is quick."""
    if name in __all__:
        from revetl import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module 'revetl' has no attribute {name!r}")
