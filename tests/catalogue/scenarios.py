"""One scenario a fault: provoke it, and give what the user is told. No scenario waits for real time to pass."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography import x509

from revetl.contracts import IdentifierKind, WhenMissing
from revetl.customerio import TrackSender
from revetl.errors import Interrupted, RevetlError
from revetl.warehouse import Probe
from tests.catalogue.told import Told, told
from tests.faults.authority import Authority
from tests.faults.runs import QUICK, Destination, FakeClock, Scene
from tests.faults.server import HONEST, Answer, FaultServer, Seen, http, say
from tests.suites.world import SCHEMA, attribute, people_sync

Scenario = Callable[[Scene], Told]
SCENARIOS: dict[str, Scenario] = {}
ONE_TRY = replace(QUICK, attempts=1)
LOST = Answer(effect="apply", then="reset")
LATE = Answer(effect="late", then="reset")


def fault(name: str) -> Callable[[Scenario], Scenario]:
    """Enter a scenario under its number."""

    def enter(scenario: Scenario) -> Scenario:
        assert name not in SCENARIOS
        SCENARIOS[name] = scenario
        return scenario

    return enter


def named(shop: Scene, count: int = 40) -> None:
    """People with keys that are long enough to be recognised when they are masked."""
    shop.world.people_table(*((f"customer-{i:04}", f"p{i}@example.com", "free", i) for i in range(count)))
    shop.world.sql("UPDATE orders SET person = 'customer-' || lpad(substr(person, 2), 4, '0')")


class Killed(BaseException):
    """The process is gone."""


def dying(at: tuple[str, str], nth: int = 1) -> Probe:
    """Kills at the n-th boundary of this name."""
    left = [nth]

    def die(when: str, word: str) -> None:
        if (when, word) == at:
            left[0] -= 1
            if not left[0]:
                raise Killed

    return die


def killed(shop: Scene, at: tuple[str, str], nth: int = 1) -> Told:
    """A run of people that dies at a boundary of the warehouse; then what the next one tells."""
    return _after(shop, lambda: shop.run("people", probe=dying(at, nth)))


def _dead(run: Callable[[], Any]) -> None:
    try:
        run()
    except Killed:
        return
    raise AssertionError("nothing died")


def _after(shop: Scene, run: Callable[[], Any]) -> Told:
    _dead(run)
    shop.world.observer.notes.clear()
    [(until,)] = shop.world.ask(f"SELECT lease_until FROM {SCHEMA}.ctl__people01")
    assert until > 0, "the lease was not given back"
    # time passes: the dead run's lease ends, while its last request could still arrive
    shop.world.sql(f"UPDATE {SCHEMA}.ctl__people01 SET lease_until = CAST(epoch_ms(now()) AS bigint) - 1",
                   f"UPDATE {SCHEMA}.ctl__ws SET lease_until = 1", f"UPDATE {SCHEMA}.rates SET until = 1")  # fmt: skip
    return told(shop, shop.run("people"))


def at_socket(shop: Scene, step: tuple[str, str]) -> Told:
    """A run that dies at a step of its third request's socket."""
    seen = [0]

    def die(when: str, what: str) -> None:
        if (when, what) == step:
            seen[0] += 1
            if seen[0] == 3:
                raise Killed

    well = shop.destination

    class Dying(Destination):
        def __init__(self) -> None:
            self.sender = TrackSender(site_id="site", api_key="key", base_url=shop.server.url, concurrency=1, probe=die)

    shop.destination = Dying

    def run() -> None:
        try:
            shop.run("people", settings=replace(QUICK, concurrency=1))
        finally:
            shop.destination = well

    return _after(shop, run)


# --- A: the process dies ------------------------------------------------------------------------------------------


@fault("F01")
def before_the_plan(shop: Scene) -> Told:
    shop.run("people")
    shop.change("B")
    return killed(shop, ("before", "CreateTableAs"))


@fault("F02")
def between_plan_and_intent(shop: Scene) -> Told:
    shop.run("people")
    shop.change("B")
    return killed(shop, ("after", "CreateTableAs"))


@fault("F03")
def after_the_intent(shop: Scene) -> Told:
    return at_socket(shop, ("before", "write"))


