"""The lint: a project with every mistake, each finding at its place, and each silenced where it stands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl import findings
from revetl.cli import main
from revetl.contracts import Field, FieldType, IdentifierKind, Ignore, Sync, SyncType
from revetl.lint import Finding, lint, open_findings, style_of
from revetl.project import Project, load
from revetl.report import Heading, Style
from revetl.rules import CHECKS, RULES, Severity
from revetl.taxonomy import Taxonomy
from tests.unit.project_files import SHOP, shop, write

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "lint"
HEADING = Heading(project="shop", target="dev")
ENVIRON = {"SHOP_PG_HOST": "h", "SHOP_PG_USER": "u", "DBT_ENV_SECRET_SHOP_PG_PASSWORD": "p", "CIO_SITE_ID": "s",
           "CIO_TRACK_API_KEY": "k", "ONLINE_RETAIL": "/nowhere"}  # fmt: skip
TAXONOMY = """\
version: 1
taxonomy:
  events:
    Order Completed: {role: purchase, synonyms: [Bought]}
    Order Refunded: {description: Money back, owner: retention}
    Subscription Renewed: {role: purchase, sent_by: the subscription app, owner: subs, description: d}
    Cart Emptied: {owner: retention, description: Nobody sends this}
  properties:
    value: {synonyms: [gross]}
    nothing: {}
"""
PEOPLE = """\
version: 1
syncs:
  - name: people
    uid: people01
    owner: retention
    description: Everybody
    model: ref('people')
    type: person
    identify_by: {id: customer_id}
    attributes:
      Email: string
      created_at: string
      last_product_viewed: string
      lifetime_value: number
      ltv: number
      lastOrderAt: timestamp
      orders_count: integer
  - name: consent
    uid: consent01
    model: ref('people')
    type: person
    identify_by: {id: customer_id}
    attributes:
      orders_count: string
      sms_consent: boolean
"""
EVENTS = """\
version: 1
syncs:
  - {name: orders, uid: orders01, model: ref('orders'), type: event, event: order_completed, person: {id: customer_id},
     key: order_id, occurred_at: ordered_at, properties: {total: number, currency: {type: string, required: true}, price: string}}
  - name: bought
    uid: bought01
    model: ref('orders')
    type: event
    event: Bought
    person: {id: customer_id}
    key: order_id
    occurred_at: ordered_at
    properties:
      order_id: {type: string, required: true}
      value: {type: number, required: true}
      currency: {type: string, required: true}
      ordered_date: string
      items:
        type: array
        required: true
        items: {sku: string, quantity: {type: integer, required: true}, price: number}
  - name: refunds
    uid: refunds01
    model: ref('orders')
    type: event
    event: Order Refunded
    ignore: {RV305: this is no attribute}
    person: {id: customer_id}
    key: order_id
    occurred_at: ordered_at
    properties: {orderId: {type: string, required: true}}
  - name: carts
    uid: carts0001
    model: ref('orders')
    type: event
    event: Added to Cart
    person: {id: customer_id}
    key: order_id
    occurred_at: ordered_at
    properties: {items: {type: array, required: true}}
