"""PromQL as Grafana sends it, from PromQL as an SRE writes it in `dashboards/src/`."""

import re

from kit.instruments import series

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MATCHERS = 'environment=~"$environment", job=~"$job", instance=~"$instance"'
_WORD = re.compile(r"""("(?:[^"\\]|\\.)*")|(?<![\w:$])([a-zA-Z_][\w:]*)(\{\s*\}|\{)?""")


def with_matchers(expression: str) -> str:
    """Gives every selector of a target's series the matchers of the dashboard's variables."""

    def replace(match: re.Match[str]) -> str:
        text, name, brace = match.groups()
        if text or name not in series():
            return match.group(0)
        return f"{name}{{{MATCHERS}, " if brace == "{" else f"{name}{{{MATCHERS}}}"

    return _WORD.sub(replace, expression)


def quantile(value: float, histogram: str, by: list[str]) -> str:
    """A quantile of a histogram that is 0, and not NaN, while nothing was observed."""
    name, brace, matchers = histogram.partition("{")
    labels = ", ".join(["le", *by])
    total = f"sum by ({', '.join(by)}) " if by else "sum"
    buckets = f"sum by ({labels}) (rate({name}_bucket{brace}{matchers}[$__rate_interval]))"
    count = f"{total}(rate({name}_count{brace}{matchers}[$__rate_interval]))"
    return f"(histogram_quantile({value}, {buckets}) >= 0) or 0 * {count}"


def expression(query: dict) -> str:
    """The PromQL of one query: written out, or a quantile of a histogram."""
    if "quantile" in query:
        text = quantile(query["quantile"], query["of"], query.get("by", []))
    else:
        text = query["expr"].strip()
    return with_matchers(text)
