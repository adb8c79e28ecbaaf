"""Writes the rules as the Prometheus operator takes them: one PrometheusRule with the groups of all rule files."""

from kit import rules, slo
from kit.rule_files import generated

PATH = "deploy/kubernetes/production/prometheus-rule.yaml"


def outputs(scale: float) -> dict[str, str]:
    """`deploy/kubernetes/production/prometheus-rule.yaml`."""
    body = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "convoke", "labels": {"app.kubernetes.io/name": "convoke"}},
        "spec": {"groups": [*rules.groups(scale), *slo.groups(scale)]},
    }
    return {PATH: generated("alerts/causes.yaml and alerts/slo.yaml", body)}
