"""Folders of files that rows pass through: private, gone with their process however it ends, and never another's."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from revetl.pages import PageFolder

HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from revetl.pages import PageFolder
folder = PageFolder()
(folder.path / "rows.json").write_text("[]")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def other(tmp: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process with a page in its folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_private_and_goes(tmp: Path) -> None:
    folder = PageFolder()
    (folder.path / "rows.json").write_text("[]")
    mode = stat.S_IMODE(folder.path.stat().st_mode)
    folder.close()
    folder.close()

    assert mode == 0o700
    assert list(tmp.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_one_and_a_living_ones_stays(tmp: Path) -> None:
    (killed, left), (living, kept) = other(tmp), other(tmp)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "rows.json").exists()

    PageFolder().close()

    assert not left.exists()
    assert (kept / "rows.json").exists()
    living.communicate()
    PageFolder().close()
    assert list(tmp.iterdir()) == []


def test_nothing_else_is_touched(tmp: Path) -> None:
    """A link of the same name, a file, a folder that has lost its lock in the middle of its end."""
    precious = tmp / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp / "revetl-pages-link").symlink_to(precious)
    (tmp / "revetl-pages-file").touch()
    (tmp / "revetl-pages-half").mkdir()
    (tmp / "revetl-pages-half" / "rows.json").touch()

    PageFolder().close()

    assert (precious / "file").exists()
    assert {file.name for file in tmp.iterdir()} == {"precious", "revetl-pages-link", "revetl-pages-file"}
    assert [file.name for file in precious.iterdir()] == ["file"]
