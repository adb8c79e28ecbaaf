"""Runs docs/deployment-checklist.md from top to bottom against a service started here as in production: a PostgreSQL of
its own with a role that may do little, the settings in a file, systemd's notifications, nginx with TLS before it.

    python -m kit checklist [--quick]

What cannot be run here is named with its reason. Fails when a line prints something else than it must.
"""

import argparse
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from kit.paths import DEPLOY, ROOT
from kit.process import Program, StartError, answers, free_port, scratch_folder, stopped_at_end
from kit.stack import Postgres, convoke_binary
from kit.tools import output

SOURCE = ROOT / "kit/checklist.yaml"
HOST = "convoke.example.org"
LIMIT = 120
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
HEAD = """\
# Deployment checklist

<!-- Generated from kit/checklist.yaml: change it there, then `make docs`. -->

Each line is a command and what it must print: one whole line of its output matches the expression, or there is none. It
is for one machine with systemd, PostgreSQL and nginx; the last section is about the others. Run them from top to bottom
in a checkout of the version that you install, as root, in one shell of bash:

```sh
HOST=convoke.example.org                       # your name
ENV_FILE=/etc/convoke/convoke.env              # from deploy/systemd/convoke.env.example
SCRATCH=$(mktemp -d) ADMIN_PASSWORD=$(openssl rand -base64 18) NEW_PASSWORD=$(openssl rand -hex 24)
ADMIN_URL=postgres:///postgres                 # a superuser's way to the same server, for two sections only
set -a; . "$ENV_FILE"; set +a                  # again whenever a line changes that file
API=http://127.0.0.1:8080/api/v1 OPS=http://127.0.0.1:9464
```

`make checklist` runs it against a service started for it, with a PostgreSQL, an nginx and a certificate of its own, and
says which lines it could not run there and why. In the place of systemd it starts the binary with the same settings and
waits for the same notification. CI runs it on each change (`python -m kit checklist --quick`).
"""


@dataclass(frozen=True)
class Line:
    """One line of the checklist, as its source has it."""

    what: str
    run: str
    prints: str
    needs: str = ""
    left: str = ""
    stand_in: str = ""
    slow: bool = False


def sections(text: str) -> Iterator[tuple[str, list[Line]]]:
    """Every section with its lines; an unknown key is a fault."""
    for one in yaml.safe_load(text):
        yield one["title"], [Line(**line) for line in one["lines"]]


def outputs(_scale: float) -> dict[str, str]:
    """`docs/deployment-checklist.md`."""
    text = HEAD
    for title, lines in sections(SOURCE.read_text()):
        text += f"\n## {title}\n"
        for line in lines:
            expected = f"prints `{line.prints}`" if line.prints else "prints nothing"
            text += f"\n- {line.what} It {expected}.\n\n  ```sh\n  {line.run}\n  ```\n"
    return {"docs/deployment-checklist.md": text}


def matches(expected: str, printed: str) -> bool:
    """Whether an output is what a line must print."""
    if not expected:
        return not printed.strip()
    return any(re.fullmatch(expected, line) for line in printed.splitlines())


