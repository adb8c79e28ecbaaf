"""The part of LogQL and TraceQL that the dashboards' links use, as a grammar: what does not fit is refused.

Neither language has a parser in Python; this is stricter than they are.
"""

import re

_STRING = r'"(?:[^"\\]|\\.)*"'
_MATCHER = rf"[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*{_STRING}"
_SELECTOR = rf"\{{\s*{_MATCHER}(?:\s*,\s*{_MATCHER})*\s*\}}"
_FILTER = rf"(?:\|=|!=|\|~|!~)\s*{_STRING}"
_NUMBER = r"-?\d+(?:\.\d+)?"
_DURATION = r"\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h)"
_LABEL = rf"[a-zA-Z_]\w*\s*(?:(?:=~|!~)\s*{_STRING}|(?:==|!=|>=|<=|>|<|=)\s*(?:{_STRING}|{_DURATION}|{_NUMBER}))"
_STAGE = rf"\|\s*(?:json|logfmt|{_LABEL}(?:\s+(?:and|or)\s+{_LABEL})*)"
_LOGQL = re.compile(rf"\s*{_SELECTOR}(?:\s*(?:{_FILTER}|{_STAGE}))*\s*")

_INTRINSIC = r"(?:status|kind|duration|name|traceDuration|rootName|rootServiceName)"
_ATTRIBUTE = r"(?:resource|span)\.[a-zA-Z_][\w.]*"
_VALUE = rf"(?:{_STRING}|{_DURATION}|{_NUMBER}|error|ok|unset|server|client|consumer|producer|internal|nil|true|false)"
_CONDITION = rf"(?:{_INTRINSIC}|{_ATTRIBUTE})\s*(?:=~|!~|!=|>=|<=|=|>|<)\s*{_VALUE}"
_TRACEQL = re.compile(rf"\s*\{{\s*{_CONDITION}(?:\s*(?:&&|\|\|)\s*{_CONDITION})*\s*\}}\s*")


def is_logql(query: str) -> bool:
    """Whether this is a log query of the known form."""
    return _LOGQL.fullmatch(query) is not None


def is_traceql(query: str) -> bool:
    """Whether this is a span search of the known form."""
    return _TRACEQL.fullmatch(query) is not None
