"""Checks what `kubectl kustomize` makes of `deploy/kubernetes`, part against part and against the service."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kit import settings
from kit.checks_container import stages
from kit.paths import ALERTS, DASHBOARDS, DEPLOY, ROOT, RUNBOOKS
from kit.tools import RefusedError, output

Document = dict[str, Any]
PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
# PostgreSQL's own max_connections without those it reserves.
CONNECTIONS = 97
CLUSTER_WIDE = {"Namespace"}


def built(folder: Path) -> list[Document]:
    """What an overlay consists of."""
    return [one for one in yaml.safe_load_all(output("kubectl", "kustomize", str(folder))) if one]


class Overlay:
    """What was built, by kind."""

    def __init__(self, name: str, documents: list[Document]) -> None:
        self.where = f"deploy/kubernetes/{name}"
        self.documents = documents
        self.deployment = self.of("Deployment")[0]
        self.pod: Document = self.deployment["spec"]["template"]["spec"]
        self.labels: dict[str, str] = self.deployment["spec"]["template"]["metadata"]["labels"]
        self.container: Document = self.pod["containers"][0]
        self.ports = {one["name"]: one["containerPort"] for one in self.container["ports"]}
        maps = {one["metadata"]["name"]: one["data"] for one in self.of("ConfigMap")}
        self.settings: dict[str, str] = {}
        for source in self.container["envFrom"]:
            self.settings |= maps.get(source["configMapRef"]["name"], {})

    def of(self, kind: str) -> list[Document]:
        """The documents of a kind."""
        return [one for one in self.documents if one["kind"] == kind]

    def policies(self) -> list[Document]:
        """The network policies of the replicas; those of jobs are for `jobs`."""
        theirs = [one["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"] for one in self.of("CronJob")]
        return [
            one
            for one in self.of("NetworkPolicy")
            if not any(one["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items() for labels in theirs)
        ]

    def selects(self, labels: dict[str, str]) -> bool:
        """Whether a selector finds the pods."""
        return bool(labels) and labels.items() <= self.labels.items()


def container(overlay: Overlay) -> Iterator[str]:
    """Ports, probes, the end, and what the container may do."""
    where, one, pod = f"{overlay.where}: Deployment", overlay.container, overlay.pod
    for name, variable in (("http", "CONVOKE_LISTEN"), ("ops", "CONVOKE_OPS_LISTEN")):
        if overlay.ports.get(name) != settings.port(variable, overlay.settings):
            yield f"{where}: the port {name} is not that of {variable}"
        if overlay.settings.get(variable, "127.0.0.1").startswith("127."):
            yield f"{where}: {variable} is the pod's own loopback"
    routes = set(re.findall(r'\.route\("([^"]+)"', (ROOT / "src/ops/mod.rs").read_text()))
    for name, path in PROBES.items():
        asked = one.get(name, {}).get("httpGet", {})
        if (asked.get("path"), asked.get("port")) != (path, "ops") or path not in routes:
            yield f"{where}: the {name} does not ask {path} of the ops listener"
    if pod.get("terminationGracePeriodSeconds", 30) < settings.shutdown(overlay.settings):
        yield f"{where}: the end may take {settings.shutdown(overlay.settings)} s, longer than the pod is given"
    user = (stages((DEPLOY / "Containerfile").read_text())[-1]).last("USER").partition(":")[0]
    wanted = {
        "runs as root": pod["securityContext"].get("runAsNonRoot") is True,
        f"does not run as the image's user {user}": str(pod["securityContext"].get("runAsUser")) == user,
        "has no seccomp profile": pod["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"},
        "has a token of the cluster": pod.get("automountServiceAccountToken") is False,
        "can write to its root": one["securityContext"].get("readOnlyRootFilesystem") is True,
        "can gain privileges": one["securityContext"].get("allowPrivilegeEscalation") is False,
        "has capabilities": one["securityContext"].get("capabilities") == {"drop": ["ALL"]},
        "requests nothing": {"cpu", "memory"} <= one["resources"].get("requests", {}).keys(),
        "has no limit of memory": "memory" in one["resources"].get("limits", {}),
        "is not spread": bool(pod.get("topologySpreadConstraints")),
    }
    yield from (f"{where}: it {fault}" for fault, holds in wanted.items() if not holds)
    mounted = {mount["mountPath"] for mount in one["volumeMounts"] if not mount.get("readOnly")}
    if overlay.settings.get("CONVOKE_DATA_DIR") not in mounted:
        yield f"{where}: CONVOKE_DATA_DIR cannot be written to"
    volumes = {volume["name"] for volume in pod["volumes"]}
    for mount in one["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"{where}: there is no volume {mount['name']}"
    example = yaml.safe_load((DEPLOY / "kubernetes/production/secret.example.yaml").read_text())
    initial = [*one["env"], *(variable for other in pod.get("initContainers", []) for variable in other["env"])]
    for variable in initial:
        reference = variable["valueFrom"]["secretKeyRef"]
        if reference.get("optional"):
            continue
        if reference["name"] != example["metadata"]["name"] or reference["key"] not in example["stringData"]:
            yield f"{where}: secret.example.yaml has no {reference['key']}"
    for secret in overlay.of("Secret"):
        yield f"{overlay.where}: the secret {secret['metadata']['name']} is committed"


def migration(overlay: Overlay) -> Iterator[str]:
    """The init container: Convoke itself, as confined, which brings the schema up to date in the replicas' stead."""
    where, one = f"{overlay.where}: Deployment", overlay.container
    migrating = [other for other in overlay.pod.get("initContainers", []) if other.get("args") == ["migrate"]]
    alone = overlay.settings.get("CONVOKE_MIGRATE_ON_START") == "false"
    if len(migrating) != int(alone):
        yield f"{where}: {len(migrating)} init containers migrate, and CONVOKE_MIGRATE_ON_START is {not alone}"
    for other in migrating:
        for name in ("image", "envFrom", "securityContext"):
            if other.get(name) != one.get(name):
                yield f"{where}: {other['name']} has another {name} than {one['name']}"
        if {"memory"} - other["resources"].get("limits", {}).keys():
            yield f"{where}: {other['name']} has no limit of memory"


