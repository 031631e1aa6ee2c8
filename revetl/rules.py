"""The rules of `revetl lint` and the lines of `revetl check`, as two tables. Codes never change their meaning.

`lint.py` finds the ones and `checklist.py` answers the others; `docs/taxonomy.md` lists both, and a test keeps the page
equal to these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"  # journeys or revenue are wrong today
    WARNING = "warning"  # somebody will build on the wrong name
    INFO = "info"  # worth doing


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of finding.

    Attributes:
        why: what goes wrong in Customer.io if it is left so.
        fix: what to do.
    """

    code: str
    severity: Severity
    title: str
    why: str
    fix: str


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO
_TABLE: tuple[tuple[str, Severity, str, str, str], ...] = (
    ("RV300", _W, "two spellings of one event",
     "Customer.io takes `order_completed` and `Order Completed` for two events: a segment on one does not see the other.",
     "Send one spelling; `renamed_from` sends both for a while."),
    ("RV301", _W, "two names of one event",
     "`Checkout Started` and `Begin Checkout` split the audience: a journey starts for half of the people.",
     "Send the declared name only (`renamed_from` sends both for a while), or declare both names if they mean two things."),
    ("RV302", _W, "two spellings of one property or attribute",
     "`order_id` and `orderId` are two properties: a filter on one is never true for rows that have the other.",
     "Use one spelling in every sync; a definition that all use keeps it so."),
    ("RV303", _W, "two names of one property or attribute",
     "If one event says `total` and another `order_total`, every segment over both leaves people out, and nothing says so.",
     "Use one name, or declare both in `taxonomy:` if they mean two things."),
    ("RV304", _E, "one name with two types",
     "A value that is a number here and a text there makes comparisons and time conditions fail for some people only.",
     "Give it one type; a definition that all use keeps it so."),
    ("RV305", _W, "an event kept as an attribute",
     "An attribute such as `last_product_viewed` keeps the last one only: how often and when is lost, and each view "
     "updates the person.",
     "Send an event, with the thing as a property. Counts, sums and times (`orders_count`, `last_order_at`) are fine."),
    ("RV306", _W, "a name that Customer.io reads itself",
     "Some attributes have a meaning of their own, in exactly this spelling and type: anything else is kept and not understood.",
     "Use the exact name and type, or another name."),
    ("RV307", _I, "a computed amount without the raw ones",
     "A total alone cannot be taken apart again: VIP rules and offer tests need the parts, and shops change how they add up.",
     "Send `subtotal`, `discount`, `shipping` and `tax` beside it, where the shop has them."),
    ("RV308", _E, "a purchase without what it needs",
     "Revenue needs a value with a currency, refunds and deduplication an order's id, replenishment the items.",
     "Add the missing ones: order_id, value, currency, and items with sku and quantity."),
    ("RV309", _E, "a refund without its order",
     "A refund that names no order cannot be taken off the purchase: lifetime value and VIP segments drift from the books.",
     "Add `order_id`, the same as in the purchase, and the value with its currency."),
    ("RV310", _E, "a cart without its cart_id or items",
     "Without them a recovery message cannot tell a changed cart from the one left behind, and shows what was taken out.",
     "Add `cart_id` and `items`, each with sku and quantity."),
    ("RV311", _I, "a needed property that may be missing",
     "What is not `required: true` is left out where the model has NULL, and the person silently leaves the segment.",
     "Write `required: true`: the row is refused with a reason instead."),
    ("RV312", _E, "two syncs write one attribute",
     "Each run of one overwrites what the other wrote: the value depends on which ran last.",
     "Let one sync write it; join the models, or give the second attribute a name of its own."),
    ("RV313", _E, "two sources of one purchase or refund",
     "Each order counts twice where two syncs, or a sync and another system, send purchases: revenue doubles.",
     "Keep one of them; let the others use attributes, or events of another name and role."),
    ("RV314", _W, "an event that is not declared",
     "Nobody said what it means or who answers for it, so the next person sends the same under another name.",
     "Declare it in `taxonomy: events:`."),
    ("RV315", _W, "declared, and never sent",
     "A journey that waits for it never starts.",
     "Send it, say who does (`sent_by:`), or remove it from the taxonomy."),
    ("RV316", _I, "no owner or description",
     "When it breaks nobody knows whom to ask, and what exactly it promises.",
     "Add `owner:` and `description:` to the term or to its sync."),
    ("RV317", _W, "a time as text",
     'Only Unix seconds work in conditions such as "within the past 30 days"; a text never matches.',
     "Make it `type: timestamp`, with `zone:` if the column has no time zone."),
    ("RV318", _I, "another naming style than the rest",
     "Where `orderId` stands beside `cart_id`, people guess, and a wrong guess is an empty segment.",
     "Name it as the others are named."),
    ("RV319", _W, "an `ignore` that silences nothing",
     "The finding it was written for is gone: left there, it would hide the next one.",
     "Remove it."),
)  # fmt: skip
RULES: Mapping[str, Rule] = MappingProxyType({
    code: Rule(code=code, severity=severity, title=title, why=why, fix=fix) for code, severity, title, why, fix in _TABLE
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLine:
    """One line of the checklist: what has to be true before journeys are built on the data, and why."""

    code: str
    title: str
    why: str


_LINES: tuple[tuple[str, str, str], ...] = (
    ("RV330", "people have one primary identifier, and every sync sends that one",
     "Two kinds of identifier make two people out of one customer."),
    ("RV331", "it is decided when an anonymous visitor becomes a known person, and that moment is sent",
     "What was looked at and put into a cart before that moment belongs to nobody, and starts no journey."),
    ("RV332", "a test with a real person has shown that anonymous activity joins the known person",
     "Only Customer.io's own answer shows it: it merges 30 days, and lets 72 hours start journeys."),
    ("RV333", "views, carts, checkouts, purchases and refunds are sent, each under its one name",
     "Cart recovery, post-purchase and win-back need all five to start and to stop."),
    ("RV334", "what these events must say is declared and required",
     "An event without its cart, items, value or currency starts the journey, and leaves the message empty."),
    ("RV335", "purchases and refunds have one source each",
     "Where two systems send orders, revenue counts twice, and VIP segments do not match finance."),
    ("RV336", "people's attributes have the right types: times as times, numbers as numbers, yes and no as booleans",
     'Conditions such as "within the past 30 days" or "at least 2" never match a text.'),
    ("RV337", "at least three segments check the data: cart left behind, recent buyer, lapsed customer",
     "A segment whose size you can predict finds what a log does not show."),
    ("RV338", "each event has a declared latency, and it was measured",
     'If purchases arrive later than the cart journey waits, buyers get "still thinking?".'),
    ("RV339", "somebody is told when the data changes: every sync has an owner and an alarm for drift",
     "Most breaks come months later, with a new checkout or app."),
)  # fmt: skip
CHECKS: Mapping[str, CheckLine] = MappingProxyType({
    code: CheckLine(code=code, title=title, why=why) for code, title, why in _LINES
})  # fmt: skip
