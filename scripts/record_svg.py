"""Runs commands on a terminal made for them, and draws what they print as an SVG.

    python scripts/record_svg.py docs/images/diff.svg -- "revetl diff" "revetl run"

The picture in the README is made with it, so that it shows what is really printed. Each command is shown after a
`$`. Colours, bold, faint, carriage returns and erased lines are understood; nothing else of a terminal is needed.
"""

from __future__ import annotations

import argparse
import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

WIDE, HIGH, SIZE, PAD, BAR = 7.83, 18.0, 13, 18, 34  # a monospaced letter of 13 px is about 0.602 of it wide
COLOURS = {
    30: "#6e7681", 31: "#ff7b72", 32: "#3fb950", 33: "#d29922", 34: "#58a6ff", 35: "#bc8cff", 36: "#39c5cf", 37: "#e6edf3",
    90: "#8b949e", 91: "#ffa198", 92: "#56d364", 93: "#e3b341", 94: "#79c0ff", 95: "#d2a8ff", 96: "#56d4dd", 97: "#ffffff",
}  # fmt: skip
BUTTONS = ("#ff5f57", "#febc2e", "#28c840")
_ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|\x1b.")


@dataclass(frozen=True, slots=True)
class Look:
    """How a letter is drawn."""

    colour: str = ""
    bold: bool = False
    faint: bool = False


PLAIN = Look()
Line = list[tuple[str, Look]]


class Screen:
    """Lines of letters, as far as reports and progress bars use a terminal."""

    def __init__(self) -> None:
        self.lines: list[Line] = [[]]
        self._column = 0
        self._look = PLAIN

    def feed(self, text: str) -> None:
        """What a program wrote."""
        at = 0
        for match in _ESCAPE.finditer(text):
            self._letters(text[at : match.start()])
            at = match.end()
            if match[2] == "m":
                self._style(match[1])
            elif match[2] == "K":
                self._erase(match[1])
            elif match[2] == "A":
                self._up(int(match[1] or 1))
        self._letters(text[at:])

    def _letters(self, text: str) -> None:
        for letter in text:
            line = self.lines[-1]
            if letter == "\n":
                self.lines.append([])
                self._column = 0
            elif letter == "\r":
                self._column = 0
            elif letter == "\t":
                self._letters(" " * (8 - self._column % 8))
            elif letter.isprintable():
                line.extend([(" ", PLAIN)] * (self._column - len(line)))
                line[self._column : self._column + 1] = [(letter, self._look)]
                self._column += 1

    def _erase(self, how: str) -> None:
        line = self.lines[-1]
        if how == "2":
            line.clear()
        elif how in {"", "0"}:
            del line[self._column :]

    def _up(self, count: int) -> None:
        # progress that redraws itself: what stood below is written again
        del self.lines[max(1, len(self.lines) - count) :]

    def _style(self, codes: str) -> None:
        for code in (int(part or 0) for part in codes.split(";")):
            if code == 0:
                self._look = PLAIN
            elif code == 1:
                self._look = replace(self._look, bold=True)
            elif code == 2:
                self._look = replace(self._look, faint=True)
            elif code == 22:
                self._look = replace(self._look, bold=False, faint=False)
            elif code == 39:
                self._look = replace(self._look, colour="")
            elif code in COLOURS:
                self._look = replace(self._look, colour=COLOURS[code])


def run(command: str, columns: int, cwd: Path) -> str:
    """What a command prints to a terminal of this width (both streams)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in {"CI", "NO_COLOR"}}
    environ |= {"TERM": "xterm-256color", "FORCE_COLOR": "1", "COLUMNS": str(columns)}
    process = subprocess.Popen(["/bin/sh", "-c", command], cwd=cwd, env=environ, stdin=subprocess.DEVNULL,
                               stdout=theirs, stderr=theirs)  # fmt: skip
    os.close(theirs)
    parts: list[bytes] = []
    try:
        while part := os.read(ours, 65_536):
            parts.append(part)
    except OSError:
        pass  # Linux says so when the other side is closed
    os.close(ours)
    process.wait()
    return b"".join(parts).decode(errors="replace")


def drawn(lines: Sequence[Line], title: str) -> str:
    """The lines as a terminal's window."""
    longest = max((len(line) for line in lines), default=0)
    width, height = longest * WIDE + 2 * PAD, len(lines) * HIGH + 2 * PAD + BAR
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{html.escape(title)}">',
        f'<rect width="100%" height="100%" rx="9" fill="#0d1117"/><rect width="100%" height="{BAR}" rx="9" fill="#161b22"/>',
        *(f'<circle cx="{20 + i * 20}" cy="{BAR / 2:g}" r="6" fill="{c}"/>' for i, c in enumerate(BUTTONS)),
        f'<text x="50%" y="{BAR / 2 + 4:g}" fill="#8b949e" font-size="12" text-anchor="middle" '
        f'font-family="system-ui,sans-serif">{html.escape(title)}</text>',
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="{SIZE}" fill="#e6edf3">',
    ]  # fmt: skip
    for row, line in enumerate(lines):
        y = BAR + PAD + row * HIGH + SIZE
        out.extend(_words(line, y))
    return "\n".join([*out, "</g></svg>", ""])


def _words(line: Line, y: float) -> Iterable[str]:
    column = 0
    for look, group in groupby(line, key=lambda pair: pair[1]):
        text = "".join(letter for letter, _ in group)
        start, column = column, column + len(text)
        if not text.strip():
            continue
        # each run of letters is pinned to its columns, so that any font keeps the tables straight
        lead = len(text) - len(text.lstrip())
        text = text.strip()
        style = f' fill="{look.colour}"' if look.colour else ""
        style += ' font-weight="600"' if look.bold else ""
        style += ' opacity="0.65"' if look.faint else ""
        yield (
            f'<text x="{PAD + (start + lead) * WIDE:.1f}" y="{y:g}" textLength="{len(text) * WIDE:.1f}"{style}>'
            # spaces that no renderer melts together
            f"{html.escape(text).replace(' ', chr(160))}</text>"
        )


def main() -> None:
    """Record the commands into one picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("command", nargs="+")
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--cwd", type=Path, default=Path.cwd())
    parser.add_argument("--title", default="revetl")
    options = parser.parse_args()
    screen = Screen()
    for number, command in enumerate(options.command):
        screen.feed(("\n" if number else "") + f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m\n")
        screen.feed(run(command, options.columns, options.cwd))
    lines = screen.lines
    while lines and not "".join(letter for letter, _ in lines[-1]).strip():
        lines.pop()
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    options.picture.write_text(drawn(lines, options.title), encoding="utf-8")
    sys.stdout.write(f"{options.picture}: {len(lines)} lines\n")


if __name__ == "__main__":
    main()