@fault("F04")
def in_the_middle_of_a_request(shop: Scene) -> Told:
    shop.server.script = [HONEST, HONEST, Answer(read_body=100, then="reset")]
    well = shop.destination

    class Dying(Destination):
        def send(self, body: bytes, *, deadline_s: float, path: str = "/api/v2/batch") -> Any:
            reply = super().send(body, deadline_s=deadline_s, path=path)
            if len(shop.server.seen) >= 3:
                raise Killed
            return reply

    shop.destination = lambda: Dying(shop.server.url, concurrency=1)

    def run() -> None:
        try:
            shop.run("people", settings=replace(QUICK, concurrency=1))
        finally:
            shop.destination = well
            shop.reload([HONEST])

    return _after(shop, run)


@fault("F05")
def before_any_answer(shop: Scene) -> Told:
    return at_socket(shop, ("before", "read"))


@fault("F06")
def after_the_answer(shop: Scene) -> Told:
    return at_socket(shop, ("after", "body"))


@fault("F07")
def before_the_checkpoint(shop: Scene) -> Told:
    return killed(shop, ("before", "BEGIN"), nth=3)  # the others ask for a part of the rate, and keep the contract


@fault("F08")
def inside_the_checkpoint(shop: Scene) -> Told:
    return killed(shop, ("before", "Insert"), nth=3)


@fault("F10")
def inside_the_fold(shop: Scene) -> Told:
    shop.run("people")
    shop.change("B")
    return killed(shop, ("after", "Merge"))


@fault("F11")
def sigterm(shop: Scene) -> Told:
    stops: list[Callable[[RevetlError], None]] = []

    def third(seen: Seen) -> Answer:
        if seen.number == 2:
            stops[0](Interrupted("stopped by SIGTERM", signal_number=signal.SIGTERM))
        return HONEST

    shop.server.script = third
    return told(shop, shop.run("people", stopping=stops.append, settings=replace(QUICK, concurrency=1)))


# --- B: destination and network -----------------------------------------------------------------------------------


@fault("F16")
def refused_connection(shop: Scene) -> Told:
    shop.server.down()
    result = shop.run()
    shop.server.up()
    return told(shop, result)


