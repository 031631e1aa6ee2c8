"""The sandbox's pages in a real browser: what people see after the markup has been parsed."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from revetl.sandbox import Sandbox
from tests.sandbox.client import Client, event, identify

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")]
ATTACK = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def client() -> Iterator[Client]:
    """A workspace with something to look at."""
    with Sandbox() as box:
        client = Client(box)
        client.did(identify("ann", email="ann@example.com", plan="pro", note=ATTACK), identify("bob", plan="free"))
        client.did(event("ann", "Order Completed", attributes={"value": 42, "items": [{"sku": "A-1", "qty": 2}]}))
        client.did(identify("ann", plan="team"), identify("ann", plan="late", at=5), event("bob", ATTACK))
        yield client


def dom(client: Client, path: str) -> str:
    """What the browser made of a page; a profile of its own, since a second start in one shows nothing."""
    assert BROWSER is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [
                BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={profile}", "--dump-dom", client.box.url + path,
            ],
            check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    return done.stdout


def text(markup: str) -> str:
    """The words of a page."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]+>", " ", markup, flags=re.DOTALL)))


def test_the_list_leads_to_a_person_with_attributes_and_one_timeline(client: Client) -> None:
    people = dom(client, "/")
    assert {"ann@example.com", "bob"} <= set(text(people).split())
    [link] = re.findall(r'href="(/people/[^"]+)"[^>]*><b>ann@example', people)

    one = text(dom(client, link))
    for word in ("ann@example.com", "team", "Order Completed", "42", "A-1", "free" if "free" in one else "pro"):
        assert word in one
    assert "UTC" in one or re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", one)
    assert "skipped" in one, "what was dropped is marked"


def test_values_from_outside_are_text_and_never_markup(client: Client) -> None:
    for path in ("/", "/activity", f"/people/{(client.profile('ann') or {})['identifiers']['cio_id']}"):
        markup = dom(client, path)
        assert "<img" not in markup
        assert "<title>owned" not in markup
        assert "<img src=x" in text(markup) or path == "/"


def test_people_are_found_and_requests_are_listed(client: Client) -> None:
    found = text(dom(client, "/?q=bob"))
    assert "bob" in found
    assert "ann@example.com" not in found
    assert "/api/v2/batch" in text(dom(client, "/requests"))
