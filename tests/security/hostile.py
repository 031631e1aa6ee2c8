"""What a stranger may put into a project: templates, YAML, names, hosts, and texts for other people's screens."""

from __future__ import annotations

# fmt: off
# ruff: noqa: E501, Q003 lists of odd texts, as they are usually quoted

# ways out of Jinja's sandbox as they were published, and their variations; each would run `touch` or read a file
_RUN = "touch {mark}"
_ROOTS = (
    "''", "[]", "{}", "()", "1", "1.5", "none", "true", "ref", "source", "var", "config", "env_var", "target", "this", "range",
    "dict", "cycler", "joiner", "namespace", "exceptions", "fromjson", "tojson", "log", "self", "undefined_name", "loop",
)
_CHAINS = (
    "{root}.__class__.__mro__[-1].__subclasses__()",
    "{root}.__class__.__base__.__subclasses__()[100].__init__.__globals__['os'].system('" + _RUN + "')",
    "{root}.__init__.__globals__['__builtins__']['__import__']('os').system('" + _RUN + "')",
    "{root}.__globals__['os'].popen('" + _RUN + "').read()",
    "({root}|attr('__class__')|attr('__mro__'))[-1]|attr('__subclasses__')()",
    "{root}['__class__']['__mro__'][-1]['__subclasses__']()",
)
ESCAPES: tuple[str, ...] = (
    *("{{ " + chain.replace("{root}", root) + " }}" for chain in _CHAINS for root in _ROOTS[:12]),
    *("{{ " + _CHAINS[2].replace("{root}", root) + " }}" for root in _ROOTS[12:]),
    "{{ '{0.__class__}'.format(ref) }}", "{{ '{0.__globals__}'.format(ref) }}", "{{ '{x.__class__}'.format_map({'x': ref}) }}",
    "{% set f = '{0.__class__.__mro__}'.format %}{{ f(ref) }}", "{{ ['{0.__class__}'.format]|map('string')|first }}",
    "{{ ('{0.__globals__}'|attr('format'))(ref) }}", "{{ '%s'|format(ref.__globals__) }}",
    "{{ [ref]|map(attribute='__globals__')|list }}", "{{ [ref]|map(attribute='__class__.__mro__')|list }}",
    "{{ [ref]|groupby('__globals__') }}", "{{ [{'a': ref}]|sum(attribute='a.__globals__') }}", "{{ [ref]|sort(attribute='__doc__') }}",
    "{{ [ref]|selectattr('__globals__')|list }}", "{{ [ref]|unique(attribute='__globals__')|list }}",
    "{{ [ref]|min(attribute='__code__') }}", "{{ [ref]|join(attribute='__code__') }}",
    "{{ cycler.__init__.__globals__.os.popen('" + _RUN + "') }}", "{{ joiner.__init__.__globals__.os.system('" + _RUN + "') }}",
    "{{ namespace.__init__.__globals__.os.system('" + _RUN + "') }}", "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('" + _RUN + "') }}",
    "{{ loop.__class__ }}", "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__class__.__mro__ }}", "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ (lambda: 1) }}", "{{ exec('import os') }}", "{{ eval('1') }}", "{{ open('/etc/passwd').read() }}",
    "{{ __import__('os').system('" + _RUN + "') }}", "{{ globals() }}", "{{ vars() }}", "{{ getattr(ref, '__globals__') }}",
    "{{ request.application.__globals__ }}", "{{ config.__init__.__globals__ }}", "{{ config.items() }}",
    "{{ url_for.__globals__ }}", "{{ get_flashed_messages.__globals__ }}", "{{ lipsum.__globals__.os.system('" + _RUN + "') }}",
    "{% import 'os' as os %}{{ os.system('" + _RUN + "') }}", "{% from 'os' import system %}{{ system('" + _RUN + "') }}",
    "{% include '/etc/passwd' %}", "{% include '../profiles.yml' %}", "{% extends '/etc/passwd' %}",
    "{{ ''.join(ref.__code__.co_names) }}", "{{ ref.__closure__[0].cell_contents }}", "{{ ref.__defaults__ }}",
    "{{ ref.func_globals }}", "{{ (1).__class__.__base__ }}", "{{ none.__class__.__init__.__globals__ }}",
    "{{ ().__class__.__bases__[0].__subclasses__() }}", "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ {}.__class__.__mro__[1] }}", "{{ ''['__cl' ~ 'ass__'] }}", "{{ ''|attr('__cl' ~ 'ass__') }}",
    "{{ ''[['__cl','ass__']|join] }}", "{{ ''|attr(['_'*2,'class','_'*2]|join) }}", "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{% set x = namespace() %}{% set x.__class__ = 1 %}{{ x.__class__.__mro__ }}", "{{ dict.__subclasses__() }}",
    "{{ dict.mro() }}", "{{ range.__class__.__mro__ }}", "{{ fromjson.__globals__ }}", "{{ tojson.__globals__ }}",
    "{{ tojson(ref, ref) }}{{ ref.__globals__ }}", "{{ fromjson('{}', ref).__class__.__mro__ }}", "{{ exceptions.warn.__globals__ }}",
    "{{ (x for x in [1]).gi_frame }}", "{{ [1]|map('upper').gi_frame.f_globals }}", "{{ ([1]|map('upper')).gi_code }}",
    "{{ ([1]|batch(1)).gi_frame.f_back }}", "{{ exceptions.raise_compiler_error(ref.__globals__) }}",
    "{% autoescape true %}{{ ''.__class__.__mro__ }}{% endautoescape %}", "{% filter attr('__class__') %}x{% endfilter %}",
    "{% set os = ref.__globals__.os %}{{ os.system('" + _RUN + "') }}", "{% with c = ''.__class__ %}{{ c.mro() }}{% endwith %}",
)