@fault("F17")
def no_name(shop: Scene) -> Told:
    shop.destination = lambda: Destination(f"http://localhost:{shop.server.port}")

    def none(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", none)
        return told(shop, shop.run())


@fault("F18")
def certificate(shop: Scene) -> Told:
    with TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        tls = authority.server(x509.DNSName("example.com"), days=(-1, 1))
        with FaultServer([HONEST], workspace=shop.workspace, tls=tls) as server:
            shop.destination = lambda: Destination(server.url, ca_file=str(authority.file))
            return told(shop, shop.run())


def lasting(shop: Scene, answer: Answer) -> Told:
    """Two requests are answered well, the others so, at once."""
    shop.server.script = [HONEST, HONEST, answer]
    return told(shop, shop.run("people", settings=replace(QUICK, attempts=2, concurrency=1)))


def never(shop: Scene, answer: Answer) -> Told:
    """No request is answered in time (a busy machine makes no difference)."""
    shop.server.script = [answer]
    return told(shop, shop.run("people", settings=replace(QUICK, attempts=2, request_deadline_s=0.3)))


@fault("F19")
def silence(shop: Scene) -> Told:
    return never(shop, Answer(effect="apply", delay_s=60))


@fault("F20")
def reset(shop: Scene) -> Told:
    return lasting(shop, LOST)


@fault("F21")
def cut(shop: Scene) -> Told:
    return lasting(shop, Answer(effect="apply", parts=(http(207, b'{"errors":[{"batch_ind', length=87),), then="close"))


@fault("F22")
def html(shop: Scene) -> Told:
    return lasting(shop, say(200, b"<html>Please sign in</html>"))


@fault("F23")
def some_refused(shop: Scene) -> Told:
    named(shop)
    shop.workspace.refuses = lambda op: op["identifiers"]["id"] in {"customer-0003", "customer-0017"}
    return told(shop, shop.run("people"))


@fault("F24")
def wrong_index(shop: Scene) -> Told:
    return lasting(shop, Answer(effect="apply", parts=(http(207, b'{"errors":[{"batch_index":"0"}]}'),)))


@fault("F25")
def all_refused(shop: Scene) -> Told:
    shop.fill(400)
    named(shop, 400)
    shop.workspace.refuses = lambda _: True
    return told(shop, shop.run("people", settings=replace(QUICK, concurrency=1)))


@fault("F26")
def poison(shop: Scene) -> Told:
    named(shop)
    shop.server.script = lambda seen: say(400) if b'"customer-0007"' in seen.body else HONEST
    return told(shop, shop.run("people"))


@fault("F27")
def too_large(shop: Scene) -> Told:
    named(shop)
    shop.workspace.max_body = 800
    shop.world.sql("UPDATE people SET email = repeat('y', 900) WHERE id = 'customer-0009'")
    return told(shop, shop.run("people"))


@fault("F28")
def wrong_key(shop: Scene) -> Told:
    shop.workspace.key_is_good = False
    return told(shop, shop.run())


@fault("F29")
def revoked_key(shop: Scene) -> Told:
    return lasting(shop, say(401))


@fault("F30")
def redirect(shop: Scene) -> Told:
    shop.server.region = say(301, b"", "Location: https://track-eu.customer.io/api/v1/accounts/region")
    return told(shop, shop.run())


@fault("F31")
def no_such_address(shop: Scene) -> Told:
    return lasting(shop, say(404))


def waited(shop: Scene, answers: list[Answer], **settings: Any) -> Told:
    """A run whose clock only its waits move."""
    clock = FakeClock()
    shop.server.clock = clock.monotonic
    shop.server.script = answers
    return told(shop, shop.run("people", clock=clock, settings=replace(QUICK, concurrency=1, **settings)))


@fault("F32")
def asks_to_wait(shop: Scene) -> Told:
    return waited(shop, [HONEST, say(429, b"{}", "Retry-After: 36000")])


@fault("F33")
def too_fast(shop: Scene) -> Told:
    return waited(shop, [HONEST, say(429), say(429), HONEST])


@fault("F34")
def outage(shop: Scene) -> Told:
    return waited(shop, [HONEST, say(503)], attempts=10_000, retry_floor=10_000, backoff_longest_s=30.0, backoff_first_s=30.0)


@fault("F35")
def failed_after_applying(shop: Scene) -> Told:
    return waited(shop, [HONEST, Answer(effect="apply", parts=(http(500),)), HONEST])


@fault("F36")
def drips(shop: Scene) -> Told:
    return never(shop, Answer(effect="apply", honest=True, every_s=0.25))


@fault("F37")
def out_of_order(shop: Scene) -> Told:
    shop.server.script = lambda seen: replace(HONEST, delay_s=0.02 * (3 - seen.number % 4))
    return told(shop, shop.run("people"))


@fault("F38")
def twice(shop: Scene) -> Told:
    shop.server.script = [Answer(effect="twice", honest=True)]
    return told(shop, shop.run())


@fault("F39")
def late(shop: Scene) -> Told:
    shop.run("people")
    shop.world.sql("UPDATE people SET plan = 'B' WHERE id = 'p0'")
    shop.reload([LATE])
    shop.run("people", settings=ONE_TRY)
    shop.world.sql("UPDATE people SET plan = 'C' WHERE id = 'p0'")
    shop.world.observer.notes.clear()
    shop.reload([HONEST])
    found = told(shop, shop.run("people"))
    shop.server.apply_late()
    return found


@fault("F40")
def closed_connection(shop: Scene) -> Told:
    shop.server.script = lambda seen: Answer(then="reset") if seen.number == 2 else HONEST
    return told(shop, shop.run("people", settings=replace(QUICK, concurrency=1)))


@fault("F41")
def suppressed(shop: Scene) -> Told:
    shop.workspace.suppressed.add("p5")
    return told(shop, shop.run())


@fault("F42")
def another_workspace(shop: Scene) -> Told:
    shop.run()
    shop.change("B")
    shop.workspace.environment_id = 78
    return told(shop, shop.run())


@fault("F43")
def one_a_second(shop: Scene) -> Told:
    return waited(shop, [HONEST], requests_per_second=1.0)


# --- C and D: clock and warehouse ---------------------------------------------------------------------------------


@fault("F45")
def clock_went_back(shop: Scene) -> Told:
    shop.run("people", stamped=True)
    shop.world.sql(f"UPDATE {SCHEMA}.ctl__ws SET plan_ts = plan_ts + 86400")
    shop.change("B")
    return told(shop, shop.run("people", stamped=True))


def damage(shop: Scene, *statements: str) -> Told:
    """A finished run, a change, and then somebody else's hands."""
    shop.run("people")
    shop.change("B")
    shop.world.sql(*(statement.format(s=SCHEMA) for statement in statements))
    return told(shop, shop.run("people"))


@fault("F50")
def dropped_state(shop: Scene) -> Told:
    return damage(shop, "DROP TABLE {s}.state__people01")


@fault("F51")
def edited_state(shop: Scene) -> Told:
    return damage(shop, "UPDATE {s}.state__people01 SET plan = 'x' WHERE _key = 'p0'")


@fault("F52")
def older_copy(shop: Scene) -> Told:
    shop.run("people")
    return damage(shop, "UPDATE {s}.ctl__people01 SET fence = 1")


@fault("F55")
def left_over_plans(shop: Scene) -> Told:
    shop.run("people")
    for number in range(3):
        shop.change(f"v{number}")
        _dead(partial(shop.run, "people", probe=dying(("before", "Update"), nth=3 + number)))
        shop.world.forget_drain()
    shop.world.observer.notes.clear()
    found = told(shop, shop.run("people"))
    plans = "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'plan%'"
    assert shop.world.ask(plans) == [(0,)]
    return found


# --- E: two runs --------------------------------------------------------------------------------------------------


def held(shop: Scene) -> None:
    """Another run is at work."""
    shop.world.sql(f"UPDATE {SCHEMA}.ctl__people01 SET owner = 'worker-1/4711/1700000000', "
                   "lease_until = CAST(epoch_ms(now()) AS bigint) + 100000")  # fmt: skip


@fault("F58")
def two_at_once(shop: Scene) -> Told:
    shop.run("people")
    shop.change("B")
    held(shop)
    return told(shop, shop.run("people"))


@fault("F59")
def restarted_task(shop: Scene) -> Told:
    shop.run()
    shop.change("B")
    held(shop)
    return told(shop, shop.run())


@fault("F60")
def dead_holder(shop: Scene) -> Told:
    shop.run("people")
    shop.change("B")
    held(shop)
    shop.world.sql(f"UPDATE {SCHEMA}.ctl__people01 SET lease_until = CAST(epoch_ms(now()) AS bigint) - 1")
    return told(shop, shop.run("people"))


def thief(shop: Scene) -> Probe:
    """Another run takes the lease while this one is planning."""
    taken: list[bool] = []

    def take(when: str, word: str) -> None:
        if (when, word) == ("after", "CreateTableAs") and not taken:
            taken.append(True)
            shop.world.sql(f"UPDATE {SCHEMA}.ctl__people01 SET owner = 'thief', fence = fence + 1")

    return take


@fault("F14")  # a run that slept finds the same as one that another took its place from
@fault("F61")
def zombie(shop: Scene) -> Told:
    shop.run("people")
    shop.change("B")
    return told(shop, shop.run("people", probe=thief(shop)))


@fault("F62")
def nothing_to_do(shop: Scene) -> Told:
    shop.run()
    return told(shop, shop.run())


# --- F: data ------------------------------------------------------------------------------------------------------


@fault("F63")
def duplicate_keys(shop: Scene) -> Told:
    named(shop)
    shop.world.sql("INSERT INTO people SELECT * FROM people WHERE id IN ('customer-0003', 'customer-0017')")
    return told(shop, shop.run("people"))


@fault("F64")
def blank_keys(shop: Scene) -> Told:
    shop.world.sql("INSERT INTO people VALUES (NULL, 'x@example.com', 'free', 0), ('\u200b', 'y@example.com', 'free', 0)")
    return told(shop, shop.run("people"))


@fault("F65")
def key_type(shop: Scene) -> Told:
    shop.run("people")
    shop.world.sql("ALTER TABLE people ADD COLUMN n bigint", "UPDATE people SET n = CAST(substr(id, 2) AS bigint)")
    shop.world.syncs[0] = people_sync(key="n")
    return told(shop, shop.run("people"))


@fault("F66")
def column_type(shop: Scene) -> Told:
    shop.run("people")
    shop.world.sql("ALTER TABLE people ALTER COLUMN spent TYPE boolean USING spent > 10")
    return told(shop, shop.run("people"))


@fault("F67")
def column_gone(shop: Scene) -> Told:
    shop.run("people")
    shop.world.sql("ALTER TABLE people RENAME COLUMN plan TO plans")
    return told(shop, shop.run("people"))


@fault("F68")
def attribute_added(shop: Scene) -> Told:
    shop.run("people")
    shop.world.sql("ALTER TABLE people ADD COLUMN city text", "UPDATE people SET city = 'Rome'")
    shop.world.syncs[0] = people_sync(fields=(*people_sync().fields, attribute("city")))
    return told(shop, shop.run("people"))


@fault("F69")
def no_rows(shop: Scene) -> Told:
    shop.run("people")
    shop.world.sql("DELETE FROM people")
    return told(shop, shop.run("people"))


@fault("F70")
def many_deletes(shop: Scene) -> Told:
    shop.world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    shop.fill(400)
    shop.run("people")
    shop.world.sql("DELETE FROM people WHERE CAST(substr(id, 2) AS int) < 200")
    return told(shop, shop.run("people"))


@fault("F71")
def many_changes(shop: Scene) -> Told:
    shop.fill(400)
    shop.run("people")
    shop.world.sql("UPDATE people SET plan = 'B', spent = spent + 1")
    return told(shop, shop.run("people"))


def row(shop: Scene, *, email: str = "x@example.com", **sync: Any) -> Told:
    """One row of a run is bad."""
    named(shop)
    shop.world.sql(f"UPDATE people SET email = {email} WHERE id = 'customer-0009'")
    shop.world.syncs[0] = people_sync(**sync)
    return told(shop, shop.run("people"))


@fault("F73")
def huge_text(shop: Scene) -> Told:
    return row(shop, email="repeat('\u00fc', 501)")


def number(shop: Scene, sql_type: str, value: str, **rules: Any) -> Told:
    """One row has a bad number."""
    named(shop)
    shop.world.sql(f"ALTER TABLE people ADD COLUMN score {sql_type}",
                   f"UPDATE people SET score = CASE id WHEN 'customer-0009' THEN {value} ELSE NULL END")  # fmt: skip
    shop.world.syncs[0] = people_sync(fields=(*people_sync().fields, attribute("score", **rules)))
    return told(shop, shop.run("people"))


@fault("F74")
def not_a_number(shop: Scene) -> Told:
    return number(shop, "double", "CAST('nan' AS double)", kind="number")


@fault("F75")
def beyond_2_53(shop: Scene) -> Told:
    found = number(shop, "bigint", "9007199254740993", kind="integer")
    assert shop.workspace.people["customer-0009"]["score"] == 9007199254740993, "exact"
    return found


@fault("F76")
def without_a_zone(shop: Scene) -> Told:
    return number(shop, "timestamp", "TIMESTAMP '2026-03-29 02:30:00'", kind="timestamp")


@fault("F77")
def nested_too_deep(shop: Scene) -> Told:
    deep = "'" + "[" * 200 + "]" * 200 + "'"
    return number(shop, "text", deep, kind="object")


@fault("F78")
def emoji(shop: Scene) -> Told:
    named(shop)
    shop.world.sql("UPDATE people SET plan = '\U0001f469\u200d\U0001f52c \u202e' WHERE id = 'customer-0009'",
                   "INSERT INTO people VALUES ('caf\u00e9-0001', 'n@example.com', 'x', 0), "
                   "('cafe\u0301-0001', 'm@example.com', 'y', 0)")  # fmt: skip
    found = told(shop, shop.run("people"))
    assert shop.workspace.people["customer-0009"]["plan"] == "\U0001f469\u200d\U0001f52c \u202e", "every byte"
    assert {"caf\u00e9-0001", "cafe\u0301-0001"} <= set(shop.workspace.people), "keys are compared by their bytes"
    return found


@fault("F79")
def nul(shop: Scene) -> Told:
    return row(shop, email="'a' || chr(0) || 'b'")


@fault("F80")
def one_person_twice(shop: Scene) -> Told:
    shop.world.sql("INSERT INTO people VALUES ('p99', 'P1@example.com ', 'free', 0)")
    shop.world.syncs[0] = people_sync(identifier=IdentifierKind.EMAIL, key="email",
                                      fields=(attribute("plan"), attribute("spent", "number")))  # fmt: skip
    return told(shop, shop.run("people"))


@fault("F82")
def null_and_empty(shop: Scene) -> Told:
    shop.run("people")
    shop.world.sql("UPDATE people SET plan = NULL WHERE id = 'p1'", "UPDATE people SET plan = '' WHERE id = 'p2'")
    return told(shop, shop.run("people"))


@fault("F83")
def old_event(shop: Scene) -> Told:
    shop.run()
    shop.world.order("old-order", "p1", 72.1, 5)
    shop.world.order("coming-order", "p1", -2, 5)
    return told(shop, shop.run(backfill=False))


@fault("F84")
def changed_event(shop: Scene) -> Told:
    shop.run()
    shop.world.sql("UPDATE orders SET value = 99 WHERE order_id = 'o1'", "DELETE FROM orders WHERE order_id = 'o2'")
    return told(shop, shop.run())


def unanswered(shop: Scene, change: str, back: str) -> Told:
    """A change is sent without an answer, and then undone."""
    shop.run("people")
    shop.world.sql(change)
    shop.reload([LOST])
    shop.run("people", settings=ONE_TRY)
    shop.world.sql(back)
    shop.world.forget_drain()
    shop.world.observer.notes.clear()
    shop.reload([HONEST])
    return told(shop, shop.run("people"))


@fault("F85")
def there_and_back(shop: Scene) -> Told:
    return unanswered(shop, "UPDATE people SET plan = 'B' WHERE id = 'p0'", "UPDATE people SET plan = 'free' WHERE id = 'p0'")


@fault("F86")
def deleted_and_back(shop: Scene) -> Told:
    shop.world.syncs[0] = people_sync(when_missing=WhenMissing.DELETE)
    return unanswered(shop, "DELETE FROM people WHERE id = 'p0'", "INSERT INTO people VALUES ('p0', 'p0@example.com', 'free', 0)")


@fault("F87")
def event_before_its_person(shop: Scene) -> Told:
    shop.run()
    shop.world.order("new-order", "p999", 1, 5)
    return told(shop, shop.run())


# --- G: versions --------------------------------------------------------------------------------------------------


@fault("F89")
def older_schema(shop: Scene) -> Told:
    shop.run("people")
    newer = ("plan_rows", "ack_rows", "state_seal", "open_seal", "verified_at")
    shop.world.sql(*(f"ALTER TABLE {SCHEMA}.ctl__{uid} DROP COLUMN {name}" for uid in ("people01", "ws") for name in newer),
                   f"UPDATE {SCHEMA}.ctl__people01 SET schema_version = 1",
                   f"UPDATE {SCHEMA}.ctl__ws SET schema_version = 1")  # fmt: skip
    return told(shop, shop.run("people"))


@fault("F90")
def newer_schema(shop: Scene) -> Told:
    return damage(shop, "UPDATE {s}.ctl__people01 SET schema_version = 99")


@fault("F93")
def newer_version_beside(shop: Scene) -> Told:
    return damage(shop, "UPDATE {s}.ctl__ws SET schema_version = 99")


# --- what needs no message of its own: the run as it is told ---------------------------------------------------------


class Jumps(FakeClock):
    """The clock of a runner that was suspended for a day, at its n-th look."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.looks_left = at

    def monotonic(self) -> float:
        self.looks_left -= 1
        if not self.looks_left:
            self.now += 86_400
        return super().monotonic()


@fault("F44")
def a_clock_that_jumps(shop: Scene) -> Told:
    """Before its first request; then it takes its lease for lost, though it is not: the next run sends the rest."""
    shop.run("people")
    shop.change("B")
    clock = Jumps(at=6)
    result = shop.run("people", clock=clock)
    assert clock.looks_left < 0
    found = told(shop, result)
    shop.world.forget_drain()
    shop.heals()
    return found


@fault("F72")
def an_upgrade(shop: Scene) -> Told:
    """The state as 0.1 wrote it: nothing looks changed."""
    shop.run("people")
    newer = ("plan_rows", "ack_rows", "state_seal", "open_seal", "verified_at")
    shop.world.sql(*(f"ALTER TABLE {SCHEMA}.ctl__{uid} DROP COLUMN {name}" for uid in ("people01", "ws") for name in newer),
                   f"UPDATE {SCHEMA}.ctl__people01 SET schema_version = 1", f"UPDATE {SCHEMA}.ctl__ws SET schema_version = 1")
    shop.reload([HONEST])
    found = told(shop, shop.run("people"))
    assert shop.server.seen == []
    return found


@fault("F88")
def a_fickle_model(shop: Scene) -> Told:
    """It gives other rows at each look: what was sent is what the state has; and the next run asks."""
    shop.world.sql("CREATE VIEW fickle AS SELECT id, email, uuid() AS plan, spent FROM people")
    shop.world.syncs[0] = people_sync(model="fickle", relation="ref('fickle')")
    shop.run("people")
    [kept] = shop.ask(f"SELECT _key, plan FROM {SCHEMA}.state__people01")
    assert dict(kept) == {key: values["plan"] for key, values in shop.workspace.people.items()}
    return told(shop, shop.run("people"))


@fault("F91")
def ids_of_another_way(shop: Scene) -> Told:
    shop.run()
    shop.world.sql(f"UPDATE {SCHEMA}.ctl__orders01 SET id_scheme = 2")
    return told(shop, shop.run("orders"))
