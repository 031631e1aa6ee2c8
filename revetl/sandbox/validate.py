"""What Customer.io refuses, and how it says so: pure functions from an operation to its problems.

`check` takes one operation of the Track API v2 (`POST /api/v2/entity`, one item of `/api/v2/batch`) and gives every
problem with the `reason`, `field` and `message` of the published error shape. No problem means: accepted, which
says nothing about whether the operation will have an effect (see `store`).

Shapes follow the published OpenAPI file of the Track API. Limits are those that Customer.io publishes, in bytes of
UTF-8. Where "kB" is not said to be 1000 or 1024, it is 1000 here: a client that is right here is right there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

MAX_BODY_BYTES = 500_000  # v2 batch: "under 500kb"
MAX_OPERATION_BYTES = 32_000  # v2 entity: "under 32kb"
MAX_ID_BYTES = 150
MAX_NAME_BYTES = 150  # of an attribute
MAX_VALUE_BYTES = 1000  # of an attribute of a person, an object or a relationship
MAX_ATTRIBUTES = 300
MAX_EVENT_NAME_BYTES = 100
MAX_TIMESTAMP = 253_402_300_799  # the end of the year 9999: beyond it a value is no number of seconds

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE)
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
PHONE = re.compile(r"\+[1-9][0-9]{1,14}")

Json = Any  # a value that came out of `decode`
Operation = Mapping[str, Json]


class Problem(NamedTuple):
    """One entry of the `errors` list of an answer."""

    reason: str
    field: str
    message: str


def decode(body: bytes) -> Json:
    """A request's JSON; numbers that a float or 64 bits cannot hold keep their digits.

    Raises:
        ValueError: no UTF-8, no JSON, or one of the words NaN and Infinity.
    """
    return json.loads(body.decode(), parse_float=Decimal, parse_int=_integer, parse_constant=_refuse)


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= 18 else Decimal(digits)  # noqa: PLR2004 always within 64 bits


def _refuse(word: str) -> Json:
    raise ValueError(f"{word} is not JSON")


def encode(value: Json) -> bytes:
    """Compact JSON of a value that came out of `decode`."""
    try:
        return orjson.dumps(value, default=_exact)
    except orjson.JSONEncodeError:
        # lone surrogates are valid JSON escapes, which orjson cannot write as UTF-8
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def _exact(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())
    raise TypeError


def size(value: Json) -> int:
    """Bytes of an attribute's value: of the text itself for a string, else of its JSON."""
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(encode(value))


def is_email(text: str) -> bool:
    """Whether v1 would take a path's identifier for an e-mail address."""
    return EMAIL.fullmatch(text) is not None


def identifier_kind(text: str) -> tuple[str, str]:
    """The kind and value of an identifier in a v1 path: an e-mail, `cio_<cio_id>`, otherwise an id."""
    if text.startswith("cio_"):
        return "cio_id", text[4:]
    return ("email", text) if is_email(text) else ("id", text)


def check(
    op: Json, *, identify_by: tuple[str, ...] = ("id", "email"), measured: bool = True, event_values: bool = False
) -> list[Problem]:
    """All problems of one operation.

    Args:
        op: what the request holds at this place; anything that JSON can say.
        identify_by: what the workspace identifies people by, besides `cio_id`.
        event_values: whether the limit of a person's value holds for an event's.
        measured: False where the caller knows that the operation is small enough.
    """
    if not isinstance(op, dict):
        return [Problem("invalid", "", "must be an object")]
    if measured and (length := len(encode(op))) > MAX_OPERATION_BYTES:
        return [Problem("invalid", "", f"operation of {length} bytes exceeds {MAX_OPERATION_BYTES} bytes")]
    kind, action = op.get("type"), op.get("action")
    if kind not in {"person", "object", "delivery"}:
        return [_missing_or_invalid(op, "type", "must be one of person, object, delivery")]
    rules = _RULES[kind].get(action) if isinstance(action, str) else None
    if rules is None:
        return [_missing_or_invalid(op, "action", f"is not an action of type {kind}")]
    found = [problem for rule in rules for problem in rule(op, identify_by)]
    if event_values and not found and action in {"event", "page", "screen"}:
        found = list(_limited(op.get("attributes"), "attributes"))
    return found


