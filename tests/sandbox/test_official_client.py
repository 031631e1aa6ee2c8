"""Customer.io's own Python client drives the sandbox, over TLS, as it would drive Customer.io."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox.client import event, identify

customerio = pytest.importorskip("customerio")
pytest.importorskip("cryptography")


@pytest.fixture
def box(serve: Callable[..., Any]) -> Any:
    """A sandbox that speaks https."""
    return serve(tls=True).box


@pytest.fixture
def cio(box: Any) -> Iterator[Any]:
    """The official client; the sandbox's certificate is the only one that it trusts."""
    with customerio.CustomerIO(box.site_id, box.api_key, host="127.0.0.1", port=box.port, retries=0) as client:
        client.http.verify = box.ca_file
        client.http.trust_env = False
        yield client


def test_identify_track_and_delete(cio: Any, box: Any) -> None:
    cio.identify("a/b c+é", email="ann@example.com", plan="pro", n=1.5)
    cio.track("a/b c+é", "purchase", {"value": 3}, id="01ARZ3NDEKTSV4RRFFQ69G5FAV", timestamp=1_700_000_000)
    cio.track("a/b c+é", "purchase", {"value": 3}, id="01ARZ3NDEKTSV4RRFFQ69G5FAV", timestamp=1_700_000_000)
    cio.pageview("a/b c+é", "/home", a=1)
    cio.backfill("a/b c+é", "signup", 1_600_000_000)
    cio.track_anonymous("cookie", "visit")

    person = box.store.person("id", "a/b c+é")
    assert (person.email, person.attributes["plan"]) == ("ann@example.com", "pro")
    totals = box.store.summary()
    assert totals["events"] == {"purchase": 1, "signup": 1, "visit": 1}
    assert totals["pages"] == {"/home": 1}

    cio.delete("a/b c+é")
    assert box.store.person("id", "a/b c+é") is None


def test_devices_merge_and_suppress(cio: Any, box: Any) -> None:
    cio.identify("1")
    cio.identify("2", plan="pro")
    cio.add_device("2", "token", "ios", last_used=5)
    cio.merge_customers("id", "1", "id", "2")
    assert box.store.person("id", "2") is None
    person = box.store.person("id", "1")
    assert (person.attributes["plan"], [d["id"] for d in person.devices]) == ("pro", ["token"])

    cio.delete_device("1", "token")
    cio.suppress("1")
    cio.identify("1")
    assert box.store.summary()["people"] == 0
    cio.unsuppress("1")
    cio.identify("1")
    assert box.store.summary()["people"] == 1


def test_a_batch_tells_which_of_its_operations_was_refused(cio: Any) -> None:
    assert cio.batch([identify("1", plan="é"), event("1")]).json() == {}

    answer = cio.batch([identify("1"), identify("2", plan="x" * 1001)])
    assert answer.status_code == 207
    [error] = answer.json()["errors"]
    assert (error["batch_index"], error["field"]) == (1, "attributes.plan")


def test_wrong_keys_and_an_unknown_certificate_are_refused(box: Any) -> None:
    with customerio.CustomerIO(box.site_id, "wrong", host="127.0.0.1", port=box.port, retries=0) as client:
        client.http.verify = box.ca_file
        client.http.trust_env = False
        with pytest.raises(customerio.CustomerIOException, match="401"):
            client.identify("1")
    with customerio.CustomerIO(box.site_id, box.api_key, host="127.0.0.1", port=box.port, retries=0) as client:
        client.http.trust_env = False
        with pytest.raises(customerio.CustomerIOException):
            client.identify("1")
    assert box.store.summary()["people"] == 0
