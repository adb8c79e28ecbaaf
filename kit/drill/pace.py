"""How much faster than in production a drill's clock runs: one factor for every duration of rules and routing."""

from dataclasses import dataclass
from typing import Any

from kit import durations
from kit.stack import shipped_alertmanager, shipped_prometheus

# A minute of the rules is a second and a half of the drill.
SCALE = 1 / 40
# Longer than the shipped interval times the factor: a scrape is work, and several drills share the processors. The
# shortest window of a rule has two of it.
INTERVAL = "750ms"
# What no rule's clock knows of is not scaled: timeouts of the service, starting it, asking Prometheus.
ALLOWANCE = 10.0
_ROUTING = ("group_wait", "group_interval", "repeat_interval")


@dataclass(frozen=True)
class Pace:
    """The factor, and what follows from it."""

    scale: float = SCALE
    interval: str = INTERVAL

    def seconds(self, duration: str) -> float:
        """A duration of the rules in seconds of the drill."""
        return durations.milliseconds(duration) * self.scale / 1000

    def limit(self, duration: str) -> float:
        """Within what time something that may take so long must be seen."""
        return self.seconds(duration) + ALLOWANCE

    def real(self, seconds: float) -> float:
        """Seconds of the drill as seconds of the shipped rules."""
        return seconds / self.scale

    def stated(self) -> str:
        """The scaling in words."""
        scrape = shipped_prometheus()["global"]["scrape_interval"]
        every = self.real(durations.milliseconds(self.interval) / 1000)
        return (
            f"Every duration of the rules and of Alertmanager's routing is multiplied by {self.scale:g}, by the "
            "generator\nthat writes the shipped rules: "
            f"5m are {self.seconds('5m'):g} s, 1h are {self.seconds('1h'):g} s. Prometheus scrapes and\n"
            f"evaluates every {self.interval} ({every:g} s of the shipped clock, where it is {scrape}). "
            "Thresholds, counts and the service's\nown time limits are as shipped."
        )

    def alertmanager(self, hook: str) -> dict[str, Any]:
        """The shipped routing on this clock; each receiver is told at an address below `hook`."""

        def route(given: dict[str, Any]) -> dict[str, Any]:
            scaled = {key: durations.scaled(given[key], self.scale) for key in _ROUTING if key in given}
            return {**given, **scaled, "routes": [route(one) for one in given.get("routes", [])]}

        shipped = shipped_alertmanager()
        receivers = [
            {**one, "webhook_configs": [{"url": f"{hook}/{one['name']}", "send_resolved": True}]}
            for one in shipped["receivers"]
        ]
        return {**shipped, "route": route(shipped["route"]), "receivers": receivers}
