"""The pages of the sandbox: people, one person with their timeline, what happened, and the requests. Pure HTML.

No script and nothing from outside, so that the strictest content policy holds; every value is escaped.
"""

from __future__ import annotations

import datetime
import html
from typing import Any
from urllib.parse import quote, urlencode

from revetl.sandbox.store import Person, Store, as_text
from revetl.sandbox.validate import decode

PAGE_ROWS = 50
FAILED = frozenset({"failed_attribute_change", "failed_event", "skipped_update", "suppressed_call"})
STYLE = """
:root{--bg:#f6f7f9;--card:#fff;--ink:#1a2130;--soft:#667085;--line:#e4e7ec;--accent:#5b46e5;--tint:#efedff;
--bad:#b42318;--badtint:#fef0ee;--good:#067647;--goodtint:#e9f8f0;--mono:ui-monospace,SFMono-Regular,Menlo,monospace}
@media(prefers-color-scheme:dark){:root{--bg:#0f131a;--card:#171c26;--ink:#e8eaf0;--soft:#98a2b3;--line:#2a3140;
--accent:#a99bff;--tint:#262145;--bad:#ff9c93;--badtint:#3a1d1b;--good:#75e0a7;--goodtint:#12301f}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,sans-serif}a{color:inherit;text-decoration:none}
header{background:var(--card);border-bottom:1px solid var(--line)}
.bar{max-width:1180px;margin:0 auto;padding:14px 24px;display:flex;align-items:center;gap:28px;flex-wrap:wrap}
.logo{font-weight:700;font-size:16px;letter-spacing:-.01em}.logo b{color:var(--accent)}
.logo span{color:var(--soft);font-weight:400;margin-left:8px;font-size:12px}
nav{display:flex;gap:4px}nav a{padding:6px 12px;border-radius:8px;color:var(--soft);font-weight:500}
nav a.on{background:var(--tint);color:var(--accent)}form{margin-left:auto}
input{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--line);border-radius:8px;padding:7px 12px;width:240px}
main{max-width:1180px;margin:0 auto;padding:28px 24px 60px}h1{font-size:22px;margin:0 0 4px;letter-spacing:-.02em}
.sub{color:var(--soft);margin:0 0 22px}.tiles{display:flex;gap:12px;flex-wrap:wrap;margin:0 0 24px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 18px;min-width:128px}
.tile b{display:block;font-size:22px;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:12px}.card{background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:hidden}
table{border-collapse:collapse;width:100%}th{font-size:11px;text-transform:uppercase;letter-spacing:.05em;color:var(--soft);
font-weight:600;text-align:left}th,td{padding:10px 18px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}tbody tr:hover{background:var(--bg)}td.num{text-align:right;font-variant-numeric:tabular-nums}
.mono{font-family:var(--mono);font-size:12.5px}.soft{color:var(--soft)}.cols{display:grid;grid-template-columns:380px 1fr;gap:20px}
@media(max-width:900px){.cols{grid-template-columns:1fr}}.head{padding:14px 18px;border-bottom:1px solid var(--line);font-weight:600}
.attr{display:flex;justify-content:space-between;gap:16px;padding:9px 18px;border-bottom:1px solid var(--line)}
.attr:last-child{border:0}.attr div:last-child{text-align:right;overflow-wrap:anywhere}.attr small{display:block;color:var(--soft);font-size:11px}
.line{display:grid;grid-template-columns:14px 1fr auto;gap:14px;padding:14px 18px;border-bottom:1px solid var(--line)}
.line:last-child{border:0}.dot{width:10px;height:10px;border-radius:50%;background:var(--accent);margin-top:6px}
.dot.profile{background:var(--good)}.dot.bad{background:var(--bad)}.line h3{margin:0;font-size:14px;font-weight:600}
.props{margin:6px 0 0;display:grid;grid-template-columns:max-content 1fr;gap:1px 14px;font-size:12.5px}
.props dt{color:var(--soft)}.props dd{margin:0;font-family:var(--mono);overflow-wrap:anywhere;white-space:pre-wrap}
.when{text-align:right;color:var(--soft);font-size:12px;white-space:nowrap}.tag{display:inline-block;border-radius:6px;padding:1px 8px;
font-size:11.5px;font-weight:600;background:var(--tint);color:var(--accent)}.tag.bad{background:var(--badtint);color:var(--bad)}
.tag.good{background:var(--goodtint);color:var(--good)}.pages{display:flex;justify-content:space-between;padding:14px 2px;color:var(--soft)}
.pages a{color:var(--accent);font-weight:500}.empty{padding:44px;text-align:center;color:var(--soft)}
"""