def ingress(overlay: Overlay) -> Iterator[str]:
    """The way in from outside: TLS for every name, to the public port and no other."""
    public = [one for one in overlay.of("Service") if {port["targetPort"] for port in one["spec"]["ports"]} == {"http"}]
    names = {(one["metadata"]["name"], port["name"]) for one in public for port in one["spec"]["ports"]}
    for one in overlay.of("Ingress"):
        where, spec = f"{overlay.where}: Ingress", one["spec"]
        secured = {host for part in spec.get("tls", []) if part.get("secretName") for host in part["hosts"]}
        for rule in spec["rules"]:
            if rule.get("host") not in secured:
                yield f"{where}: {rule.get('host', 'every host')} has no TLS"
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                if (service["name"], service["port"].get("name")) not in names:
                    yield f"{where}: {service['name']} has no public port {service['port'].get('name')}"
        notes, prefix = one["metadata"].get("annotations", {}), "nginx.ingress.kubernetes.io/"
        if notes.get(f"{prefix}proxy-body-size") != "0" or notes.get(f"{prefix}proxy-request-buffering") != "off":
            yield f"{where}: attachments do not pass through as they come"
        wait = float(notes.get(f"{prefix}proxy-read-timeout", 60))
        if wait <= settings.seconds("CONVOKE_REQUEST_TIMEOUT", overlay.settings):
            yield f"{where}: it gives up before CONVOKE_REQUEST_TIMEOUT"


