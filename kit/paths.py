"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALERTS = ROOT / "alerts"
DASHBOARDS = ROOT / "dashboards"
DEPLOY = ROOT / "deploy"
DOCS = ROOT / "docs"
LOAD_TESTS = ROOT / "load-tests"
RUNBOOKS = DOCS / "runbooks"

# Where the committed files are read by people: links in annotations and dashboards begin with it.
REPOSITORY_URL = "https://github.com/convoke/convoke/blob/main"