"""
BROKEN = {"syncs/orders.yml": None, "syncs/events.yml": EVENTS, "syncs/people.yml": PEOPLE, "syncs/taxonomy.yml": TAXONOMY}


@pytest.fixture
def broken(tmp_path: Path) -> Project:
    """A project with every mistake."""
    write(tmp_path, {name: text for name, text in {**SHOP, **BROKEN}.items() if text is not None})
    (tmp_path / "syncs" / "orders.yml").unlink(missing_ok=True)
    return load(tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)


def golden(name: str, text: str) -> None:
    """Compare with a file; `GOLDEN=write` writes it, for a look at the difference in git."""
    path = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


def codes(found: Iterable[Finding]) -> list[str]:
    """Of the open ones."""
    return sorted(finding.code for finding in open_findings(tuple(found)))


def of(root: Path, events: str = "", people: str = "", taxonomy: str = "") -> list[str]:
    """The messages about a small project: properties of its event, attributes of its people, its taxonomy."""
    changes: dict[str, str | None] = {}
    if events:
        changes["syncs/orders.yml"] = SHOP["syncs/orders.yml"].partition("    properties:")[0] + f"    {events}\n"
    if people:
        changes["syncs/people.yml"] = SHOP["syncs/people.yml"].partition("    attributes:")[0] + f"    attributes: {people}\n"
    if taxonomy:
        changes["syncs/taxonomy.yml"] = f"version: 1\ntaxonomy: {taxonomy}\n"
    found = lint(shop(root, changes))
    return [f"{f.code} {f.message}" for f in open_findings(found) if f.code != "RV316"]


# --- every finding ---------------------------------------------------------------------------------------------------


def test_every_finding_with_its_place_and_what_to_do(broken: Project) -> None:
    golden("findings.txt", findings.lint_text(lint(broken), Style()))


def test_every_rule_is_broken_by_that_project(broken: Project) -> None:
    assert set(codes(lint(broken))) == set(RULES)


@pytest.mark.parametrize("code", RULES)
def test_every_finding_can_be_accepted_by_the_whole_project(broken: Project, code: str) -> None:
    ignore = Ignore(code=code, reason="so be it")
    taxonomy = replace(broken.taxonomy, ignore=(*broken.taxonomy.ignore, ignore))
    found = lint(replace(broken, taxonomy=taxonomy))
    before = codes(lint(broken))
    assert codes(found) == [one for one in before if one != code]
    assert {f.ignored for f in found if f.code == code} == {ignore}


def _silenced(fields: tuple[Field, ...], name: str, code: str) -> tuple[Field, ...]:
    ignore = (Ignore(code=code, reason="so be it"),)
    return tuple(
        replace(f, ignore=ignore if f.name == name else f.ignore, items=_silenced(f.items, name, code)) for f in fields
    )


def test_every_finding_about_a_field_can_be_accepted_at_the_field(broken: Project) -> None:
    for finding in (f for f in lint(broken) if f.field and f.sync):
        sync = broken.syncs[finding.sync]
        quiet = replace(sync, fields=_silenced(sync.fields, finding.field, finding.code))
        found = lint(replace(broken, syncs={**broken.syncs, sync.name: quiet}))
        same = {f.ignored is not None for f in found if (f.code, f.message) == (finding.code, finding.message)}
        assert same == {True}, finding


def test_every_finding_about_a_sync_can_be_accepted_at_the_sync(broken: Project) -> None:
    for finding in (f for f in lint(broken) if f.sync and f.code != "RV319"):
        sync = broken.syncs[finding.sync]
        quiet = replace(sync, ignore=(Ignore(code=finding.code, reason="so be it"),))
        found = lint(replace(broken, syncs={**broken.syncs, sync.name: quiet}))
        assert not [f for f in open_findings(found) if (f.code, f.message) == (finding.code, finding.message)]


SILENCED = """\
version: 1
definitions:
  total: {type: number, ignore: {RV303: the shop calls it so}}
taxonomy:
  events:
    Order Completed: {owner: o, description: d, ignore: {RV308: no items yet}}
    Newsletter Opened: {owner: o, description: d, ignore: {RV315: from May on}}
  properties: {value: {}, gift_note: {ignore: {RV315: from May on}}}
  ignore: {RV311: later, RV316: a small shop, RV337: in Customer.io}
syncs:
  - name: orders
    uid: orders01
    model: ref('orders')
    type: event
    event: Order Completed
    ignore: {RV307: the shop has no parts}
    person: {id: customer_id}
    key: order_id
    occurred_at: ordered_at
    properties: {total: $total, currency: string}