def selectors(overlay: Overlay) -> Iterator[str]:
    """Everything that finds the pods by labels or the Deployment by name."""
    found = [("Deployment", overlay.deployment["spec"]["selector"]["matchLabels"])]
    found += [("spread", one["labelSelector"]["matchLabels"]) for one in overlay.pod["topologySpreadConstraints"]]
    found += [(one["metadata"]["name"], one["spec"]["selector"]) for one in overlay.of("Service")]
    budgets, policies = overlay.of("PodDisruptionBudget"), overlay.policies()
    found += [("PodDisruptionBudget", one["spec"]["selector"]["matchLabels"]) for one in budgets]
    found += [("NetworkPolicy", one["spec"]["podSelector"].get("matchLabels", {})) for one in policies]
    for name, labels in found:
        if not overlay.selects(labels):
            yield f"{overlay.where}: {name}: its selector does not find the pods"
    for service in overlay.of("Service"):
        name = service["metadata"]["name"]
        targets = {one["targetPort"] for one in service["spec"]["ports"]}
        if not targets <= overlay.ports.keys():
            yield f"{overlay.where}: {name}: the pods have no port {sorted(targets - overlay.ports.keys())}"
        if "ops" in targets and service["spec"].get("clusterIP") != "None":
            yield f"{overlay.where}: {name}: the ops listener has an address in the cluster"
    if not budgets or not policies:
        yield f"{overlay.where}: a PodDisruptionBudget or a NetworkPolicy is missing"
    for scaler in overlay.of("HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] != overlay.deployment["metadata"]["name"]:
            yield f"{overlay.where}: the autoscaler scales nothing"
        if "replicas" in overlay.deployment["spec"]:
            yield f"{overlay.where}: the Deployment takes the number of replicas from the autoscaler"
        surge = overlay.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        name = "CONVOKE_DATABASE_MAX_CONNECTIONS"
        each = int(overlay.settings.get(name, settings.defaults()[name]))
        if (scaler["spec"]["maxReplicas"] + surge) * each > CONNECTIONS:
            yield f"{overlay.where}: so many replicas open more than PostgreSQL's {CONNECTIONS} connections"


def network(overlay: Overlay) -> Iterator[str]:
    """Who reaches which port: the ingress the public one, the monitoring the other, and nobody both."""
    wanted = {"http": "ingress-nginx", "ops": "monitoring"}
    for policy in overlay.policies():
        where, spec = f"{overlay.where}: NetworkPolicy", policy["spec"]
        if set(spec["policyTypes"]) != {"Ingress", "Egress"}:
            yield f"{where}: it does not decide on both directions"
        open_to: dict[str, list[str]] = {}
        for rule in spec["ingress"]:
            spaces = [
                one.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", "everybody")
                for one in rule.get("from", [{}])
            ]
            for port in rule.get("ports", [{"port": "every port"}]):
                open_to.setdefault(port["port"], []).extend(spaces)
        if open_to != {port: [space] for port, space in wanted.items()}:
            yield f"{where}: it opens {open_to}"
        leaving = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
        needed = {53, 5432}
        if endpoint := overlay.settings.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            needed.add(int(endpoint.rpartition(":")[2]))
        if needed - leaving:
            yield f"{where}: it keeps Convoke from the ports {sorted(needed - leaving)}"


def jobs(overlay: Overlay) -> Iterator[str]:
    """What the schedule starts: confined as the replicas are, with their settings, and reached by nobody."""
    for job in overlay.of("CronJob"):
        where = f"{overlay.where}: CronJob {job['metadata']['name']}"
        template = job["spec"]["jobTemplate"]["spec"]["template"]
        pod, one = template["spec"], template["spec"]["containers"][0]
        for name in ("securityContext", "serviceAccountName", "automountServiceAccountToken"):
            if pod.get(name) != overlay.pod.get(name):
                yield f"{where}: it has another {name} than the replicas"
        if (one["securityContext"], one["envFrom"]) != (overlay.container["securityContext"], overlay.container["envFrom"]):
            yield f"{where}: it is less confined than the replicas, or has other settings"
        if "memory" not in one["resources"].get("limits", {}):
            yield f"{where}: it has no limit of memory"
        if job["spec"].get("concurrencyPolicy") != "Forbid":
            yield f"{where}: two may run at once"
        labels = template["metadata"]["labels"]
        for service in overlay.of("Service"):
            if service["spec"]["selector"].items() <= labels.items():
                yield f"{where}: {service['metadata']['name']} takes it for a replica"
        found = [
            policy["spec"]
            for policy in overlay.of("NetworkPolicy")
            if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
        ]
        leaving = {port["port"] for spec in found for rule in spec["egress"] for port in rule["ports"]}
        if len(found) != 1 or found[0]["ingress"] or leaving != {53, 443, 5432}:
            yield f"{where}: its network is not closed but for the database and S3"
        if not overlay.settings.get("CONVOKE_BACKUP_TO"):
            yield f"{where}: CONVOKE_BACKUP_TO is not set"


def monitoring(overlay: Overlay) -> Iterator[str]:
    """What the Prometheus operator and Grafana's sidecar are given, against what they get elsewhere."""
    scrape = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())
    job = scrape["scrape_configs"][0]
    if len(overlay.of("ServiceMonitor")) != 1:
        yield f"{overlay.where}: there must be one ServiceMonitor"
    for monitor in overlay.of("ServiceMonitor"):
        where, spec, (endpoint,) = f"{overlay.where}: ServiceMonitor", monitor["spec"], monitor["spec"]["endpoints"]
        wanted = spec["selector"]["matchLabels"].items()
        services = [one for one in overlay.of("Service") if wanted <= one["metadata"]["labels"].items()]
        if len(services) != 1:
            yield f"{where}: it finds {len(services)} services"
            continue
        ports = {port["name"]: port["targetPort"] for port in services[0]["spec"]["ports"]}
        if ports.get(endpoint["port"]) != "ops":
            yield f"{where}: its port is not the ops listener's"
        if services[0]["metadata"]["labels"].get(spec.get("jobLabel")) != job["job_name"]:
            yield f'{where}: the targets are not job="{job["job_name"]}"'
        if not services[0]["spec"].get("publishNotReadyAddresses"):
            yield f"{where}: replicas that are not ready are not scraped"
        constant = {
            one["targetLabel"]: one["replacement"] for one in endpoint["relabelings"] if "sourceLabels" not in one
        }
        if not constant.get("environment"):
            yield f"{where}: the targets have no environment"
        pace = (scrape["global"]["scrape_interval"], scrape["global"]["scrape_timeout"], job["sample_limit"])
        if (endpoint["interval"], endpoint["scrapeTimeout"], spec["sampleLimit"]) != pace:
            yield f"{where}: its interval, timeout and limit are not {pace} as in deploy/prometheus.yaml"
        if endpoint["path"] != job.get("metrics_path", "/metrics"):
            yield f"{where}: metrics are not at {endpoint['path']}"
    files = [yaml.safe_load(path.read_text())["groups"] for path in sorted(ALERTS.glob("*.rules.yaml"))]
    shipped = [group for one in overlay.of("PrometheusRule") for group in one["spec"]["groups"]]
    if shipped != [group for groups in files for group in groups]:
        yield f"{overlay.where}: the PrometheusRule is not alerts/*.rules.yaml"
    boards = {
        name: text
        for one in overlay.of("ConfigMap")
        if one["metadata"].get("labels", {}).get("grafana_dashboard")
        for name, text in one["data"].items()
    }
    for path in sorted(DASHBOARDS.glob("*.json")):
        if path.name not in boards or json.loads(boards.pop(path.name)) != json.loads(path.read_text()):
            yield f"{overlay.where}: the dashboard {path.name} is not there as it is"


