"""What a project's names mean: its declared events, properties and attributes, and names that are one in another spelling.

A *term* is one name with its meaning, declared once in a `taxonomy:` of some file in `syncs/`. What is not declared
is still understood where its name is a common one: small lists of what shops call the same thing. Pure values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from revetl.contracts import NOWHERE, Ignore, Role, Sync
from revetl.errors import Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One declared name.

    Attributes:
        name: as it is sent, exactly.
        role: of events only; None where it was not declared.
        journeys: of Customer.io that use it.
        synonyms: other names of the same meaning, which nobody should send.
        sent_by: who sends it instead of revetl; empty: revetl.
    """

    name: str
    role: Role | None = None
    description: str = ""
    owner: str = ""
    journeys: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    sent_by: str = ""
    ignore: tuple[Ignore, ...] = ()
    where: Where = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxonomy:
    """The declared names of a project, each kind by name in the order of the files.

    Attributes:
        ignore: findings of `revetl lint` that the whole project accepts.
    """

    events: Mapping[str, Term] = field(default_factory=dict)
    properties: Mapping[str, Term] = field(default_factory=dict)
    attributes: Mapping[str, Term] = field(default_factory=dict)
    ignore: tuple[Ignore, ...] = ()


class HasTaxonomy(Protocol):
    """A project, as far as names matter."""

    @property
    def taxonomy(self) -> Taxonomy:
        """What the project declares."""


# what shops call the same thing; the first of each is how revetl's documentation calls it
EVENT_WORDS: Mapping[Role | str, tuple[str, ...]] = MappingProxyType({
    Role.PURCHASE: (
        "Order Completed", "Order Complete", "Completed Order", "Order Placed", "Placed Order", "Purchase", "Purchased",
        "Purchase Completed", "Completed Purchase", "Checkout Completed", "Checkout Complete", "Transaction Completed",
    ),
    Role.REFUND: (
        "Order Refunded", "Refunded Order", "Order Refund", "Refund", "Refunded", "Refund Issued", "Refund Created",
        "Refund Completed",
    ),
    Role.CART: (
        "Added to Cart", "Add to Cart", "Product Added", "Added Product", "Product Added to Cart", "Item Added to Cart",
        "Item Added", "Added to Basket", "Add to Basket", "Added to Bag", "Add to Bag",
    ),
    Role.CHECKOUT: (
        "Checkout Started", "Started Checkout", "Start Checkout", "Begin Checkout", "Checkout Begun", "Checkout Initiated",
        "Initiated Checkout", "Initiate Checkout",
    ),
    Role.VIEW: (
        "Product Viewed", "Viewed Product", "View Product", "Product View", "View Item", "Viewed Item", "Item Viewed",
        "View Content", "Product Page Viewed",
    ),
    "account": (
        "Account Created", "Created Account", "Signed Up", "Sign Up", "Registered", "User Registered",
        "Customer Created", "Account Registered",
    ),
})  # fmt: skip
PROPERTY_WORDS: tuple[tuple[str, ...], ...] = (
    ("value", "total", "order_total", "total_price", "total_value", "grand_total", "cart_total", "cart_value"),
    ("order_id", "order_number", "transaction_id"), ("cart_id", "basket_id", "cart_token"), ("currency", "currency_code"),
    ("items", "line_items", "products", "order_items", "cart_items"), ("quantity", "qty"),
    ("subtotal", "subtotal_price", "total_line_items_price"),
    ("discount", "discount_amount", "total_discount", "total_discounts"),
    ("shipping", "shipping_amount", "shipping_cost", "shipping_price", "total_shipping"),
    ("tax", "taxes", "tax_amount", "total_tax", "vat"), ("discount_code", "coupon", "coupon_code", "promo_code", "voucher_code"),
)  # fmt: skip
ATTRIBUTE_WORDS: tuple[tuple[str, ...], ...] = (
    ("email", "email_address", "mail"), ("phone", "phone_number", "mobile", "mobile_number", "mobile_phone"),
    ("first_name", "given_name"), ("last_name", "surname", "family_name"), ("country", "country_code"),
    ("orders_count", "order_count", "total_orders", "number_of_orders"),
    ("lifetime_value", "ltv", "clv", "customer_lifetime_value", "total_spent", "total_spend"),
    ("first_order_at", "first_purchase_at", "first_order_date", "first_purchase_date"),
    ("last_order_at", "last_purchase_at", "last_order_date", "last_purchase_date"),
    ("sms_consent", "has_sms_consent", "sms_opt_in", "accepts_sms"),
    ("email_consent", "has_email_consent", "email_opt_in", "accepts_email"),
    ("created_at", "signed_up_at", "registered_at", "sign_up_date", "registration_date"),
)  # fmt: skip
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BREAK = re.compile(r"[\W_]+")


