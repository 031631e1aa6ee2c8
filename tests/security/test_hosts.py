"""Addresses of strangers: none of them is reached, and no name server is asked for one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from revetl.customerio import TrackSender
from revetl.errors import ConfigError
from tests.bars import Bar
from tests.security.hostile import HOSTS
from tests.unit.project_files import SHOP, write

# what readers of addresses disagree about, and this machine by names that are not its own
MORE = (
    "http://127.0.0.1\n.example.com", "http://127.0.0.1\t@example.com", "http://[::1]example.com", "http://[::1]@example.com",
    "http://127.0.0.1:80@example.com", "http://127.0.0.1:80:90", "http://127.0.0.1%2eexample.com",
    "http://127.0.0.1%00.example.com",
    "http://１２７.0.0.1", "http://127。0。0。1", "http://[::1%25lo]", "http://127.0.0.1;example.com", "http://127.0.0.1,example.com",
    "http://127.0.0.1:8080\r\nHost: example.com", "http:////example.com", "HTTP://EXAMPLE.COM", "http://localhost.",
    "http://LOCALHOST.example",
)  # fmt: skip
ALL = tuple(dict.fromkeys((*HOSTS, *MORE)))
REACHING = tuple(f"socket.{word}" for word in ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg"))
# what is asked for of addresses one after the other, in a process whose interpreter says what it wants to reach; a stranger
# is not reached even if revetl tries
PROGRAM = """
import json, sys, time
from pathlib import Path
asked = []
def hook(event, args):
    if event in REACHING:
        address = str(args[1] if event.startswith("socket.connect") else args[0])
        asked.append(event + " " + address)
        if not address.startswith(("('127.0.0.1'", "('::1'", "127.0.0.1", "localhost")):
            raise PermissionError("a stranger")
sys.addaudithook(hook)
from revetl import api, connect
from revetl.errors import RevetlError
from revetl.project import load
from revetl.report import run_errors
root, how, every, hosts = Path.cwd(), sys.argv[1], int(sys.argv[2]), json.load(sys.stdin)
profiles = Path("profiles.yml").read_text()
out = []
for host in hosts:
    asked.clear()
    said, code = "", 0
    try:
        if how == "profile":
            Path("profiles.yml").write_text(profiles.replace("URL", json.dumps(host)))
            environ = {"HOME": str(root), "S": "site", "K": "key"}
            project = load(root, environ=environ, cwd=root)
            if len(out) % every == 0:
                result = api.run(project, environ=environ)
                said, code = " ".join(map(str, run_errors(result))), int(result.exit_code)
            if not (said or asked):
                api._connect(project, api.delivery_settings(project), api.Silent(), environ).workspace_id()
        else:
            note = connect.info_file(root / "x.db")
            note.write_text(json.dumps({"url": host, "site_id": "site", "api_key": "key"}))
            said = str(connect.running(root / "x.db"))
    except RevetlError as error:
        said, code = str(error), int(error.exit_code)
    out.append([host, list(asked), said, code])
print(json.dumps(out))
""".replace("REACHING", repr(REACHING))


def asked(folder: Path, how: str, hosts: Sequence[str], *, every: int = 1) -> list[tuple[str, list[str], str, int]]:
    """(host, what was reached for, what was said, exit code) of each; a whole run for one of `every` so many."""
    write(folder, {
        **SHOP, "syncs/orders.yml": None, "profiles.yml":
        "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: shop.duckdb}\n  destinations:\n    dev: {type: sandbox, "
        "url: URL, site_id: \"{{ env_var('S') }}\", api_key: \"{{ env_var('K') }}\", attempts: 1, no_progress_s: 1}\n",
    })  # fmt: skip
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("REVETL_", "DBT_", "CIO_", "GITHUB_", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(every)], cwd=folder, env={**plain, "HOME": str(folder)}, check=True, text=True,
        input=json.dumps(list(hosts)), stdout=subprocess.PIPE,
    )  # fmt: skip
    return [(host, tried, said, code) for host, tried, said, code in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.soak)])
def test_the_address_of_a_sandbox_is_on_this_machine_or_refused(tmp_path: Path, bar: Bar, every: int) -> None:
    """Each in profiles.yml: its destination is asked for its workspace, and of some a whole run is made."""
    found = asked(tmp_path, "profile", ALL, every=every)
    reached = [(host, tried) for host, tried, _, _ in found if tried]
    assert reached == []
    for host, _, said, code in found:
        assert code == 2, (host, said)
        assert "the address of a sandbox must be http(s) on this machine (127.0.0.1)" in said, (host, said)
    connections = sum(len(tried) for _, tried, _, _ in found)
    assert len(found) == len(ALL) >= 60
    bar(39, "connections and look-ups of hosts that are not this machine", found=connections, goal="0",
        of=f"{len(found)} addresses in profiles.yml, {len(found[::every])} whole runs")  # fmt: skip


def test_a_note_of_a_sandbox_leads_nowhere_else(tmp_path: Path, bar: Bar) -> None:
    """`target/*.info.json` says where a sandbox is; a pull request can bring one."""
    found = asked(tmp_path, "note", ALL)
    assert [(host, tried) for host, tried, _, _ in found if tried] == []
    assert {said for _, _, said, _ in found} == {"None"}
    bar(39, "connections and look-ups of hosts that are not this machine", found=sum(len(tried) for _, tried, _, _ in found),
        goal="0", of=f"{len(found)} addresses in the note of a running sandbox")  # fmt: skip
    bar(39, "hostile inputs tried: hosts", found=len({host for host, *_ in found}), goal=">= 50")


@pytest.mark.parametrize("how", ["profile", "note"])
def test_the_hook_would_see_it(tmp_path: Path, how: str) -> None:
    """This machine is reached for, where nobody listens: so the others could have been seen."""
    ((_, tried, said, code),) = asked(tmp_path, how, ["http://127.0.0.1:1"])
    assert any("127.0.0.1" in address for address in tried), said
    assert (code, said) == (0, "None") if how == "note" else code == 21, (code, said)


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:8080", "https://127.0.0.1", "http://127.8.8.8:1/", "http://localhost:8080", "http://[::1]:8080", "HTTP://LOCALHOST",
])  # fmt: skip
def test_this_machine_by_its_own_names_is_taken(url: str) -> None:
    TrackSender(site_id="site", api_key="key", base_url=url).close()


@pytest.mark.parametrize("region", ["us", "eu"])
def test_hosts_of_customerio_are_not_given_by_a_project(region: str) -> None:
    """They come from its SDK; another region is no part of a host's name."""
    with pytest.raises(ConfigError):
        TrackSender(site_id="site", api_key="key", region=f"{region}.example.com")