def _missing_or_invalid(op: Operation, field: str, message: str) -> Problem:
    return Problem("invalid", field, message) if op.get(field) else Problem("required", field, "is required")


# --- identifiers -------------------------------------------------------------------------------------------------


def _identifiers(op: Operation, identify_by: tuple[str, ...]) -> Iterator[Problem]:
    yield from _one_identifier(op.get("identifiers"), "identifiers", {*identify_by, "cio_id"})


def _event_identifiers(op: Operation, identify_by: tuple[str, ...]) -> Iterator[Problem]:
    # anonymous_id is not in the published schema; Segment and RudderStack send it, and it works for them
    yield from _one_identifier(op.get("identifiers"), "identifiers", {*identify_by, "cio_id", "anonymous_id"})


def _merge_sides(op: Operation, identify_by: tuple[str, ...]) -> Iterator[Problem]:
    for side in ("primary", "secondary"):
        yield from _one_identifier(op.get(side), side, ({*identify_by} - {"phone"}) | {"cio_id"})


def _one_identifier(found: Json, field: str, kinds: set[str]) -> Iterator[Problem]:
    if found is None or found == {}:
        yield Problem("required", field, "is required")
    elif not isinstance(found, dict):
        yield Problem("invalid", field, "must be an object")
    elif len(found) > 1:
        yield Problem("invalid", field, "must hold exactly one identifier")
    else:
        [(kind, value)] = found.items()
        if kind not in kinds:
            yield Problem("invalid", f"{field}.{kind}", f"must be one of {', '.join(sorted(kinds))}")
        else:
            yield from _identifier(value, kind, f"{field}.{kind}")