def words(name: str) -> tuple[str, ...]:
    """The words of a name in small letters: `OrderCompleted`, `order_completed` and `Order Completed` have the same."""
    parts = _BREAK.split(_CAMEL.sub(" ", unicodedata.normalize("NFKC", name)))
    return tuple(small for part in parts if (small := _small(part)))


def fold(name: str) -> str:
    """A name without what people get wrong: case, blanks, separators. A name without any letter stays itself."""
    small = _small(name)
    return _BREAK.sub("", small) or small


def _small(text: str) -> str:
    for _ in range(3):  # folding may undo a normal form, and the other way round
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return text


def alike(one: str, other: str) -> bool:
    """Whether two names differ only by case, separators or the order of their words."""
    return fold(one) == fold(other) or sorted(words(one)) == sorted(words(other)) != []


class Meanings:
    """Which names mean the same: by what is declared first, then by the common words.

    Names that are declared apart are apart, whatever the common words say.
    """

    def __init__(self, terms: Mapping[str, Term], common: Iterable[tuple[str, ...]]) -> None:
        self._known: dict[str, str] = {}
        for name, term in terms.items():
            for spelling in (name, *term.synonyms):
                self._known.setdefault(fold(spelling), name)
        for group in common:
            declared = [self._known[fold(word)] for word in group if fold(word) in self._known]
            for word in group:
                self._known.setdefault(fold(word), declared[0] if declared else group[0])

    def of(self, name: str) -> str:
        """The name that stands for all names of this meaning."""
        return self._known.get(fold(name), name)


def event_meanings(taxonomy: Taxonomy) -> Meanings:
    """What names of events mean."""
    return Meanings(taxonomy.events, EVENT_WORDS.values())


def property_meanings(taxonomy: Taxonomy) -> Meanings:
    """What names of events' properties mean."""
    return Meanings(taxonomy.properties, PROPERTY_WORDS)


def attribute_meanings(taxonomy: Taxonomy) -> Meanings:
    """What names of people's attributes mean."""
    return Meanings(taxonomy.attributes, ATTRIBUTE_WORDS)


def term_of(taxonomy: Taxonomy, event: str) -> Term | None:
    """The declared term of an event's name: its own, or that of which it is another spelling or a synonym."""
    return taxonomy.events.get(event) or taxonomy.events.get(event_meanings(taxonomy).of(event))


def role_of(project: HasTaxonomy, sync: Sync) -> Role | None:
    """What the event of a sync is in a shop: as declared, else by its common name; None for people and unknown names."""
    return role_of_event(project.taxonomy, sync.event) if sync.event else None


def role_of_event(taxonomy: Taxonomy, event: str) -> Role | None:
    """What an event is in a shop, by its name."""
    term = term_of(taxonomy, event)
    if term is not None and term.role is not None:
        return term.role
    spellings = {fold(spelling) for spelling in (event, *((term.name,) if term else ()))}
    for role, names in EVENT_WORDS.items():
        if isinstance(role, Role) and spellings & {fold(name) for name in names}:
            return role
    return None