# each wants more time or memory than there is
BOMBS: tuple[str, ...] = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}",
    "{{ 'x'|center(1000000000) }}", "{{ 'x'.ljust(1000000000) }}", "{{ 'x'.zfill(1000000000) }}", "{{ '\t'.expandtabs(1000000000) }}",
    "{{ '%1000000000d' % 1 }}", "{{ '{:1000000000}'.format(1) }}", "{{ '{:>{w}}'.format('x', w=1000000000) }}",
    "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "{% set l = [1] %}{% for i in range(99) %}{% do l.extend(l) %}{% endfor %}{{ l|length }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x|replace('a', 'aaaaaaaaaa') %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x.join(n.x) %}{% endfor %}{{ n.x }}",
    "{{ 'a' * 1000000000 }}", "{{ [0] * 1000000000 }}", "{{ 10 ** 1000000000 }}", "{{ 9 ** 9 ** 9 ** 9 ** 9 }}",
    "{{ ('a ' * 7000000)|wordwrap(1) }}", "{{ ('a\n' * 5000000)|indent(1000) }}", "{{ range(99999)|batch(1000000000, 'x')|list }}",
    "{{ range(9)|slice(1000000000)|list }}", "{{ (1).from_bytes(('x' * 9000000).encode(), 'big') // (1).from_bytes(('y' * 4000000).encode(), 'big') }}",
    "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('x') }}", "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for x in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}", "{{ '" + "9" * 5000 + "'|int }}", "{{ fromjson('[' * 200000) }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{{ " + "[" * 3000 + "]" * 3000 + " }}", "{{ 1" + " + 1" * 20_000 + " }}",
    "{% if 1 %}" * 500 + "{% endif %}" * 500, "{{ range(10 ** 9)|list }}", "{{ lipsum(n=1000000) }}",
)

# what YAML can do besides holding values
YAML: tuple[str, ...] = (
    *(f"syncs: {tag} {value}\n" for tag in (
        "!!python/object/apply:os.system", "!!python/object/new:os.system", "!!python/name:os.system", "!!python/module:os",
        "!!python/object:os.system", "!<tag:yaml.org,2002:python/object/apply:os.system>", "!!python/tuple", "!!binary", "!!set",
        "!!map", "!env", "!include", "!ruby/object:Gem::Installer", "!!java.net.URL", "!",
    ) for value in ("['touch {mark}']", "x")),
    "%TAG ! tag:yaml.org,2002:python/\n---\nsyncs: !object/apply:os.system ['touch {mark}']\n",
    "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
    ),
    "a: &a {x: 1}\n" + "".join(f"b{i}: {{<<: [{', '.join(['*a'] * 9)}]}}\n" for i in range(40)),
    "a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {<<: *a}\n", "? &a [*a]\n: 1\n",
    "[" * 100_000, "{a: " * 50_000, "- " * 20_000 + "x\n", "? " * 10_000 + "x\n", "[" * 60 + "]" * 60,
    "syncs: []\nsyncs: []\n", "version: 1\n'version': 1\n", "version: 1\n\"ver\\x73ion\": 2\n",
    "a" * 2_000_001, "#" * 2_000_001, "- x\n" * 100_001, "syncs: \"" + "\\u0041" * 500_000 + "\"\n",
    "\x00", "\ufeff\x01", "syncs: \x1b[31m\n", "&" * 1000, "*a\n", "<<: 1\n", "<<: [1]\n", "[a, b]: 1\n", "{a: 1}: 2\n",
    "--- 1\n--- 2\n", "%YAML 9.9\n---\na: 1\n", "@a\n", "`a`\n", "a: b: c\n", "\ta: 1\n", "a: 'x\n", "a: |x\n", "!!str",
)

