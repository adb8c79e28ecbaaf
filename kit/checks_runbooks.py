"""Checks the runbooks: one for each alert and none besides, every section, and nothing in them that is not there."""

import re
from collections.abc import Callable, Iterator

import kit.drill.catalogue  # noqa: F401  (registers the drills)
from kit import checks_promql
from kit.drill.drill import drills_of
from kit.paths import DOCS, ROOT, RUNBOOKS
from kit.ruleset import Rule, RuleSet, committed_rules
from kit.runbooks import SECTIONS, Runbook, runbooks

MAX_LINES = 100
# Of pint's checks those that a query meets that nobody is woken by.
QUERY_CHECKS = ["series", "selector", "counter", "rate", "vector_matching", "impossible", "nan", "range_query"]
_SETTING = re.compile(r"\bCONVOKE_[A-Z_]+\b")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
_DRILL = re.compile(r"\bNAME=([a-z0-9-]+)")
_URL = re.compile(r"https?://")
# Where a page of Convoke's own is asked for.
_PAGE = re.compile(r"\$OPS(/[\w/-]*)")
PAGES = ("/livez", "/readyz", "/version", "/log-level", "/metrics", "/debug/")


def both_ways(pages: list[Runbook], alerts: set[str]) -> Iterator[str]:
    """Every alert has a runbook, and every runbook an alert."""
    named = {page.name for page in pages}
    yield from (f"docs/runbooks/{name}.md is missing" for name in sorted(alerts - named))
    yield from (f"docs/runbooks/{name}.md is of no alert" for name in sorted(named - alerts))


def sections(page: Runbook) -> Iterator[str]:
    """The title, the first action, and each section in its order, none empty; short enough to be read at night."""
    if not re.match(rf"# {page.name}\n\n\*\*First:\*\* \S", page.text):
        yield "does not begin with its title and the first action"
    found = page.sections()
    if list(found) != SECTIONS:
        yield f"has the sections {list(found)}, not {SECTIONS}"
    yield from (f"has nothing under {title}" for title, text in found.items() if not text.strip())
    if page.text.count("\n") > MAX_LINES:
        yield f"is longer than {MAX_LINES} lines"


def diagnosis(page: Runbook) -> Iterator[str]:
    """A diagnosis asks Prometheus."""
    if "```promql" not in page.sections().get("Diagnosis", ""):
        yield "asks nothing under Diagnosis"


def fences(page: Runbook) -> Iterator[str]:
    """Every fence is closed, and in a language that is known to be checked or read."""
    if page.text.count("```") % 2:
        yield "has a fence that is not closed"
    for language in re.findall(r"^ *```(\w*)\n", page.text, re.MULTILINE):
        if language not in ("promql", "sh", "sql", ""):
            yield f"has a fence in {language}"


def queries(page: Runbook) -> Iterator[str]:
    """Every query parses, and asks for series, labels and values that exist."""
    recordings = tuple(rule for rule in committed_rules() if not rule.is_alert)
    asked = tuple(Rule("", "", "", {"record": "runbook", "expr": query}) for query in page.fences("promql"))
    # The recordings are there for their names; what they ask is checked with the rules.
    rules = RuleSet(recordings + asked)
    broken = [what for rule, what in checks_promql.syntax(rules) if rule in asked]
    if broken:
        yield from broken
        return
    for name in QUERY_CHECKS:
        for rule, what in checks_promql.CHECKS[f"promql/{name}"](rules):
            if rule in asked and not _by_name(rule):
                yield f"promql/{name}: {what}: {rule.body['expr']}"


def _by_name(rule: Rule) -> bool:
    """Whether it looks at all series alike, by name."""
    return "by (__name__)" in rule.body["expr"]


def settings(page: Runbook) -> Iterator[str]:
    """Every setting is one of `docs/configuration.md`."""
    known = set(_SETTING.findall((DOCS / "configuration.md").read_text()))
    yield from (f"names {name}, which is no setting" for name in sorted(set(_SETTING.findall(page.text)) - known))


def links(page: Runbook) -> Iterator[str]:
    """Every link leads somewhere in the repository."""
    for target in _LINK.findall(page.prose()):
        if not _URL.match(target) and not (RUNBOOKS / target).exists():
            yield f"leads to {target}, which is not there"


def pages_asked(page: Runbook) -> Iterator[str]:
    """Every page of the ops listener is one that it has."""
    for asked in _PAGE.findall(page.text):
        if not asked.startswith(PAGES):
            yield f"asks for {asked}, which the ops listener does not have"


def log_lines(page: Runbook) -> Iterator[str]:
    """Every log line that is looked for is one of `docs/signals.md`."""
    known = (DOCS / "signals.md").read_text()
    for message in re.findall(r'\.message == "([^"]+)"', page.text):
        if f"`{message}`" not in known:
            yield f"looks for the log line {message!r}, which nobody writes"
    for target in re.findall(r'"(convoke::[\w:]+)"', page.text):
        if target not in known:
            yield f"looks for log lines of {target}, which writes none"


def drilled(page: Runbook) -> Iterator[str]:
    """How to reproduce it names the drills in which it must fire, and no other."""
    named = _DRILL.findall(page.sections().get(SECTIONS[-1], ""))
    held = drills_of(page.name)
    if set(named) != set(held):
        yield f"names the drills {sorted(set(named))}, and those that expect it are {sorted(held)}"


CHECKS: dict[str, Callable[[Runbook], Iterator[str]]] = {
    "sections": sections,
    "diagnosis": diagnosis,
    "fences": fences,
    "queries": queries,
    "settings": settings,
    "links": links,
    "pages": pages_asked,
    "log lines": log_lines,
    "drills": drilled,
}


def findings(page: Runbook) -> list[str]:
    """What is wrong with a runbook."""
    return [f"{page.path}: {name}: {what}" for name, check in CHECKS.items() for what in check(page)]


def check() -> list[str]:
    """What is wrong with the committed runbooks."""
    pages = runbooks()
    alerts = {rule.name for rule in committed_rules() if rule.is_alert}
    readme = (RUNBOOKS / "README.md").relative_to(ROOT)
    general = [f"{readme}: {what}" for what in settings(Runbook("README", (RUNBOOKS / "README.md").read_text()))]
    return [*both_ways(pages, alerts), *general, *(one for page in pages for one in findings(page))]
