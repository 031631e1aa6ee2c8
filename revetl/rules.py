"""The rules of `revetl lint`, as one table: code, severity, title, and why it matters. Codes never change their meaning.

`lint.py` finds them; `docs/taxonomy.md` lists them, and a test keeps the page equal to this table.
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
     "Send one spelling. To move from the old to the new, send both for a while."),
    ("RV301", _W, "two names of one event",
     "`Checkout Started` and `Begin Checkout` split the audience: a journey starts for half of the people.",
     "Send the declared name only, or declare both names in `taxonomy: events:` if they mean two things."),
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