"""


def test_silences_in_the_files_each_where_it_belongs(tmp_path: Path) -> None:
    found = lint(shop(tmp_path, {"syncs/orders.yml": SILENCED}))
    assert codes(found) == []
    golden("ignored.txt", findings.lint_text(found, Style(), silenced=True))
    assert findings.lint_text(found, Style()) == "nothing found; 8 ignored"


def test_a_silence_that_is_not_needed_any_more_is_a_finding(tmp_path: Path) -> None:
    old = "{owner: o, description: d, ignore: {RV315"
    text = SILENCED.replace(old, old.replace("{owner", "{sent_by: the website, owner"))
    assert [f"{f.where} {f.message}" for f in open_findings(lint(shop(tmp_path, {"syncs/orders.yml": text})))] == [
        "syncs/orders.yml:7:82 `ignore: {RV315: …}` silences nothing",
    ]


def test_a_silence_of_silences_must_be_needed_too(tmp_path: Path) -> None:
    quiet = "{ignore: {RV312: never, RV319: let it be}}"
    assert of(tmp_path / "a", taxonomy=quiet) == of(tmp_path / "b")
    assert of(tmp_path / "c", taxonomy="{ignore: {RV319: let it be}}") == [
        *of(tmp_path / "d"), "RV319 `ignore: {RV319: …}` silences nothing",
    ]  # fmt: skip


# --- what is right, and what is not ----------------------------------------------------------------------------------

RIGHT = (
    "{order_id: $i, value: $v, currency: $i, subtotal: $v, discount: $v, shipping: $v, tax: $v, "
    "items: {type: array, required: true, items: {sku: $i, quantity: $v}}}"
)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ("{last_order_at: timestamp, orders_count: integer, lifetime_value: number, last_order_value: number}", ""),
        ("{last_product_viewed: integer}", "RV305 the attribute 'last_product_viewed' keeps only the last of what happens"),
        ("{viewed_products: array}", "RV305 the attribute 'viewed_products' keeps only"),
        ("{recently_viewed: array}", "RV305"), ("{last_order_id: string}", "RV305"), ("{last_name: string}", ""),
        ("{created_at: integer}", "RV306 Customer.io reads 'created_at' itself, as timestamp; here it is an integer"),
        ("{Phone: string}", "RV306 'Phone' is kept as any attribute; Customer.io itself reads 'phone'"),
        ("{phone: string, timezone: string, unsubscribed: boolean}", ""),
        ("{first_order_at: string}", "RV317 'first_order_at' of sync 'people' is a string"),
        ("{first_order_at: date}", "RV317"), ("{birth_date: date}", ""), ("{format: string, update: string}", ""),
        ("{total_orders: integer, orders_count: integer}", "RV303 the attribute 'orders_count' of sync 'people' means the same"),
        ("{firstName: string, last_visit_at: timestamp, home_town: string}", "RV318 'firstName' of sync 'people' is camelCase"),
        ("{cio_subscription_preferences.topics.topic_1: boolean, home_town: string}", ""),
    ],
)  # fmt: skip
def test_attributes(tmp_path: Path, attributes: str, said: str) -> None:
    found = [one for one in of(tmp_path, people=attributes) if "'orders'" not in one]
    assert len(found) == bool(said), found
    assert "".join(found).startswith(said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", ""), ("order_id: $i, ", "", "RV308 the purchase 'Order Completed' of sync 'orders' has no order_id"),
        ("order_id: $i, ", "order_number: $i, ", ""), ("value: $v, ", "total: $v, ", ""), ("value: $v, ", "revenue: $v, ", ""),
        ("currency: $i, ", "", "RV308 the purchase 'Order Completed' of sync 'orders' has no currency"),
        ("currency: $i, ", "currency: string, ", "RV311 'currency' of sync 'orders' may be missing"),
        ("currency: $i, ", "currency: {type: string, required: true, on_violation: warn}, ",
         "RV311 'currency' of sync 'orders' may be missing: its rule only warns"),
        (", items: {sku: $i, quantity: $v}", "",
         "RV308 the purchase 'Order Completed' of sync 'orders' has no items[].sku, items[].quantity"),
        ("{sku: $i, ", "{variant_id: $i, ", ""), ("{sku: $i, ", "{sku: string, ", "RV311 'sku' of sync 'orders' may be missing"),
        ("items: {type", "lines: {type", "RV308 the purchase 'Order Completed' of sync 'orders' has no items"),
        ("tax: $v, ", "", "RV307 'value' of sync 'orders' is computed, and tax is not sent"),
        ("tax: $v, ", "total_tax: $v, ", ""),
        ("sku: $i", "sku: $i, total: $v", ""),
        ("sku: $i", "sku: $i, currency: $v",
         "RV304 the property 'currency' of sync 'orders' is a number, and a string in sync 'orders'"),
        ("sku: $i", "sku: $i, tax: {type: integer, required: true}", ""),
        ("tax: $v", "tax: $v, totalTax: $v", "RV303 the property 'totalTax' of sync 'orders' means the same as 'tax'"),
        ("tax: $v", "tax: $v, orderId: $i", "RV302 the property 'orderId' of sync 'orders' is another spelling of 'order_id'"),
    ],
)  # fmt: skip
def test_purchases(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RIGHT
    properties = RIGHT.replace(old, new, 1) if old else RIGHT
    for name, rule in (("$i", "{type: string, required: true}"), ("$v", "{type: number, required: true}")):
        properties = properties.replace(name, rule)
    found = [one for one in of(tmp_path, events=f"properties: {properties}") if not one.startswith("RV318")]
    assert len(found) == bool(said), found
    assert "".join(found).startswith(said)


def test_what_is_declared_apart_is_apart(tmp_path: Path) -> None:
    found = of(tmp_path, people="{total_orders: integer, orders_count: integer}",
               taxonomy="{attributes: {total_orders: {}, orders_count: {}}}")  # fmt: skip
    assert not [one for one in found if one.startswith("RV303")]


def test_whoever_else_sends_an_event_is_a_source_too(tmp_path: Path) -> None:
    taxonomy = "{events: {Order Completed: {sent_by: a plugin}, Purchase: {role: other, sent_by: a pixel}}}"
    found = [one for one in of(tmp_path, taxonomy=taxonomy) if one.startswith("RV313")]
    assert found == [
        "RV313 'a plugin' sends 'Order Completed', and sync 'orders' sends 'Order Completed': each purchase would count twice"
    ]


def test_a_declared_event_whose_sync_is_off_is_no_finding(tmp_path: Path) -> None:
    off = SHOP["syncs/orders.yml"].replace("    key:", "    enabled: false\n    key:")
    taxonomy = "version: 1\ntaxonomy: {events: {Order Completed: {owner: o, description: d}}}\n"
    found = lint(shop(tmp_path, {"syncs/orders.yml": off, "syncs/taxonomy.yml": taxonomy}))
    assert [f.code for f in found if f.code != "RV316"] == []


def test_other_kinds_of_syncs_are_no_events(tmp_path: Path) -> None:
    more = """\
    version: 1
    syncs:
      - {name: screens, uid: screens01, model: ref('orders'), type: screen, event: order completed, person: {id: customer_id},
         key: order_id, occurred_at: ordered_at, properties: {orderId: string}}
      - {name: opt_outs, uid: optouts01, model: ref('people'), type: suppression, person: {id: customer_id}}
    """
    project = shop(tmp_path, {"syncs/screens.yml": more})
    found = [f for f in lint(project) if f.sync in {"screens", "opt_outs"} and f.code != "RV316"]
    assert [(f.code, f.field) for f in found] == [("RV302", "orderId"), ("RV318", "orderId")]


def test_an_old_name_that_is_still_sent_is_no_finding(tmp_path: Path) -> None:
    both = "dual_send_until: 2027-03-01"
    people = f"{{lifetime_value: {{type: number, renamed_from: {{name: ltv, {both}}}}}}}"
    taxonomy = "{events: {Order Completed: {}, Sale: {role: other}}, attributes: {ltv: {}, lifetime_value: {}}}"
    events = f"properties: {{}}\n    renamed_from: {{event: Sale, {both}}}"
    found = of(tmp_path, events=events, people=people, taxonomy=taxonomy)
    assert [one for one in found if not one.startswith("RV308")] == []


def test_a_sync_that_is_off_breaks_nothing(broken: Project) -> None:
    off = {name: replace(sync, enabled=False) for name, sync in broken.syncs.items()}
    assert {f.sync for f in lint(replace(broken, syncs=off))} <= {""}


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("order_id", "snake_case"), ("orderId", "camelCase"), ("OrderId", "PascalCase"), ("order-id", "kebab-case"),
        ("Order Completed", "Title Case"), ("Added to Cart", "Title Case"), ("order completed", "words with blanks"),
        ("Order_Id", "Mixed_Snake"), ("value", ""), ("Purchase", ""), ("", ""), ("created_at", ""), ("a.b_c", ""),
    ],
)  # fmt: skip
def test_styles(name: str, style: str) -> None:
    assert style_of(name) == style


# --- properties ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["value", "total", "orderTotal", "order_id", "OrderId", "last_seen_product", "x_at", "created_at", "Email", "é"]
)
FIELDS = st.lists(
    st.builds(Field, name=NAMES, column=st.just("c"), type=st.sampled_from(FieldType), required=st.booleans()),
    max_size=6, unique_by=lambda field: field.name,
).map(tuple)  # fmt: skip


@given(fields=FIELDS, event=st.text(min_size=1, max_size=20))
def test_no_names_break_it_and_it_always_says_the_same(fields: tuple[Field, ...], event: str) -> None:
    project = _project(fields, event)
    found = lint(project)
    assert found == lint(project)
    assert all(f.code in RULES and f.message for f in found)
    every = tuple(Ignore(code=code, reason="x") for code in RULES)
    assert {f.code for f in open_findings(lint(replace(project, taxonomy=Taxonomy(ignore=every))))} == set()


def _project(fields: tuple[Field, ...], event: str) -> Project:
    def sync(name: str, kind: SyncType, event: str) -> Sync:
        return Sync(name=name, uid=name, type=kind, model="m", relation="ref('m')", identifier=IdentifierKind.ID, key="k",
                    fields=fields, event=event)  # fmt: skip

    syncs = {"p": sync("p", SyncType.PERSON, ""), "e": sync("e", SyncType.EVENT, event)}
    return replace(_EMPTY, syncs=syncs)


@pytest.fixture(scope="module", autouse=True)
def _empty(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _EMPTY  # noqa: PLW0603 loaded once for hundreds of examples
    _EMPTY = shop(tmp_path_factory.mktemp("empty"))


_EMPTY: Project


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def here(broken: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The broken project as the current folder."""
    monkeypatch.chdir(broken.root)
    return broken.root


