"""`taxonomy:` and `ignore:` of the files in `syncs/`: strict YAML to `Taxonomy` and `Ignore` values.

`SyncReader` lends its two means: to check a mapping against a table of keys, and to note a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from revetl.contracts import Ignore, Role
from revetl.errors import Where
from revetl.nearest import near
from revetl.rules import CHECKS, RULES
from revetl.taxonomy import Taxonomy, Term, fold
from revetl.yamlfile import Node

_TEXT: dict[str, Any] = {"type": "string"}
_WORD: dict[str, Any] = {"type": "string", "minLength": 1}
_WORDS: dict[str, Any] = {"type": "array", "items": _WORD}
_MAP: dict[str, Any] = {"type": "object"}
TERM_KEYS: dict[str, dict[str, Any]] = {
    "description": _TEXT, "owner": _TEXT, "journeys": _WORDS, "synonyms": _WORDS, "ignore": _MAP,
}  # fmt: skip
EVENT_TERM_KEYS: dict[str, dict[str, Any]] = {
    "role": {"enum": [role.value for role in Role]}, **TERM_KEYS, "sent_by": _WORD,
}  # fmt: skip
TAXONOMY_KEYS: dict[str, dict[str, Any]] = {
    "events": _MAP, "properties": _MAP, "attributes": _MAP, "ignore": _MAP,
}  # fmt: skip
KINDS = ("events", "properties", "attributes")


def ignore_schema(*, whole: bool = False) -> dict[str, Any]:
    """JSON Schema of `ignore:`; that of the whole taxonomy takes lines of the checklist, too."""
    reason = {"type": "string", "minLength": 1, "description": "why this is accepted here"}
    return {"type": "object", "additionalProperties": False, "properties": dict.fromkeys(_codes(whole=whole), reason)}


def _codes(*, whole: bool) -> tuple[str, ...]:
    return (*RULES, *(CHECKS if whole else ()))


def taxonomy_schema() -> dict[str, Any]:
    """JSON Schema of `taxonomy:`."""

    def terms(keys: Mapping[str, Any]) -> dict[str, Any]:
        one = {"type": ["object", "null"], "additionalProperties": False,
               "properties": {**keys, "ignore": ignore_schema()}}  # fmt: skip
        return {"type": "object", "additionalProperties": one}

    kinds = {name: terms(EVENT_TERM_KEYS if name == "events" else TERM_KEYS) for name in KINDS}
    return {"type": "object", "additionalProperties": False, "properties": {**kinds, "ignore": ignore_schema(whole=True)}}


class _Bad(Protocol):
    def __call__(self, message: str, node: Node, hint: str = "", code: str = "RV011") -> None: ...


_Keys = Callable[[Node, Mapping[str, Mapping[str, Any]], str], dict[str, Node]]


@dataclass(slots=True)
class TaxonomyReader:
    """Reads the `taxonomy:` of one file after another."""

    keys: _Keys
    bad: _Bad
    _terms: dict[str, dict[str, Term]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    _spelt: dict[tuple[str, str], tuple[str, Where]] = field(default_factory=dict)
    _ignore: list[Ignore] = field(default_factory=list)

    @property
    def taxonomy(self) -> Taxonomy:
        """What was read so far."""
        frozen = {kind: MappingProxyType(dict(terms)) for kind, terms in self._terms.items()}
        return Taxonomy(**frozen, ignore=tuple(self._ignore))

    def read(self, node: Node) -> None:
        """One file's block."""
        right = self.keys(node, TAXONOMY_KEYS, "`taxonomy`")
        for kind in KINDS:
            for key, value in right[kind].items() if kind in right else ():
                self._term(kind, key, value)
        self._ignore += self.ignores(right.get("ignore"), whole=True)

    def _term(self, kind: str, key: Node, value: Node) -> None:
        right: dict[str, Node] = {}
        if value.value is not None:
            right = self.keys(value, EVENT_TERM_KEYS if kind == "events" else TERM_KEYS, f"a term of `{kind}`")
        name = key.value
        if not name.strip() or name != name.strip():
            self.bad("a name must not be empty, nor begin or end with a blank", key, code="RV037")
            return

        def text(which: str) -> str:
            return str(right[which].value) if which in right else ""

        def several(which: str) -> tuple[str, ...]:
            return tuple(str(one.value) for one in right[which].value) if which in right else ()

        synonyms = several("synonyms")
        for spelling, place in ((name, key), *zip(synonyms, right["synonyms"].value if synonyms else (), strict=True)):
            first, where = self._spelt.setdefault((kind, fold(spelling)), (name, place.where))
            if first != name or (place is key and where != key.where):
                self.bad(f"{spelling!r} stands for {first!r} already, at {where}: a name means one thing", place, code="RV342",
                         hint="keep one of them, with the other spellings as its `synonyms`")  # fmt: skip
        self._terms[kind].setdefault(name, Term(
            name=name, role=Role(text("role")) if "role" in right else None, description=text("description"),
            owner=text("owner"), journeys=several("journeys"), synonyms=synonyms, sent_by=text("sent_by"),
            ignore=self.ignores(right.get("ignore")), where=key.where,
        ))  # fmt: skip

    def ignores(self, node: Node | None, *, whole: bool = False) -> tuple[Ignore, ...]:
        """The findings that are accepted here, each with its reason; for the `whole` project lines of the checklist, too."""
        codes = _codes(whole=whole)
        if node is None or not isinstance(node.value, dict):
            return ()
        made = []
        for key, value in node.items():
            if key.value not in codes:
                self.bad(f"there is no finding {key.value!r} to ignore here{near(key.value, codes)}", key, code="RV340",
                         hint="all of them: revetl lint --explain")  # fmt: skip
            elif not isinstance(value.value, str) or not value.value.strip():
                self.bad(f"{key.value} is ignored without a reason", key, code="RV341",
                         hint=f"ignore: {{{key.value}: why this is right here}}")  # fmt: skip
            else:
                made.append(Ignore(code=key.value, reason=value.value.strip(), where=key.where))
        return tuple(made)