# names: of columns, keys, schemas, attributes
NAMES: tuple[str, ...] = tuple(dict.fromkeys((
    'x" ; DROP TABLE victim; --', "x' ; DROP TABLE victim; --", "x`; DROP TABLE victim; --", "x]; DROP TABLE victim; --",
    'x"); DELETE FROM victim; --', 'x") FROM victim; DELETE FROM victim; --', "'; DELETE FROM victim; --", "\"", "\"\"", "'", "''",
    "`", "\\", "\\\"", "\\'", "x\\", ";", "--", "-- x", "/*", "*/", "/* x */", "#", "x;--", "x\n; DROP TABLE victim; --",
    "x\r\nDROP TABLE victim", "$$", "$a$", "$1", ":a", ":a_1", "%s", "%(a)s", "%", "%%", "{}", "{0}", "{{ 1 }}", "{% raw %}",
    "${x}", "$(touch x)", "`touch x`", "|", "&&", "a b", " a", "a ", ".", "..", "a.b", "a..b", "/etc/passwd", "../x", "*", "?",
    "select", "SELECT", "from", "table", "user", "order", "group", "null", "NULL", "true", "default", "values", "union", "current_user",
    "1", "1a", "0x1", "-1", "1e9", "é", "Ünïcode", "名前", "имя", "اسم", "😀", "a😀b", "\u202eabc", "a\u200bb", "\ufeffx", "ﬀ", "ǅ",
    "\x1b[31mred", "a\tb", "a\x7fb", "a\x01b", "x" * 63, "x" * 64, "x" * 140, "é" * 40, "A", "Aa", "aA", "_x", "__x", "x_",
    "::text", "x::text", "@x", "@@version", "[x]", "<x>", "=1", "+1", "a=b", "a,b", "a;b", "(x)", "x()", "x(1)", "E'x'", "U&\"x\"",
    "1=1", "' OR '1'='1", "\" OR \"1\"=\"1", "1; SELECT pg_sleep(9)", "||'x'||", "chr(65)", "x UNION SELECT 1", "xp_cmdshell",
)))

# addresses that a sandbox may not have: none of them is this machine by its loopback name
HOSTS: tuple[str, ...] = (
    "http://169.254.169.254/latest/meta-data", "http://metadata.google.internal", "http://100.100.100.200", "http://[fd00:ec2::254]",
    "http://0.0.0.0", "http://0", "http://2130706433.example", "http://2852039166", "http://0xa9fea9fe", "http://0251.0376.0251.0376",
    "http://10.0.0.1", "http://192.168.1.1", "http://172.16.0.1", "http://8.8.8.8", "http://example.com", "https://track.customer.io",
    "https://track-eu.customer.io", "http://127.0.0.1@example.com", "http://example.com@127.0.0.1", "http://user:pw@127.0.0.1",
    "http://127.0.0.1.example.com", "http://127.0.0.1.nip.io", "http://localhost.example.com", "http://localtest.me",
    "http://[::ffff:169.254.169.254]", "http://[::]", "http://[fe80::1]", "http://[::1%25eth0].example.com", "http://127.1.example",
    "file:///etc/passwd", "ftp://127.0.0.1", "gopher://127.0.0.1", "unix:///var/run/docker.sock", "127.0.0.1:8080", "//127.0.0.1",
    "http://", "http:///x", "http:127.0.0.1", "http://127.0.0.1\\@example.com", "http://example.com\\@127.0.0.1",
    "http://127.0.0.1:0", "http://127.0.0.1:99999", "http://127.0.0.1?x=http://example.com", "http://127.0.0.1#@example.com",
    "http://127.0.0.1 .example.com", "http://exa\nmple.com", "http://①②⑦.0.0.1.example.com", "javascript:alert(1)", "http://[127.0.0.1",
    "http://ⓔⓧⓐⓜⓟⓛⓔ.com",
)

# texts that act on where they are shown
SCREENS: tuple[str, ...] = (
    "\x1b[2J\x1b[H", "\x1b]0;owned\x07", "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07", "\x1b[8mhidden\x1b[0m", "\x1b[6n",
    "\x1bP+q544e\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "\x1b[?1049h", "\x9b31m", "\x9d0;x\x9c", "\x08\x08\x08", "\r overwritten", "\x07",
    "\x00", "\x0c", "\x0b", "\u202egnp.exe", "\u2066x\u2069", "\u200fx", "\u2028x", "\u2029x", "\ufeffx", "\x7f", "\x85x",
    "::error::owned", "::set-output name=x::y", "::add-mask::a", "::stop-commands::x", "  ::warning file=a::b", "\n::error::second line",
    "##[error]x", "x ##[set-env name=PATH]y", "##vso[task.setvariable variable=x]y", "##teamcity[buildStatus status='SUCCESS']",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</details><h1>x", "<!-- x -->", "--><b>", "&lt;b&gt;", "<a href=//x>",
    "[x](http://evil.example)", "![x](http://evil.example/a.png)", "http://evil.example", "www.evil.example", "@someone", "#1", "GH-1",
    "owner/repo#1", "|a|b|", "| --- |", "`code`", "```\nx\n```", "**bold**", "_em_", "~~s~~", "# head", "- item", "> quote", "1. x", "***",
    "=HYPERLINK(\"http://evil.example\")", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1+1", "$(touch x)", "`touch x`", "; touch x",
    "\\", "\\|", "a\nb", "a\r\nb", "[^1]", ":smile:", "$x^2$", "<details>", "https://github.com/a/b/issues/1", "mailto:x@example.com",
)
