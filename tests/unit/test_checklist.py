"""The checklist: each line met by a project that has it, and not met, with the place, by one that has not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from revetl.checklist import Answer, Verdict, checklist
from revetl.cli import main
from revetl.findings import check_text
from revetl.lint import lint
from revetl.project import Project
from revetl.report import Style
from revetl.rules import CHECKS
from tests.unit.project_files import SHOP, shop
from tests.unit.test_lint import golden

READY = """\
version: 1
identity: {primary: id, anonymous: {moment: checkout}}
taxonomy:
  events:
    Product Viewed: {role: view, sent_by: the website, owner: web, description: A product's page}
    Added to Cart:
    Checkout Started:
    Order Completed:
    Order Refunded:
definitions:
  text: {type: string, required: true}
  money: {type: number, required: true}
  items: {type: array, required: true, items: {sku: $text, quantity: $money}}
syncs:
"""
EVENT = """\
  - name: {name}
    uid: {name}01
    owner: retention
    description: d
    model: ref('orders')
    type: event
    event: {event}
    person: {{id: customer_id}}
    key: order_id
    occurred_at: ordered_at
    latency: {{warn: 15 minutes}}
    drift: {{}}
    properties: {{{properties}}}
"""
EVENTS = {
    "carts": ("Added to Cart", "cart_id: $text, items: $items"),
    "checkouts": ("Checkout Started", "cart_id: $text, items: $items"),
    "orders": ("Order Completed", "order_id: $text, value: $money, currency: $text, items: $items"),
    "refunds": ("Order Refunded", "order_id: $text, value: $money, currency: $text"),
}  # fmt: skip
PEOPLE = SHOP["syncs/people.yml"].replace("    model", "    owner: retention\n    description: d\n    drift: {}\n    model") + (
    "      anonymous_id: string\n"
)


def ready(root: Path, changes: dict[str, str] | None = None, *, without: str = "") -> Project:
    """A project that has everything, less one sync, or with some texts replaced."""
    people, events = PEOPLE, READY + "".join(
        EVENT.format(name=name, event=event, properties=properties)
        for name, (event, properties) in EVENTS.items() if name != without
    )  # fmt: skip
    for old, new in (changes or {}).items():
        assert old in events + people
        events, people = events.replace(old, new), people.replace(old, new)
    return shop(root, {"syncs/orders.yml": events, "syncs/people.yml": people})


def answers(project: Project) -> dict[str, Answer]:
    """By code."""
    return {answer.code: answer for answer in checklist(project, lint(project))}


def test_a_project_that_has_just_begun(tmp_path: Path) -> None:
    golden("check_bare.txt", check_text(list(answers(shop(tmp_path)).values()), Style()))


def test_a_project_that_has_everything(tmp_path: Path) -> None:
    golden("check_ready.txt", check_text(list(answers(ready(tmp_path)).values()), Style()))


def test_every_line_is_answered_once_in_its_order(tmp_path: Path) -> None:
    project = shop(tmp_path)
    assert [answer.code for answer in checklist(project, lint(project))] == list(CHECKS)


def test_whatever_is_not_met_has_a_next_step(tmp_path: Path) -> None:
    for project in (shop(tmp_path / "a"), ready(tmp_path / "b")):
        assert [a.code for a in answers(project).values() if a.verdict is Verdict.NOT_MET and not a.command] == []


@pytest.mark.parametrize(
    ("code", "changes", "place"),
    [
        ("RV331", {"      anonymous_id: string\n": "", ", anonymous: {moment: checkout}": ""}, "syncs/people.yml:"),
        ("RV333", {"event: Checkout Started": "event: Begin Checkout"}, "syncs/orders.yml:"),
        ("RV333", {"sent_by: the website, ": ""}, "syncs/orders.yml:"),
        ("RV334", {"currency: $text, items": "currency: string, items"}, "syncs/orders.yml:"),
        ("RV334", {"cart_id: $text, ": ""}, "syncs/orders.yml:"),
        ("RV335", {"event: Added to Cart": "event: Placed Order"}, "syncs/orders.yml:"),
        ("RV335", {"  events:\n": "  events:\n    Sale: {role: purchase, sent_by: till}\n"}, "syncs/orders.yml:"),
        ("RV336", {"orders_count: integer": "last_order_at: string"}, "syncs/people.yml:"),
        ("RV338", {"    latency: {warn: 15 minutes}\n": ""}, "syncs/orders.yml:"),
        ("RV339", {"    owner: retention\n": ""}, "syncs/"), ("RV339", {"    drift: {}\n": ""}, "syncs/people.yml:"),
    ],
)  # fmt: skip
def test_each_line_is_lost_by_what_it_is_about(
    code: str, changes: dict[str, str], place: str, tmp_path: Path
) -> None:
    answer = answers(ready(tmp_path, changes))[code]
    assert answer.verdict is Verdict.NOT_MET
    assert any(str(where).startswith(place) for where in answer.places)


@pytest.mark.parametrize(
    ("arrived", "verdict", "reason"),
    [
        (None, Verdict.UNKNOWN, "could not be read"),
        ({}, Verdict.UNKNOWN, "no run has measured 'carts', 'checkouts', 'orders' and 'refunds' yet"),
        (dict.fromkeys(EVENTS, 900), Verdict.MET, "arrived within it"),
        (dict.fromkeys(EVENTS, 900) | {"orders": 901}, Verdict.NOT_MET, "'orders' arrived later than declared"),
        ({"orders": 901}, Verdict.NOT_MET, "'orders' arrived later than declared"),
    ],
)
def test_latency_is_met_by_what_was_measured(
    arrived: dict[str, int] | None, verdict: Verdict, reason: str, tmp_path: Path
) -> None:
    project = ready(tmp_path)
    answer = next(one for one in checklist(project, lint(project), arrived) if one.code == "RV338")
    assert answer.verdict is verdict
    assert reason in answer.reason


def test_what_a_run_measured_answers_the_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = "select i as order_id, 1 as customer_id, now() as ordered_at from range({{ var('n') }}) as r(i)\n"
    shop(tmp_path, {
        "models/orders.sql": orders, "syncs/orders.yml": SHOP["syncs/orders.yml"] + "    latency: {warn: 1 hour}\n",
    })  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = []
    for n in (1, 2):  # the first order is recorded as known, the second is sent
        assert main(["run", "--vars", f"{{n: {n}}}"]) == 0
        capsys.readouterr()
        main(["check", "--list", "--output", "json", "--vars", f"{{n: {n}}}"])
        lines = json.loads(capsys.readouterr().out)["checklist"]
        said += [line["verdict"] for line in lines if line["code"] == "RV338"]
    assert said == ["cannot_tell", "met"]


def test_a_line_can_be_accepted_with_a_reason(tmp_path: Path) -> None:
    project = ready(tmp_path, {"taxonomy:\n": "taxonomy:\n  ignore: {RV333: we have no carts}\n"}, without="carts")
    answer = answers(project)["RV333"]
    assert answer.verdict is Verdict.NOT_MET
    assert not answer.fails
    assert "accepted, because: we have no carts" in check_text([answer], Style())


def test_an_accepted_finding_is_no_reason_for_a_no(tmp_path: Path) -> None:
    project = ready(tmp_path, {"currency: $text, items": "currency: {type: string, ignore: {RV311: always there}}, items"})
    assert answers(project)["RV334"].verdict is Verdict.MET


def test_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready(tmp_path / "ready")
    shop(tmp_path / "bare")
    assert main(["check", "--project-dir", str(tmp_path / "ready")]) == 0
    assert main(["check", "--project-dir", str(tmp_path / "bare")]) == 1
    assert main(["check", "--list", "--project-dir", str(tmp_path / "bare")]) == 0
    capsys.readouterr()
    assert main(["check", "--output", "json", "--project-dir", str(tmp_path / "bare")]) == 1
    out = json.loads(capsys.readouterr().out)
    assert out["passed"] is False
    assert [line["code"] for line in out["checklist"]] == list(CHECKS)
    assert {line["verdict"] for line in out["checklist"]} <= {"met", "not_met", "cannot_tell"}
    assert out["findings"]
