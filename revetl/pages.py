"""Files that a process passes rows through, which go also if it is killed.

Each process has a private folder in the system's folder for temporary files, and holds a lock on it for as long as it lives. What
a dead one left has no lock, so the next process removes it; the folder of a living one, also in another container that
shares the disk, is left alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

NEW, MADE, LOCK = "revetl-new-", "revetl-pages-", "lock"


class PageFolder:
    """A folder of this process's own, readable by its user only; made at once, gone with `close`."""

    def __init__(self) -> None:
        sweep()
        made = Path(tempfile.mkdtemp(prefix=NEW))
        self._lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # under the name that others look at only once it is locked
        self.path = made.rename(made.with_name(MADE + made.name.removeprefix(NEW)))

    def close(self) -> None:
        """Remove it."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep() -> None:
    """Remove the folders of this user's processes that are dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{MADE}*"):
        with suppress(OSError):  # another process removes it right now
            facts = folder.stat(follow_symlinks=False)
            if facts.st_uid != os.getuid() or not stat.S_ISDIR(facts.st_mode):
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)
