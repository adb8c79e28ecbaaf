"""One drill: a fault, the alerts that it must raise, and those that are its true consequences."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from kit.drill.scene import Scene
from kit.drill.watch import TICKET, key
from kit.ruleset import committed_rules

Fault = Callable[[Scene], Iterator[None]]
# A ticket of an objective whose page may fire: the same requests, over longer windows.
SAME_OBJECTIVE = "the same objective over its longer windows, which outlast the fault"


@dataclass(frozen=True)
class Drill:
    """Durations are those of the shipped rules."""

    name: str
    title: str
    # Up to its `yield` it puts the fault in, after it takes it away. `None` for a control without one.
    fault: Fault | None
    # The alerts that must fire, each with the time within which it must.
    expects: dict[str, str] = field(default_factory=dict)
    # What else may fire because it is true, and why.
    also: dict[str, str] = field(default_factory=dict)
    # What fires, and people are not told of, for another that is expected says so already.
    held_back: frozenset[str] = frozenset()
    engine: str = "sqlite"
    parts: frozenset[str] = frozenset()
    settings: dict[str, str] = field(default_factory=dict)
    # Actions per second of the load.
    rate: float = 10
    # Whether the process can answer while the fault lasts.
    serves: bool = True
    # Waits for the longest windows of the objectives, too.
    patient: bool = False
    # Within what time all is quiet again.
    clears: str = "20m"
    # How long it goes on after the last alert has fired, or, where none is expected, in all.
    hold: str = "2m"
    # Runs in `make test`.
    core: bool = False
    scrape_interval: str | None = None
    # Instead of the common factor, where what is not scaled would not fit into a window.
    scale: float | None = None
    # One text in the rules that is replaced, and the alert that must be missed then.
    breaks: tuple[str, str] | None = None
    misses: str | None = None

    @property
    def listed(self) -> dict[str, str]:
        """Everything that may fire besides what is expected, with the reason."""
        found = dict(self.also)
        for alert in (*self.expects, *self.also):
            ticket = f"{alert}{TICKET}"
            if alert.endswith("BudgetBurn") and ticket not in self.expects:
                found.setdefault(ticket, SAME_OBJECTIVE)
        return found


@cache
def severities() -> dict[str, str]:
    """Every alert as drills name it."""
    alerts = [rule for rule in committed_rules() if rule.is_alert]
    return {key({"alertname": rule.name, **rule.labels}): rule.labels["severity"] for rule in alerts}


REGISTRY: dict[str, Drill] = {}


def drill(
    name: str, title: str, *, needs: tuple[str, ...] = (), held_back: tuple[str, ...] = (), **more: object
) -> Callable[[Fault], Fault]:
    """Registers a fault as a drill; `needs` are parts of the scene."""

    def register(fault: Fault) -> Fault:
        add(Drill(name, title, fault, parts=frozenset(needs), held_back=frozenset(held_back), **more))  # type: ignore[arg-type]
        return fault

    return register


def add(one: Drill) -> None:
    """Registers a drill; `ValueError` for a name twice, or an alert that does not exist."""
    known = severities()
    for alert in (*one.expects, *one.also, *one.held_back, *filter(None, [one.misses])):
        if alert not in known:
            raise ValueError(f"{one.name}: there is no alert {alert}")
    if pages := [alert for alert in one.also if known[alert] == "page"]:
        raise ValueError(f"{one.name}: {pages} would wake somebody: they must fire, or must not")
    if not one.held_back <= one.expects.keys():
        raise ValueError(f"{one.name}: what is held back is expected, too")
    if one.name in REGISTRY:
        raise ValueError(f"two drills are called {one.name}")
    REGISTRY[one.name] = one


def drills_of(alert: str) -> list[str]:
    """The drills in which an alert, under either severity, must fire."""
    return [
        one.name
        for one in REGISTRY.values()
        if any(name.removesuffix(TICKET) == alert and name != one.misses for name in one.expects)
    ]
