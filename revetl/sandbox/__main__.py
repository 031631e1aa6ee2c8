"""`python -m revetl.sandbox`: serve a workspace until a signal."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from revetl.sandbox.faults import from_text, parsed
from revetl.sandbox.server import Limits, Sandbox, info
from revetl.sandbox.store import Rules


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="revetl sandbox", description=__doc__)
    parser.add_argument("--db", help="the SQLite file that keeps the workspace (default: in memory)")
    parser.add_argument("--port", type=int, default=8484, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--tls", action="store_true", help="https with a certificate made on the spot")
    parser.add_argument("--clean", action="store_true", help="empty the workspace first")
    parser.add_argument("--info", help="write address and credentials to this file while serving")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    parser.add_argument("--rate", type=float, default=0.0, help="answer 429 above so many requests a second")
    parser.add_argument("--oversize-status", type=int, choices=[400, 413], default=400)
    parser.add_argument("--timestamp-policy", choices=["attribute", "profile", "ignore"], default="attribute")
    parser.add_argument("--keep-nulls", action="store_true", help="null does not remove a person's attribute")
    parser.add_argument("--no-create-on-event", action="store_true", help="events for unknown people are dropped")
    parser.add_argument("--no-email-change", action="store_true", help="an e-mail is changed through cio_id only")
    parser.add_argument("--dedupe-window", type=float, help="seconds for which an event's id is remembered")
    parser.add_argument("--reverse-batches", action="store_true", help="apply a request's operations from the last to the first")
    parser.add_argument("--max-operations", type=int, default=0, help="answer 400 to a batch with more operations")
    parser.add_argument("--attributes-of-person", action="store_true", help="300 attributes a person, not a call")
    parser.add_argument("--limit-event-values", action="store_true", help="1000 bytes for an event's value, too")
    parser.add_argument("--suppress-keeps", action="store_true", help="a suppressed person's profile stays")
    parser.add_argument("--devices-merge", action="store_true", help="add_device keeps attributes that it does not name")
    parser.add_argument("--no-create-on-link", action="store_true", help="relationships with unknown objects are dropped")
    parser.add_argument("--segments-by-id", action="store_true", help="manual segments take `id_type=id` only")
    parser.add_argument("--unknown-segment-status", type=int, choices=[400, 404], default=400)
    parser.add_argument("--fault", action="append", default=[], metavar="KIND[:name=value,...]")
    return parser.parse_args(arguments)


def _write_info(path: Path, text: str) -> None:
    """Whole or not at all, and for this user only: it holds the keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Serve; 0 after SIGINT or SIGTERM, 2 where it cannot start."""
    options = _options(sys.argv[1:] if arguments is None else arguments)
    rules = Rules(
        null_clears=not options.keep_nulls, timestamp_policy=options.timestamp_policy,
        create_on_event=not options.no_create_on_event, change_email_by_id=not options.no_email_change,
        dedupe_window_s=options.dedupe_window, reverse_batches=options.reverse_batches,
        attributes_of_person=options.attributes_of_person, limit_event_values=options.limit_event_values,
        suppress_keeps=options.suppress_keeps, devices_merge=options.devices_merge,
        link_creates_object=not options.no_create_on_link, segments_by_id=options.segments_by_id,
        unknown_segment=options.unknown_segment_status,
    )  # fmt: skip
    folder = Path(options.db).parent if options.db else Path(tempfile.gettempdir())
    try:
        sandbox = Sandbox(
            options.db, port=options.port, host=options.host, tls=options.tls, certificate_dir=folder, rules=rules,
            limits=Limits(oversize_status=options.oversize_status, requests_per_second=options.rate,
                          max_operations=options.max_operations),
            faults=parsed(from_text(text) for text in options.fault),
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as problem:
        hint = "; is another sandbox running? try --port 0" if isinstance(problem, OSError) else ""
        print(f"the sandbox cannot start: {problem}{hint}", file=sys.stderr)
        return 2
    if options.clean:
        sandbox.store.clean()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sandbox.stop())
    note = Path(options.info) if options.info else None
    if note is not None:
        _write_info(note, info(sandbox, os.getpid()))
    if not options.quiet:
        lines = [
            f"A Customer.io workspace on this machine: {sandbox.url}/", f"  site id       {sandbox.site_id}",
            f"  Track API key {sandbox.api_key}", f"  App API key   {sandbox.app_api_key}",
            f"  workspace     {sandbox.environment_id}", *([f"  certificate   {sandbox.ca_file}"] if sandbox.ca_file else []),
            "Stop it with Ctrl-C.",
        ]  # fmt: skip
        print("\n".join(lines), flush=True)
    try:
        sandbox.serve()
    finally:
        if note is not None:
            with suppress(OSError):
                note.unlink()
        sandbox.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