class Pages:
    """Renders the workspace as it is now.

    Args:
        now: seconds since 1970, for "3 h ago".
    """

    def __init__(self, store: Store, environment_id: int, now: float) -> None:
        self._store = store
        self._environment = environment_id
        self._now = now

    def render(self, path: str, query: dict[str, list[str]]) -> str | None:
        """The page at a path, or None."""
        start = int(first) if (first := (query.get("start") or ["0"])[0]).isdecimal() and len(first) < 10 else 0  # noqa: PLR2004 ten digits
        search = (query.get("q") or [""])[0].strip()
        if path == "/":
            return self._people(search, start)
        if path.startswith("/people/"):
            person = self._store.person("cio_id", path.removeprefix("/people/"))
            return self._person(person) if person is not None else None
        if path == "/activity":
            return self._activity(start)
        if path == "/requests":
            return self._requests()
        return None

    def _frame(self, title: str, on: str, body: str, search: str = "") -> str:
        links = "".join(
            f'<a class="{"on" if name == on else ""}" href="{href}">{name}</a>'
            for name, href in (("People", "/"), ("Activity", "/activity"), ("Requests", "/requests"))
        )
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_e(title)} · revetl sandbox</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<style>{STYLE}</style></head><body><header><div class=bar><a class=logo href=/><b>revetl</b> sandbox"
            f"<span>workspace {self._environment} · on this machine only</span></a><nav>{links}</nav>"
            f'<form action="/" method="get"><input name="q" value="{_e(search)}" placeholder="Find by id or e-mail"'
            f' aria-label="Find by id or e-mail"></form></div></header><main>{body}</main></body></html>'
        )

    def _people(self, search: str, start: int) -> str:
        totals = self._store.summary()
        tiles = [("people", totals["people"]), *totals["events"].items()]
        shown = "".join(f"<div class=tile><b>{count:,}</b><span>{_e(name)}</span></div>" for name, count in tiles)
        like = "%" + search.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        rows = self._store.rows(
            "SELECT p.cio_id, p.id, p.email, p.attributes, p.changed,"
            " (SELECT max(at) FROM events e WHERE e.cio_id = p.cio_id), (SELECT count(*) FROM events e WHERE e.cio_id = p.cio_id)"
            " FROM people p WHERE ? = '' OR p.id LIKE ? ESCAPE '\\' OR p.email LIKE ? ESCAPE '\\' ORDER BY p.changed DESC, p.id LIMIT ? OFFSET ?",
            search, like, like, PAGE_ROWS + 1, start,
        )  # fmt: skip
        lines = []
        for cio_id, identifier, email, attributes, changed, last, events in rows[:PAGE_ROWS]:
            link = f"/people/{quote(cio_id)}"
            facts = [(k, as_text(v)) for k, v in decode(attributes.encode()).items() if k not in {"email", "anonymous_id"}][:4]
            brief = " · ".join(f"<span class=soft>{_e(k)}</span> {_e(_cut(v, 28))}" for k, v in facts)
            lines.append(
                f'<tr><td><a href="{link}"><b>{_e(email or identifier or cio_id)}</b><br>'
                f"<span class='soft mono'>{_e(identifier or '')}</span></a></td><td>{brief}</td>"
                f"<td class=num>{events:,}</td><td class=soft>{self._ago(last or changed)}</td></tr>"
            )
        table = (
            "<table><thead><tr><th>Person<th>Attributes<th style='text-align:right'>Events<th>Last seen</thead>"
            f"<tbody>{''.join(lines)}</tbody></table>"
            if lines
            else "<div class=empty>Nobody here yet. <span class=mono>revetl run</span> sends people to this workspace.</div>"
        )
        pages = self._pages("/", start, more=len(rows) > PAGE_ROWS, q=search)
        return self._frame("People", "People", f"<div class=tiles>{shown}</div><div class=card>{table}</div>{pages}", search)

    def _person(self, person: Person) -> str:
        own = [("id", person.id), ("email", person.email), ("cio_id", person.cio_id)]
        facts = [(k, v, person.times.get(k)) for k, v in own if v]
        facts += [(k, as_text(v), person.times.get(k)) for k, v in sorted(person.attributes.items())]
        attributes = "".join(
            f"<div class=attr><div>{_e(k)}<small>{self._ago(at) if at else 'at creation'}</small></div>"
            f"<div class=mono>{_e(v)}</div></div>"
            for k, v, at in facts
        )
        rows = self._store.rows(
            "SELECT kind, name, data, at FROM events WHERE cio_id = ? UNION ALL"
            " SELECT type, name, data, at FROM activities WHERE cio_id = ? ORDER BY at DESC LIMIT 200",
            person.cio_id, person.cio_id,
        )  # fmt: skip
        timeline = "".join(self._line(*row) for row in rows) or "<div class=empty>Nothing happened yet.</div>"
        body = (
            f"<h1>{_e(person.email or person.id or person.cio_id)}</h1><p class=sub>One person, one timeline · created "
            f"{self._ago(person.made)}</p><div class=cols><div><div class=card id=attributes><div class=head>Attributes"
            f"</div>{attributes}</div></div><div class=card id=timeline><div class=head>Timeline</div>{timeline}</div></div>"
        )
        return self._frame(person.email or person.id or "Person", "People", body)

    def _line(self, kind: str, name: str, data: str, at: float, who: str = "") -> str:
        event = kind in {"event", "page", "screen"}
        tone = "bad" if kind in FAILED else "" if event else "profile"
        title = name if event else kind.replace("_", " ")
        label = "" if event else f" <span class='tag {'bad' if tone == 'bad' else 'good'}'>{_e(_said(kind))}</span>"
        return (
            f"<div class=line><div class='dot {tone}'></div><div><h3>{_e(title)}{label}{who}</h3>{self._props(data, name, event)}</div>"
            f"<div class=when>{self._ago(at)}<br>{_utc(at)}</div></div>"
        )

    def _props(self, data: str, name: str, event: bool) -> str:
        found: dict[str, Any] = decode((data or "{}").encode())
        if not event and isinstance(found.get("attributes"), dict):
            pairs = [(k, f"{old or '∅'} → {new or '∅'}") for k, (old, new) in found["attributes"].items()]
            if found.get("reason"):
                pairs.append(("because", found["reason"]))
        else:
            pairs = [(k, _nested(v)) for k, v in found.items()]
            if not event and name:
                pairs.insert(0, ("on", name))
        return f"<dl class=props>{''.join(f'<dt>{_e(k)}</dt><dd>{_e(v)}</dd>' for k, v in pairs)}</dl>" if pairs else ""

    def _activity(self, start: int) -> str:
        rows = self._store.rows(
            "SELECT a.kind, a.name, a.data, a.at, p.cio_id, coalesce(p.email, p.id) FROM ("
            " SELECT kind, name, data, at, cio_id, n FROM events UNION ALL"
            " SELECT type, name, data, at, cio_id, -n FROM activities) a LEFT JOIN people p ON p.cio_id = a.cio_id"
            " ORDER BY a.at DESC LIMIT ? OFFSET ?",
            PAGE_ROWS + 1, start,
        )  # fmt: skip
        lines = "".join(
            self._line(kind, name, data, at, f' <a class=soft href="/people/{quote(cio)}">{_e(who)}</a>' if cio else "")
            for kind, name, data, at, cio, who in rows[:PAGE_ROWS]
        )
        pages = self._pages("/activity", start, more=len(rows) > PAGE_ROWS)
        body = "<h1>Activity</h1><p class=sub>Everything that happened, by the time of the fact, and what was accepted and dropped.</p>"
        return self._frame("Activity", "Activity", f"{body}<div class=card>{lines or '<div class=empty>Nothing yet.</div>'}</div>{pages}")

    def _requests(self) -> str:
        rows = self._store.rows(
            "SELECT at, method, path, status, operations, bytes, note FROM journal ORDER BY n DESC LIMIT 200"
        )
        lines = "".join(
            f"<tr><td class=soft>{_utc(at)}</td><td class=mono>{_e(method)} {_e(path)}</td>"
            f"<td><span class='tag {'good' if status == 200 else 'bad'}'>{status or 'dropped'}</span></td>"  # noqa: PLR2004
            f"<td class=num>{operations:,}</td><td class=num>{size:,}</td><td class=soft>{_e(note)}</td></tr>"
            for at, method, path, status, operations, size, note in rows
        )
        table = (
            "<table><thead><tr><th>Time<th>Request<th>Answer<th style='text-align:right'>Operations"
            f"<th style='text-align:right'>Bytes<th></thead><tbody>{lines}</tbody></table>"
        )
        body = "<h1>Requests</h1><p class=sub>The last 200 calls of the APIs.</p>"
        return self._frame("Requests", "Requests", f"{body}<div class=card>{table if lines else '<div class=empty>None yet.</div>'}</div>")

    def _pages(self, path: str, start: int, *, more: bool, **extra: str) -> str:
        def link(at: int, text: str) -> str:
            return f'<a href="{path}?{_e(urlencode({**extra, "start": at}))}">{text}</a>'

        back = link(max(0, start - PAGE_ROWS), "← Newer") if start else "<span></span>"
        return f"<div class=pages>{back}{link(start + PAGE_ROWS, 'Older →') if more else ''}</div>"

    def _ago(self, at: float) -> str:
        seconds = self._now - at
        for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
            if abs(seconds) >= size:
                return f"in {-seconds // size:.0f} {unit}" if seconds < 0 else f"{seconds // size:.0f} {unit} ago"
        return "just now"


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _utc(at: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f}"


def _said(kind: str) -> str:
    return {"failed_attribute_change": "dropped", "failed_event": "dropped", "skipped_update": "skipped",
            "suppressed_call": "ignored"}.get(kind, "profile")  # fmt: skip


def _nested(value: Any) -> str:  # noqa: ANN401 JSON
    """A value over lines: objects of a list one a line."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return "\n".join(" · ".join(f"{k} {as_text(v) if v is not None else '∅'}" for k, v in item.items()) for item in value)
    return "∅" if value is None else as_text(value)
