"""The page about the other types, typed in: its syncs are loaded, sent to a workspace, and looked after by the commands."""

from __future__ import annotations

import re
from pathlib import Path

from revetl import api
from revetl.engine import RunOptions
from revetl.errors import ExitCode
from revetl.sandbox import Sandbox
from tests.sandbox.client import Client

PAGE = Path(__file__).resolve().parents[2] / "docs" / "entities.md"
MODELS = {
    "people": "select 'a' as customer_id, 'a@example.com' as email union all select 'b', 'b@example.com'",
    "companies": "select 'acme' as company_id, 'Acme' as name, 5 as seats",
    "employees": "select 'a' as customer_id, 'acme' as company_id, 'admin' as role",
    "devices": "select 'a' as customer_id, 'tok' as token, 'iOS' as platform, now()::timestamp as seen_at, '1.2' as app_version",
    "vips": "select 'b' as customer_id",
    "page_views": "select 'v1' as view_id, 'a' as customer_id, '/x' as path, now()::timestamp as viewed_at, 'ad' as referrer",
    "blocked": "select 'zed' as customer_id",
}
BLOCKED = """
  - name: blocked
    uid: a7b8c9d0
    model: ref('blocked')
    type: suppression
    person: {id: customer_id}
    when_missing: unsuppress
"""


def test_the_example_of_the_page_is_sent_whole(tmp_path: Path) -> None:
    (tmp_path / "syncs").mkdir()
    (tmp_path / "models").mkdir()
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    views = found[1].replace("    type: page\n", "    type: page\n    initial: send\n")
    (tmp_path / "syncs" / "all.yml").write_text(views + BLOCKED, encoding="utf-8")
    for name, sql in MODELS.items():
        (tmp_path / "models" / f"{name}.sql").write_text(sql, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.revetl]\nname = "shop"\n', encoding="utf-8")
    with Sandbox() as box:
        client = Client(box)
        segments = [client.app("/v1/segments", {"segment": {"name": f"S{i}"}}).json["segment"]["id"] for i in range(1, 13)]
        (tmp_path / "profiles.yml").write_text(
            "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: shop.duckdb}\n"
            "  destinations:\n    dev: {type: sandbox, "
            f"url: '{box.url}', site_id: \"{{{{ env_var('BOX_SITE') }}}}\", api_key: \"{{{{ env_var('BOX_KEY') }}}}\"}}\n",
            encoding="utf-8",
        )
        environ = {"HOME": str(tmp_path), "BOX_SITE": box.site_id, "BOX_KEY": box.api_key}
        project = api.load(tmp_path, environ=environ)
        result = api.run(project, options=RunOptions(backfill=True), environ=environ)
        assert {r.sync.name: (r.status, r.acknowledged) for r in result.syncs} == {
            "blocked": ("success", 1), "people": ("success", 2), "companies": ("success", 1), "employees": ("success", 1),
            "devices": ("success", 1), "vips": ("success", 1), "page_views": ("success", 1),
        }  # fmt: skip
        assert client.totals["pages"] == {"/x": 1}
        assert client.app(f"/v1/segments/{segments[-1]}/membership").json["ids"] == ["b"]
        [works] = client.app("/v1/customers/a/relationships").json["cio_relationships"]
        assert works["relationship_attributes"] == {"role": "admin"}
        profile = client.profile("a")
        assert profile is not None
        assert profile["devices"][0]["platform"] == "ios"
        assert client.totals["suppressed"] == 1
        assert api.run(project, environ=environ).exit_code == ExitCode.OK
        assert api.diff(project, environ=environ).syncs[0].counts.unchanged == 1
        receipt = api.forget(project, ["a"], reason="test", environ=environ)
        assert receipt.rows == 4, "the person, the device, the relationship and the page view"
        with api.hands_on(project, select=["devices"]) as work:
            assert list(work.reset()) == ["devices"]
        again = api.run(project, environ=environ)
        assert {r.sync.name: r.counts.forgotten for r in again.syncs if r.counts.forgotten} == {
            "people": 1, "employees": 1, "devices": 1, "page_views": 1,
        }  # fmt: skip
        assert again.requests == 0
