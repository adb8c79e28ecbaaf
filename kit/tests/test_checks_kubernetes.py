"""The checks of the Kubernetes overlay find what is wrong: each case spoils one thing in what is really built."""

import copy
import shutil
import tempfile
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kit import checks_kubernetes
from kit.checks_kubernetes import (
    Document,
    Overlay,
    built,
    container,
    forgotten,
    ingress,
    migration,
    monitoring,
    network,
    production,
    runbooks,
    selectors,
)
from kit.paths import DEPLOY

COMPONENT = "app.kubernetes.io/component"
BASE = DEPLOY / "kubernetes/base"
WHOLE = built(DEPLOY / "kubernetes/production")
Change = Callable[[dict[str, Any]], object]
Check = Callable[[Overlay], Iterator[str]]


def pod(document: Document) -> Document:
    """The pod of a Deployment."""
    return document["spec"]["template"]["spec"]


def first(document: Document) -> Document:
    """The first container."""
    return pod(document)["containers"][0]


def find(documents: list[Document], kind: str, name: str = "") -> Document:
    """The one of a kind whose name begins so."""
    return next(one for one in documents if one["kind"] == kind and one["metadata"]["name"].startswith(name))


class Kubernetes(unittest.TestCase):
    def spoil(self, check: Check, kind: str, name: str, change: Change, words: str) -> None:
        documents = copy.deepcopy(WHOLE)
        change(find(documents, kind, name))
        found = list(check(Overlay("x", documents)))
        with self.subTest(words):
            self.assertTrue([text for text in found if words in text], found)

    def test_the_real_ones_are_right(self) -> None:
        for documents in (built(BASE), WHOLE):
            for check in (container, migration, ingress, selectors, network):
                self.assertEqual(list(check(Overlay("x", documents))), [])
        for check in (monitoring, production, runbooks):
            self.assertEqual(list(check(Overlay("x", WHOLE))), [])

    def test_a_migration_that_is_not_the_services_own_is_found(self) -> None:
        def init(document: Document) -> Document:
            return pod(document)["initContainers"][0]

        cases: dict[str, Change] = {
            "0 init containers migrate": lambda d: init(d).update(args=["doctor"]),
            "has another image": lambda d: init(d).update(image="convoke:0.0.9"),
            "has another securityContext": lambda d: init(d).update(securityContext={}),
            "migrate has no limit of memory": lambda d: init(d)["resources"].pop("limits"),
        }
        for words, change in cases.items():
            self.spoil(migration, "Deployment", "convoke", change, words)
        settings: Change = lambda d: d["data"].update(CONVOKE_MIGRATE_ON_START="true")  # noqa: E731
        self.spoil(migration, "ConfigMap", "convoke-settings", settings, "1 init containers migrate")

    def test_a_spoilt_way_in_is_found(self) -> None:
        def path(document: Document) -> Document:
            return document["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]

        note = "nginx.ingress.kubernetes.io/proxy-"
        cases: dict[str, Change] = {
            "has no TLS": lambda d: d["spec"].pop("tls"),
            "other.example.org has no TLS": lambda d: d["spec"]["rules"][0].update(host="other.example.org"),
            "convoke-ops has no public port ops": lambda d: path(d).update(name="convoke-ops", port={"name": "ops"}),
            "attachments do not": lambda d: d["metadata"]["annotations"].pop(f"{note}body-size"),
            "gives up before": lambda d: d["metadata"]["annotations"].update({f"{note}read-timeout": "10"}),
        }
        for words, change in cases.items():
            self.spoil(ingress, "Ingress", "convoke", change, words)

    def test_an_overlay_that_does_not_build_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / "kubernetes"
            shutil.copytree(BASE, place / "base")
            shutil.copytree(BASE, place / "other")
            (place / "other/kustomization.yaml").write_text("kind: Kustomization\nresources: [no-such.yaml]\n")
            found = checks_kubernetes.check(place)
        for words in ("kubernetes/other: ", "there is no production that builds"):
            self.assertTrue([one for one in found if words in one], found)

    def test_a_spoilt_container_is_found(self) -> None:
        cases: dict[str, Change] = {
            "the port http is not": lambda d: first(d)["ports"][0].update(containerPort=8081),
            "livenessProbe does not ask": lambda d: first(d)["livenessProbe"]["httpGet"].update(path="/readyz"),
            "readinessProbe does not ask": lambda d: first(d)["readinessProbe"]["httpGet"].update(port="http"),
            "startupProbe does not ask": lambda d: first(d).pop("startupProbe"),
            "the end may take": lambda d: pod(d).update(terminationGracePeriodSeconds=50),
            "runs as root": lambda d: pod(d)["securityContext"].pop("runAsNonRoot"),
            "the image's user": lambda d: pod(d)["securityContext"].update(runAsUser=1000),
            "no seccomp": lambda d: pod(d)["securityContext"].pop("seccompProfile"),
            "a token of the cluster": lambda d: pod(d).pop("automountServiceAccountToken"),
            "write to its root": lambda d: first(d)["securityContext"].update(readOnlyRootFilesystem=False),
            "gain privileges": lambda d: first(d)["securityContext"].pop("allowPrivilegeEscalation"),
            "has capabilities": lambda d: first(d)["securityContext"]["capabilities"].update(drop=["NET_RAW"]),
            "requests nothing": lambda d: first(d)["resources"].pop("requests"),
            "no limit of memory": lambda d: first(d)["resources"].pop("limits"),
            "is not spread": lambda d: pod(d).pop("topologySpreadConstraints"),
            "CONVOKE_DATA_DIR cannot": lambda d: first(d)["volumeMounts"][0].update(mountPath="/other"),
            "there is no volume": lambda d: pod(d).update(volumes=[]),
            "secret.example.yaml has no": lambda d: first(d)["env"][0]["valueFrom"]["secretKeyRef"].update(key="X"),
        }
        for words, change in cases.items():
            self.spoil(container, "Deployment", "", change, words)
        settings: dict[str, Change] = {
            "the port ops is not": lambda d: d["data"].update(CONVOKE_OPS_LISTEN="0.0.0.0:9000"),
            "own loopback": lambda d: d["data"].pop("CONVOKE_LISTEN"),
            "the end may take": lambda d: d["data"].update(CONVOKE_SHUTDOWN_GRACE="30s"),
        }
        for words, change in settings.items():
            self.spoil(container, "ConfigMap", "convoke-settings", change, words)

    def test_a_committed_secret_is_found(self) -> None:
        secret = {"kind": "Secret", "metadata": {"name": "convoke", "namespace": "convoke"}}
        self.assertEqual(len(list(container(Overlay("x", [*WHOLE, secret])))), 1)

    def test_a_selector_that_finds_nothing_is_found(self) -> None:
        other = {"app": "convoke"}
        cases: list[tuple[str, str, Change, str]] = [
            ("Service", "convoke", lambda d: d["spec"].update(selector=other), "convoke: its selector"),
            ("Service", "convoke", lambda d: d["spec"]["ports"][0].update(targetPort="web"), "no port ['web']"),
            ("Service", "convoke-ops", lambda d: d["spec"].pop("clusterIP"), "has an address"),
            ("PodDisruptionBudget", "", lambda d: d["spec"]["selector"].update(matchLabels=other), "its selector"),
            ("NetworkPolicy", "", lambda d: d["spec"].update(podSelector={}), "NetworkPolicy: its selector"),
            ("NetworkPolicy", "", lambda d: d.update(kind="Other"), "is missing"),
            ("HorizontalPodAutoscaler", "", lambda d: d["spec"]["scaleTargetRef"].update(name="x"), "scales nothing"),
            ("HorizontalPodAutoscaler", "", lambda d: d["spec"].update(maxReplicas=9), "connections"),
            ("Deployment", "", lambda d: d["spec"].update(replicas=2), "from the autoscaler"),
        ]
        for kind, name, change, words in cases:
            self.spoil(selectors, kind, name, change, words)

    def test_a_port_that_is_open_to_others_is_found(self) -> None:
        cases: list[tuple[Change, str]] = [
            (lambda d: d["spec"]["ingress"][1].pop("from"), "it opens"),
            (lambda d: d["spec"]["ingress"][0].pop("ports"), "it opens"),
            (lambda d: d["spec"]["ingress"][0]["ports"].append({"port": "ops"}), "it opens"),
            (lambda d: d["spec"].update(policyTypes=["Ingress"]), "both directions"),
            (lambda d: d["spec"]["egress"].pop(), "[4318]"),
        ]
        for change, words in cases:
            self.spoil(network, "NetworkPolicy", "", change, words)

    def test_targets_with_other_labels_are_found(self) -> None:
        def endpoint(monitor: Document) -> Document:
            return monitor["spec"]["endpoints"][0]

        cases: list[tuple[str, str, Change, str]] = [
            ("ServiceMonitor", "", lambda d: d["spec"].pop("jobLabel"), 'not job="convoke"'),
            ("ServiceMonitor", "", lambda d: endpoint(d)["relabelings"].pop(0), "no environment"),
            ("ServiceMonitor", "", lambda d: endpoint(d).update(port="http"), "is not the ops listener's"),
            ("ServiceMonitor", "", lambda d: endpoint(d).update(path="/"), "metrics are not at"),
            ("ServiceMonitor", "", lambda d: endpoint(d).update(interval="30s"), "its interval"),
            ("ServiceMonitor", "", lambda d: d["spec"]["selector"]["matchLabels"].pop(COMPONENT), "finds 2 services"),
            ("ServiceMonitor", "", lambda d: d.update(kind="PodMonitor"), "one ServiceMonitor"),
            ("Service", "convoke-ops", lambda d: d["spec"].pop("publishNotReadyAddresses"), "are not scraped"),
            ("PrometheusRule", "", lambda d: d["spec"]["groups"].pop(), "the PrometheusRule is not"),
            ("ConfigMap", "convoke-api", lambda d: d["metadata"].pop("labels"), "convoke-api.json is not"),
            ("ConfigMap", "convoke-api", lambda d: d["data"].update({"convoke-api.json": "{}"}), "is not there as"),
        ]
        for kind, name, change, words in cases:
            self.spoil(monitoring, kind, name, change, words)

    def test_another_namespace_or_a_loose_image_is_found(self) -> None:
        cases: list[tuple[str, Change, str]] = [
            ("Namespace", lambda d: d["metadata"].update(labels={}), "no restricted pods"),
            ("Service", lambda d: d["metadata"].pop("namespace"), "is in another namespace"),
            ("Deployment", lambda d: first(d).update(image="convoke:latest"), "is not pinned"),
        ]
        for kind, change, words in cases:
            self.spoil(production, kind, "", change, words)

    def test_a_forgotten_file_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            overlay = Path(scratch) / "base"
            overlay.mkdir()
            (overlay / "kustomization.yaml").write_text("resources: [service.yaml]\n")
            for name in ("service.yaml", "forgotten.yaml", "secret.example.yaml"):
                (overlay / name).write_text("{}\n")
            self.assertEqual(len(list(forgotten(Path(scratch)))), 1)

    def test_a_runbook_that_looks_for_another_label_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "x.md").write_text("`kubectl get pods -l app=convoke -o wide`\n")
            self.assertEqual(len(list(runbooks(Overlay("x", WHOLE), Path(scratch)))), 1)


if __name__ == "__main__":
    unittest.main()
