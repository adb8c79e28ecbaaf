"""Draws dashboards without Grafana: the panel kinds that ours use, in its dark look, from Prometheus's answers."""