def _identifier(value: Json, kind: str, field: str) -> Iterator[Problem]:
    if value is None or (isinstance(value, str) and not value.strip()):
        yield Problem("required", field, "cannot be blank")
    elif not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        yield Problem("invalid", field, "must be a string or a number")
    elif len(str(value).encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        yield Problem("invalid", field, f"cannot exceed {MAX_ID_BYTES} bytes")
    elif kind == "email" and not is_email(str(value)):
        yield Problem("invalid", field, "must be a valid email address")
    elif kind == "phone" and not PHONE.fullmatch(str(value)):
        yield Problem("invalid", field, "must be in E.164 format")


def _object_identifiers(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    yield from _object(op.get("identifiers"), "identifiers")


def _object(found: Json, field: str) -> Iterator[Problem]:
    if not found:
        yield Problem("required", field, "is required")
    elif not isinstance(found, dict):
        yield Problem("invalid", field, "must be an object")
    elif set(found) not in ({"object_type_id", "object_id"}, {"cio_object_id"}):
        yield Problem("invalid", field, "must hold object_type_id and object_id, or cio_object_id")
    else:
        for name, value in found.items():
            yield from _identifier(value, name, f"{field}.{name}")


# --- the parts of operations -------------------------------------------------------------------------------------


def _attributes(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    yield from _limited(op.get("attributes"), "attributes")


def _limited(found: Json, field: str) -> Iterator[Problem]:
    """The limits of attributes of people, objects and relationships."""
    if found is None:
        return
    if not isinstance(found, dict):
        yield Problem("invalid", field, "must be an object")
        return
    if len(found) > MAX_ATTRIBUTES:
        yield Problem("invalid", field, f"cannot have more than {MAX_ATTRIBUTES} attributes")
    for name, value in found.items():
        if not name or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            yield Problem("invalid", f"{field}.{name[:40]}", f"property name must have 1 to {MAX_NAME_BYTES} bytes")
        elif size(value) > MAX_VALUE_BYTES:
            yield Problem("invalid", f"{field}.{name}", f"property value cannot exceed {MAX_VALUE_BYTES} bytes")
    if not isinstance(found.get("_update", False), bool):
        yield Problem("invalid", f"{field}._update", "must be a boolean")


def _event_attributes(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    # whether the 1000 bytes of a person's value hold for an event's too is not published: not applied
    if not isinstance(op.get("attributes", {}), dict | None):
        yield Problem("invalid", "attributes", "must be an object")


def _event_name(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    name = op.get("name")
    if name is None or (isinstance(name, str) and not name.strip()):
        yield Problem("required", "name", "is required")
    elif not isinstance(name, str):
        yield Problem("invalid", "name", "must be a string")
    elif len(name.strip().encode("utf-8", "surrogatepass")) > MAX_EVENT_NAME_BYTES:
        yield Problem("invalid", "name", f"cannot exceed {MAX_EVENT_NAME_BYTES} bytes")


def _event_id(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    given = op.get("id")
    if given is not None and not (isinstance(given, str) and ULID.fullmatch(given)):
        yield Problem("invalid", "id", "must be a valid ULID")


def _timestamp(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    given = op.get("timestamp")
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MAX_TIMESTAMP):
        yield Problem("invalid", "timestamp", "must be a Unix timestamp in seconds")


def _device(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    device = op.get("device")
    if not isinstance(device, dict):
        yield _missing_or_invalid(op, "device", "must be an object")
        return
    if not isinstance(device.get("token"), str) or not device["token"]:
        yield _missing_or_invalid(device, "token", "must be a string")._replace(field="device.token")
    if op["action"] == "add_device" and device.get("platform") not in {"ios", "android"}:
        yield _missing_or_invalid(device, "platform", "must be ios or android")._replace(field="device.platform")


def _relationships(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    if op.get("cio_relationships") is None:
        yield Problem("required", "cio_relationships", "is required")


def _relationships_if_any(op: Operation, identify_by: tuple[str, ...]) -> Iterator[Problem]:
    found = op.get("cio_relationships")
    if found is None:
        return
    if not isinstance(found, list):
        yield Problem("invalid", "cio_relationships", "must be an array")
        return
    for n, one in enumerate(found):
        where = f"cio_relationships.{n}"
        if not isinstance(one, dict):
            yield Problem("invalid", where, "must be an object")
        elif op["type"] == "person":
            yield from _object(one.get("identifiers"), f"{where}.identifiers")
            yield from _limited(one.get("relationship_attributes"), f"{where}.relationship_attributes")
        else:
            kinds = {"anonymous_id"} if op["action"] == "identify_anonymous" else {*identify_by, "cio_id"}
            yield from _one_identifier(one.get("identifiers"), f"{where}.identifiers", kinds)
            yield from _limited(one.get("relationship_attributes"), f"{where}.relationship_attributes")


def _delivery(op: Operation, _: tuple[str, ...]) -> Iterator[Problem]:
    yield from _one_identifier(op.get("identifiers"), "identifiers", {"id"})
    if op.get("name") not in {"opened", "converted", "delivered"}:
        yield _missing_or_invalid(op, "name", "must be opened, converted or delivered")
    attributes = op.get("attributes")
    if not isinstance(attributes, dict) or not attributes.get("device_token"):
        yield Problem("required", "attributes.device_token", "is required")


_Rule = Callable[[Operation, tuple[str, ...]], Iterator[Problem]]
_EVENT: tuple[_Rule, ...] = (_event_identifiers, _event_name, _event_id, _timestamp, _event_attributes)
_RULES: Mapping[str, Mapping[str, tuple[_Rule, ...]]] = {
    "person": {
        "identify": (_identifiers, _timestamp, _attributes, _relationships_if_any),
        "delete": (_identifiers,),
        "event": _EVENT,
        "page": _EVENT,
        "screen": _EVENT,
        "add_relationships": (_identifiers, _relationships, _relationships_if_any),
        "delete_relationships": (_identifiers, _relationships, _relationships_if_any),
        "add_device": (_identifiers, _device),
        "delete_device": (_identifiers, _device),
        "merge": (_merge_sides,),
        "suppress": (_identifiers,),
        "unsuppress": (_identifiers,),
    },
    "object": {
        "identify": (_object_identifiers, _attributes, _relationships_if_any),
        "identify_anonymous": (_object_identifiers, _attributes, _relationships_if_any),
        "delete": (_object_identifiers,),
        "add_relationships": (_object_identifiers, _relationships, _relationships_if_any),
        "delete_relationships": (_object_identifiers, _relationships, _relationships_if_any),
    },
    "delivery": {"event": (_delivery,)},
}