def production(overlay: Overlay) -> Iterator[str]:
    """The namespace and the image."""
    (space,) = overlay.of("Namespace")
    if space["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield f"{overlay.where}: the namespace enforces no restricted pods"
    for one in overlay.documents:
        if one["kind"] not in CLUSTER_WIDE and one["metadata"].get("namespace") != space["metadata"]["name"]:
            yield f"{overlay.where}: {one['kind']} {one['metadata']['name']} is in another namespace"
    if not re.search(r":\d+\.\d+|@sha256:", overlay.container["image"]):
        yield f"{overlay.where}: the image {overlay.container['image']} is not pinned"


def forgotten(folder: Path) -> Iterator[str]:
    """Files that no kustomization names."""
    for overlay in sorted(path.parent for path in folder.glob("*/kustomization.yaml")):
        named = yaml.safe_load((overlay / "kustomization.yaml").read_text())["resources"]
        for path in sorted(overlay.glob("*.yaml")):
            if path.name not in (*named, "kustomization.yaml") and not path.name.endswith(".example.yaml"):
                yield f"deploy/kubernetes/{overlay.name}: {path.name} is not part of it"


def runbooks(overlay: Overlay, folder: Path = RUNBOOKS) -> Iterator[str]:
    """Labels by which a runbook looks for pods and finds none."""
    for path in sorted(folder.glob("*.md")):
        for text in re.findall(r"kubectl [^`\n]*-l (\S+=[\w.-]+)", path.read_text()):
            if not overlay.selects(dict([text.split("=", 1)])):
                yield f"docs/runbooks/{path.name}: no pod has the label {text}"


def check(folder: Path = DEPLOY / "kubernetes") -> list[str]:
    """Everything that is wrong with the overlays, each of which must build."""
    found, overlays = list(forgotten(folder)), {}
    for path in sorted(folder.glob("*/kustomization.yaml")):
        # A component is a part of overlays and none by itself.
        if yaml.safe_load(path.read_text())["kind"] == "Component":
            continue
        try:
            overlays[path.parent.name] = Overlay(path.parent.name, built(path.parent))
        except RefusedError as refused:
            found.append(f"deploy/kubernetes/{path.parent.name}: {refused}")
    for name in {"base", "production"} - overlays.keys():
        found.append(f"deploy/kubernetes: there is no {name} that builds")
    for name, overlay in overlays.items():
        for one in (container, migration, ingress, selectors, network, jobs, *((monitoring, production) * (name != "base"))):
            found += one(overlay)
    if "base" in overlays:
        found += runbooks(overlays["base"])
    return found
