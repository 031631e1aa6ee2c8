"""Sync the shop to Customer.io every ten minutes, with nothing but Airflow's BashOperator; for Airflow 2.11 and 3.

revetl stands in a virtual environment of its own, so that its dependencies and Airflow's never meet. Paths and
the target come from Airflow variables, secrets from the worker's environment. What the exit codes mean to Airflow
stands in README.md beside this file.
"""

from __future__ import annotations

from datetime import datetime, timedelta

try:
    from airflow.providers.standard.operators.bash import BashOperator  # Airflow 3
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
    from airflow.operators.bash import BashOperator  # Airflow 2

REVETL = "{{ var.value.get('revetl_command', '/opt/revetl/bin/revetl') }}"
PROJECT = "{{ var.value.get('revetl_project', '/opt/shop') }}"

# 99 is the BashOperator's word for "skipped": a run with nothing to do is not shown as work done
SYNC = f"exec {REVETL} run --select tag:frequent --output json --skip-code 99"

with DAG(
    dag_id="revetl_shop",
    description="Shop to Customer.io",
    schedule=timedelta(minutes=10),
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 Airflow takes it as UTC
    catchup=False,
    # a run sends what changed since the last one, so a second one beside it has nothing to do but wait
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    tags=["revetl", "customer.io"],
    default_args={
        "owner": "growth",
        # nothing is lost or doubled by running again: what was acknowledged is not sent twice
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": True,
    },
) as dag:
    sync = BashOperator(
        task_id="sync",
        # `exec`, so that Airflow's SIGTERM reaches revetl, which then stops after a clean checkpoint
        bash_command=SYNC,
        # otherwise the operator's `env` would replace the whole environment, secrets and PATH included
        append_env=True,
        env={
            "REVETL_PROJECT_DIR": PROJECT,
            "REVETL_TARGET": "{{ var.value.get('revetl_target', 'prod') }}",
            # the project's folder may be read-only on a worker
            "REVETL_TARGET_PATH": "/tmp/revetl/{{ ti.task_id }}/target",  # noqa: S108 on a worker
            "REVETL_LOG_PATH": "/tmp/revetl/{{ ti.task_id }}/logs",  # noqa: S108 on a worker
            "REVETL_LOG_FORMAT": "json",
        },
        cwd=PROJECT,
        skip_on_exit_code=99,
        # one slot for each Customer.io workspace, shared by all DAGs that write to it: make it once with
        #   airflow pools set customerio 1 "one run at a time"
        pool="customerio",
        execution_timeout=timedelta(minutes=50),
        # the last line that revetl prints is its result as JSON; it holds counts, never values
        do_xcom_push=True,
    )