def test_the_gate(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint"]) == 1
    assert main(["lint", "--fail-on", "never"]) == 0
    fine = tmp_path / "fine"
    shop(fine, {"syncs/orders.yml": SILENCED})
    assert main(["lint", "--fail-on", "info", "--project-dir", str(fine)]) == 0
    warned = SILENCED.replace("ignore: {RV303: the shop calls it so}", "description: of all")
    (fine / "syncs" / "orders.yml").write_text(warned)
    assert main(["lint", "--project-dir", str(fine)]) == 0
    assert main(["lint", "--fail-on", "warning", "--project-dir", str(fine)]) == 1
    capsys.readouterr()


def test_json_says_the_same_as_the_text(here: Path, broken: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--output", "json"]) == 1
    out = json.loads(capsys.readouterr().out)
    assert [(f["code"], f["message"], f["file"], f["line"]) for f in out["findings"]] == [
        (f.code, f.message, f.where.file, f.where.line) for f in lint(broken)
    ]
    assert out["totals"]["error"] == len(open_findings(lint(broken), Severity.ERROR))


def test_parse_warns_and_passes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parse"]) == 0
    err = capsys.readouterr().err
    assert err.count("warning: syncs/") == findings.WARNINGS
    assert "more findings: revetl lint" in err


def test_a_diff_and_a_run_warn_about_what_they_send_and_do_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for name, ignore in (("loud", ""), ("quiet", "version: 1\ntaxonomy:\n  ignore:\n" + "".join(f"    {c}: x\n" for c in RULES))):
        root = tmp_path / name
        shop(root, {"syncs/taxonomy.yml": ignore or None})
        monkeypatch.chdir(root)
        sent = main(["run", "--output", "json"]), capsys.readouterr()
        diff = main(["diff", "--output", "json"]), capsys.readouterr()
        people = main(["run", "--select", "people"]), capsys.readouterr()
        seen.append((diff[0], json.loads(diff[1].out)["totals"], sent[0], json.loads(sent[1].out)["totals"], people[0]))
        warned = [line for line in (*diff[1].err.splitlines(), *sent[1].err.splitlines()) if "[RV308]" in line]
        assert len(warned) == (0 if ignore else 2)
        assert "[RV308]" not in people[1].err  # that is about the orders
    assert seen[0] == seen[1]
    assert seen[0][0] == seen[0][2] == 0


def test_each_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for code in (*RULES, *CHECKS):
        assert main(["lint", "--explain", code.lower()]) == 0
        assert code in capsys.readouterr().out
    assert main(["lint", "--explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(RULES) + len(CHECKS)
    assert main(["lint", "--explain", "RV30"]) == 2
    assert "there is no finding 'RV30'; did you mean 'RV3" in capsys.readouterr().err


# --- what we ship ----------------------------------------------------------------------------------------------------


FOLDERS = (*ROOT.glob("examples/*/syncs"), *ROOT.glob("revetl/templates/*/syncs"))
OURS = [".", *sorted(str(folder.parent.relative_to(ROOT)) for folder in FOLDERS)]


@pytest.mark.parametrize("folder", OURS)
def test_our_own_projects_are_clean(folder: str, tmp_path: Path) -> None:
    project = load(ROOT / folder, environ={**ENVIRON, "HOME": str(tmp_path)})
    assert findings.lint_text([f for f in lint(project) if f.ignored is None], Style()) == "nothing found"
