"""Writes `load-tests/thresholds.json`: the objectives of `alerts/slo.yaml` as thresholds of k6."""

import json

from kit.slo import source


def outputs(_scale: float) -> dict[str, str]:
    """Per objective the k6 metric with its tags, and the expression that it must hold."""
    slos = [
        {
            "name": slo.name,
            "objective": float(slo.target),
            "k6": {"metric": slo.k6["metric"], "threshold": slo.k6["threshold"].replace("{budget}", str(slo.budget))},
        }
        for slo in source().slos
    ]
    return {"load-tests/thresholds.json": json.dumps({"slos": slos}, indent=2) + "\n"}