@dataclass
class Machine:
    """What stands in for a machine with systemd: the settings in a file, and the service, restarted when asked."""

    folder: Path
    stops: ExitStack
    variables: dict[str, str] = field(default_factory=dict)
    service: Program | None = None

    def prepare(self) -> None:
        """A database with a role of its own, the file of settings, and the binary in PATH."""
        logs = self.folder / "logs"
        logs.mkdir()
        postgres = Postgres(self.folder / "postgres", logs)
        self.stops.callback(postgres.program.stop)
        postgres.start()
        password = secrets.token_hex(16)
        for statement in (f"CREATE ROLE convoke LOGIN PASSWORD '{password}'", "CREATE DATABASE convoke OWNER convoke"):
            output("psql", postgres.url, "-qAtc", statement)
        # From here on passwords count for everybody but the superuser.
        trusted = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (postgres.folder / "pg_hba.conf").write_text(trusted)
        output("psql", postgres.url, "-qAtc", "SELECT pg_reload_conf()")
        (self.folder / "bin").mkdir()
        (self.folder / "bin/convoke").symlink_to(convoke_binary())
        public, ops = free_port(), free_port()
        settings = {
            "CONVOKE_ENV": "production",
            "CONVOKE_SECRET_KEY": secrets.token_hex(32),
            "CONVOKE_DATABASE_URL": f"postgres://convoke:{password}@127.0.0.1:{postgres.port}/convoke",
            "CONVOKE_DATA_DIR": str(self.folder / "data"),
            "CONVOKE_LISTEN": f"127.0.0.1:{public}",
            "CONVOKE_OPS_LISTEN": f"127.0.0.1:{ops}",
            "CONVOKE_TRUSTED_PROXIES": "127.0.0.1,::1",
            "CONVOKE_HSTS": "true",
            "CONVOKE_BACKUP_EXPECTED_EVERY": "1d",
            "CONVOKE_LOG_FORMAT": "json",
        }
        file = self.folder / "convoke.env"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.variables = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{_PATH}",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "CURL_HOME": str(self.folder),
            "ENV_FILE": str(file),
            "SCRATCH": str(self.folder),
            "HOST": HOST,
            "API": f"http://127.0.0.1:{public}/api/v1",
            "OPS": f"http://127.0.0.1:{ops}",
            "ADMIN_PASSWORD": secrets.token_urlsafe(18),
            "ADMIN_URL": postgres.url,
            "NEW_PASSWORD": secrets.token_hex(24),
        }

    def sh(self, command: str, seconds: float = LIMIT) -> subprocess.CompletedProcess[str]:
        """A command as in the shell of the checklist, which has the service's settings."""
        whole = f'set -euo pipefail; set -a; . "$ENV_FILE"; set +a; {command}'
        words = ("bash", "-c", whole)
        return subprocess.run(
            words, cwd=ROOT, env=self.variables, capture_output=True, text=True, timeout=seconds, check=False
        )

    def start(self) -> str:
        """Starts the service as systemd does: its settings from the file, and done when it says READY=1."""
        place = self.folder / "notify"
        place.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(str(place))
            notified.settimeout(60)
            command = ["bash", "-c", 'set -a; . "$ENV_FILE"; set +a; exec convoke serve']
            environment = {**self.variables, "NOTIFY_SOCKET": str(place)}
            self.service = Program("convoke", command, self.folder / "logs/convoke.log", environment=environment)
            self.stops.callback(self.service.stop)
            self.service.start()
            try:
                while b"READY=1" not in notified.recv(4096).splitlines():
                    pass
            except TimeoutError:
                raise StartError(f"it was not ready within 60 s:\n{self.service.output()}") from None
        return ""

    def restart(self) -> str:
        """Ends it as systemd does, and starts it again."""
        if self.service is None:
            raise StartError("it was never started")
        self.service.signal(signal.SIGTERM)
        if (status := self.service.wait(60)) != 0:
            return f"it ended with {status}"
        return self.start()

    def log(self) -> str:
        """Errors in its log."""
        command = f"""jq -r 'select(.level == "ERROR") | .message' {self.folder}/logs/convoke.log"""
        ended = self.sh(command)
        return ended.stdout + ended.stderr

    def proxy(self) -> str:
        """deploy/nginx.conf on ports of this machine, with a certificate that curl is told to trust."""
        place = self.folder / "nginx"
        place.mkdir()
        make = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout key -out certificate"
        )
        output(*make.split(), "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", cwd=place)
        secure, plain = free_port(), free_port()
        text = (DEPLOY / "nginx.conf").read_text()
        text = re.sub(r"^\s*listen \[::\].*\n", "", text, flags=re.MULTILINE)
        text = text.replace("listen 443", f"listen 127.0.0.1:{secure}").replace(
            "listen 80;", f"listen 127.0.0.1:{plain};"
        )
        text = re.sub(r"(ssl_certificate) \S+;", rf"\1 {place}/certificate;", text)
        text = re.sub(r"(ssl_certificate_key) \S+;", rf"\1 {place}/key;", text)
        text = text.replace("127.0.0.1:8080", self.variables["API"].split("/")[2])
        scratch = "".join(
            f"{kind}_temp_path {place}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (place / "nginx.conf").write_text(
            f"daemon off;\npid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{scratch}{text}\n}}\n"
        )
        words = ["-p", str(place), "-c", str(place / "nginx.conf"), "-e", "stderr"]
        output("nginx", "-t", "-q", *words)
        nginx = Program("nginx", [shutil.which("nginx", path=_PATH) or "nginx", *words], self.folder / "logs/nginx.log")
        nginx.stop_signal = signal.SIGQUIT
        self.stops.callback(nginx.stop)
        nginx.start()
        (self.folder / ".curlrc").write_text(
            f'cacert = "{place}/certificate"\nconnect-to = "{HOST}:443:127.0.0.1:{secure}"\n'
            f'connect-to = "{HOST}:80:127.0.0.1:{plain}"\n'
        )
        nginx.wait_ready(lambda: (place / "pid").exists() and not answers(f"http://127.0.0.1:{secure}/none"), 30)
        return ""


def judge(line: Line, machine: Machine, quick: bool) -> tuple[str, str]:
    """`ok`, `stood in`, `not run` or `FAILED`, and why for the last two."""
    if line.left:
        return "not run", line.left
    if line.slow and quick:
        return "not run", "it takes long, and --quick was asked for"
    if line.needs and (asked := machine.sh(line.needs, 30)).returncode != 0:
        return "not run", f"`{line.needs}` fails here: {(asked.stderr.strip() or 'no reason given').splitlines()[-1]}"
    if line.stand_in:
        act: Callable[[], str] = {
            "start": machine.start,
            "restart": machine.restart,
            "log": machine.log,
            "proxy": machine.proxy,
        }[line.stand_in]
        problem = act()
        return ("FAILED", problem) if problem.strip() else ("stood in", "")
    ended = machine.sh(line.run)
    if ended.returncode == 0 and matches(line.prints, ended.stdout):
        return "ok", ""
    said = (ended.stdout + ended.stderr).strip()
    return "FAILED", f"it ends with {ended.returncode} and prints {said[:2000] or 'nothing'!r}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit checklist", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out what takes long")
    options = parser.parse_args(arguments)
    counted: Counter[str] = Counter()
    began = time.monotonic()
    with scratch_folder() as folder, stopped_at_end() as stops:
        machine = Machine(folder, stops)
        machine.prepare()
        for title, lines in sections(SOURCE.read_text()):
            print(f"\n{title}")
            for line in lines:
                verdict, why = judge(line, machine, options.quick)
                counted[verdict] += 1
                print(f"  {verdict:<8}  {line.what}" + (f"\n            {why}" if why else ""), flush=True)
                if verdict == "FAILED":
                    print(f"            {line.run}\n            must print {line.prints!r}", file=sys.stderr)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counted.items())
    print("\nstood in: the script did it in the place of systemd or nginx, to change nothing on this machine")
    print(f"{sum(counted.values())} lines: {told}, in {time.monotonic() - began:.0f} s")
    return 1 if counted["FAILED"] else 0
