"""Makes each well-formed Idempotency-Key that Schemathesis sends a key of its own.

Schemathesis draws short keys again and again, and a repeated key is answered as before: with a thing that another case may
have deleted since. Repeated keys are tested by tests/it/api/idempotency.rs.
"""

import itertools
import re

import schemathesis

NUMBERS = itertools.count(1)
TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@schemathesis.hook
def before_call(context, case, kwargs):
    for name in list(case.headers or {}):
        value = case.headers[name]
        if name.lower() == "idempotency-key" and isinstance(value, str) and TOKEN.fullmatch(value):
            case.headers[name] = f"{value}-{next(NUMBERS)}"
