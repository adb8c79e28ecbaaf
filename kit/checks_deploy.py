"""Checks the files in `deploy/` against each other, against Convoke's settings, and by the programs that read them."""

import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kit import checks_container, checks_host, checks_kubernetes, checks_settings
from kit import settings as convoke
from kit.durations import milliseconds
from kit.paths import ALERTS, DEPLOY
from kit.tools import refusal

# Ports of programs whose configuration here does not name them.
OWN_PORTS = {"postgres": {5432}, "prometheus": {9090}, "alertmanager": {9093}, "grafana": {3000}}
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def _load(name: str, folder: Path) -> Any:
    return yaml.safe_load((folder / name).read_text())


def programs(folder: Path) -> Iterator[str]:
    """What promtool and amtool find, with the rules where `prometheus.yaml` looks for them."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        shutil.copy(folder / "prometheus.yaml", place)
        (place / "rules").symlink_to(ALERTS)
        if refused := refusal("promtool", "check", "config", "prometheus.yaml", cwd=place):
            yield f"deploy/prometheus.yaml: {refused}"
    if refused := refusal("amtool", "check-config", str(folder / "alertmanager.yaml")):
        yield f"deploy/alertmanager.yaml: {refused}"


def ports(compose: dict[str, Any], folder: Path) -> dict[str, set[int]]:
    """The ports that each service of `compose.yaml` listens on, as its own settings say."""

    def port(address: str) -> int:
        return int(address.rpartition(":")[2])

    settings = compose["services"]["convoke"]["environment"]
    tempo, loki = _load("tempo.yaml", folder), _load("loki.yaml", folder)
    collector = _load("otel-collector.yaml", folder)
    receivers = [one for part in collector["receivers"].values() for one in part.get("protocols", {"": part}).values()]
    listening = [*receivers, *collector["extensions"].values()]
    otlp = tempo["distributor"]["receivers"]["otlp"]["protocols"].values()
    return OWN_PORTS | {
        "convoke": {port(settings["CONVOKE_LISTEN"]), port(settings["CONVOKE_OPS_LISTEN"])},
        "tempo": {tempo["server"]["http_listen_port"], *(port(one["endpoint"]) for one in otlp)},
        "loki": {loki["server"]["http_listen_port"]},
        "otel-collector": {port(one["endpoint"]) for one in listening},
    }


def strings(value: Any) -> Iterator[str]:
    """Every string in a document, keys left out."""
    if isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)
    elif isinstance(value, str):
        yield value


def addresses(name: str, document: Any, listening: dict[str, set[int]]) -> Iterator[str]:
    """Addresses of services that are none, or that listen on other ports."""
    for text in strings(document):
        for host, number in re.findall(r"(?:^|//|@|\s)([a-z][a-z-]*):(\d{2,5})(?=$|[/\s])", text):
            if host == "localhost":
                continue
            if host not in listening:
                yield f"{name}: {text}: no service is called {host}"
            elif int(number) not in listening[host]:
                yield f"{name}: {text}: {host} listens on {sorted(listening[host])}"


def services(compose: dict[str, Any], folder: Path, listening: dict[str, set[int]]) -> Iterator[str]:
    """Images, mounts, ports and dependencies in `compose.yaml`."""
    for name, service in compose["services"].items():
        where = f"deploy/compose.yaml: {name}"
        if "build" in service:
            context = folder / service["build"]["context"]
            if not (context / service["build"]["dockerfile"]).exists():
                yield f"{where}: {service['build']['dockerfile']} does not exist"
        # A registry's port is no tag.
        tag = service["image"].rpartition("/")[2].partition(":")[2]
        if not service["image"].startswith("${") and (tag in ("", "latest") or not re.search(r"\d+\.\d+", tag)):
            yield f"{where}: {service['image']} is not pinned"
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                if not (folder / source).exists():
                    yield f"{where}: {source} does not exist"
                if mode != ["ro"]:
                    yield f"{where}: {source} can be written to"
            elif source not in compose["volumes"]:
                yield f"{where}: the volume {source} is not declared"
            if not target.startswith("/"):
                yield f"{where}: {target} is no absolute path"
        for published in service.get("ports", []):
            host, _, inside = published.rpartition(":")
            if not host.startswith("127.0.0.1:"):
                yield f"{where}: {published} is not bound to the loopback"
            if int(inside) not in listening[name]:
                yield f"{where}: {published}: it listens on {sorted(listening[name])}"
        for other, how in service.get("depends_on", {}).items():
            needed = compose["services"].get(other)
            if needed is None:
                yield f"{where}: depends on {other}, which is no service"
            elif how["condition"] == "service_healthy" and "healthcheck" not in needed:
                yield f"{where}: waits for the health of {other}, which has no check"
    used = {volume.split(":")[0] for one in compose["services"].values() for volume in one.get("volumes", [])}
    for volume in compose["volumes"].keys() - used:
        yield f"deploy/compose.yaml: nobody uses the volume {volume}"


def health(compose: dict[str, Any]) -> Iterator[str]:
    """Whether Convoke is asked for its readiness, and given time to answer."""
    where = "deploy/compose.yaml: convoke"
    check = compose["services"]["convoke"].get("healthcheck", {})
    if check.get("test") != ["CMD", "/usr/local/bin/convoke", "health", "--ready"]:
        yield f"{where}: its health is not asked by `convoke health --ready`"
    if milliseconds(check.get("timeout", "30s")) / 1000 <= checks_container.patience():
        yield f"{where}: its healthcheck is given up before `convoke health` does"


def settings(compose: dict[str, Any], readme: str) -> Iterator[str]:
    """Names of settings that Convoke does not know, and variables that the README does not explain."""
    for name in compose["services"]["convoke"]["environment"]:
        if name not in convoke.known():
            yield f"deploy/compose.yaml: Convoke has no setting {name}"
    given = {name: str(value) for name, value in compose["services"]["convoke"]["environment"].items()}
    if milliseconds(compose["services"]["convoke"]["stop_grace_period"]) / 1000 < convoke.shutdown(given):
        yield f"deploy/compose.yaml: stop_grace_period is shorter than the end may take ({convoke.shutdown(given)} s)"
    for text in strings(compose):
        for variable, _, _ in _VARIABLE.findall(text):
            if variable not in readme:
                yield f"deploy/compose.yaml: ${{{variable}}} is not explained in deploy/README.md"


def pipelines(collector: dict[str, Any]) -> Iterator[str]:
    """Parts of the collector that are used and not defined, or the other way round."""
    used: dict[str, set[str]] = {"extensions": set(collector["service"]["extensions"])}
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            used.setdefault(kind, set()).update(pipeline.get(kind, []))
    for kind, names in used.items():
        for name in names ^ set(collector[kind]):
            state = "is used and not defined" if name in names else "is defined and not used"
            yield f"deploy/otel-collector.yaml: {kind[:-1]} {name} {state}"


def sampling(collector: dict[str, Any]) -> Iterator[str]:
    """Whether every trace that failed or was slow is kept, and judged when it is whole."""
    where, processor = "deploy/otel-collector.yaml: tail_sampling", collector["processors"]["tail_sampling"]
    policies = {one["type"]: one for one in processor["policies"]}
    if "ERROR" not in policies.get("status_code", {}).get("status_code", {}).get("status_codes", []):
        yield f"{where}: traces that failed are lost"
    objective = min(float(one) for one in re.findall(r'le="([\d.]+)"', (ALERTS / "slo.yaml").read_text()))
    if policies.get("latency", {}).get("latency", {}).get("threshold_ms", math.inf) > objective * 1000:
        yield f"{where}: traces slower than the objective of {objective} s are lost"
    # A span leaves OTEL_BSP_SCHEDULE_DELAY, 5 s, after its end at the latest.
    longest = convoke.seconds("CONVOKE_REQUEST_TIMEOUT", {}) + 5
    if milliseconds(processor["decision_wait"]) / 1000 <= longest:
        yield f"{where}: a trace of {longest} s is judged before its end"
    order = collector["service"]["pipelines"]["traces"]["processors"]
    if order != ["memory_limiter", "tail_sampling", "batch"]:
        yield f"{where}: it does not stand between memory_limiter and batch"


def grafana(compose: dict[str, Any], folder: Path) -> Iterator[str]:
    """Folders of dashboards that Grafana is told to read and that are not mounted there."""
    targets = {volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]}
    for path in sorted((folder / "grafana/provisioning/dashboards").glob("*.yaml")):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            if provider["options"]["path"] not in targets:
                yield f"{path.relative_to(folder.parent)}: nothing is mounted at {provider['options']['path']}"


def check(folder: Path = DEPLOY) -> list[str]:
    """Everything that is wrong in `deploy/`."""
    compose = _load("compose.yaml", folder)
    collector = _load("otel-collector.yaml", folder)
    listening = ports(compose, folder)
    found = [*programs(folder), *services(compose, folder, listening), *pipelines(collector), *sampling(collector)]
    found += grafana(compose, folder)
    found += [*settings(compose, (folder / "README.md").read_text()), *health(compose)]
    found += [
        *convoke.unknown(folder),
        *checks_container.check(folder),
        *checks_kubernetes.check(),
        *checks_host.check(),
        *checks_settings.check(folder),
    ]
    sources = folder / "grafana/provisioning/datasources"
    named = ["compose.yaml", "prometheus.yaml", "otel-collector.yaml"]
    named += [str(path.relative_to(folder)) for path in sorted(sources.glob("*.yaml"))]
    for name in named:
        found += addresses(f"deploy/{name}", _load(name, folder), listening)
    plugin = shutil.which("docker") and refusal("docker", "compose", "version") is None
    if plugin:
        values = {"CONVOKE_SECRET_KEY": "x", "POSTGRES_PASSWORD": "x", "GRAFANA_PASSWORD": "x"}
        given = "".join(f"{name}={value}\n" for name, value in values.items())
        with tempfile.NamedTemporaryFile("w", suffix=".env") as environment:
            environment.write(given)
            environment.flush()
            command = (
                "docker",
                "compose",
                "--env-file",
                environment.name,
                "-f",
                str(folder / "compose.yaml"),
                "config",
                "-q",
            )
            if refused := refusal(*command):
                found.append(f"deploy/compose.yaml: {refused}")
    return found
