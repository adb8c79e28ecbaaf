"""Checks the files for a machine without containers: the unit of systemd, and the proxies' configuration."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit import settings
from kit.durations import milliseconds
from kit.paths import DEPLOY, ROOT
from kit.tools import RefusedError, output, refusal, said

# Of systemd-analyze security, from 0 to 10.
EXPOSURE = 2.0
_SIZES = {"": 1, "k": 1024, "m": 1024**2}
_LISTEN = re.compile(r"listen (?:\[::\]:)?\d+")


def directives(unit: str) -> dict[str, list[str]]:
    """The lines of a unit by name."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def unit(text: str, folder: Path) -> Iterator[str]:
    """The unit against the service's settings."""
    where, found = "deploy/systemd/convoke.service", directives(text)
    given = dict(line.split("=", 1) for line in found.get("Environment", []))

    def one(name: str) -> str:
        return (found.get(name) or [""])[-1]

    if milliseconds(one("TimeoutStopSec") or "0s") / 1000 < settings.shutdown(given):
        yield f"{where}: TimeoutStopSec is shorter than the end may take ({settings.shutdown(given)} s)"
    if given.get("CONVOKE_DATA_DIR") != f"/var/lib/{one('StateDirectory')}":
        yield f"{where}: CONVOKE_DATA_DIR is not the StateDirectory"
    connections = int(given.get("CONVOKE_MAX_CONNECTIONS", settings.defaults()["CONVOKE_MAX_CONNECTIONS"]))
    if int(one("LimitNOFILE") or 0) < connections + 1000:
        yield f"{where}: LimitNOFILE has no room for {connections} connections"
    if given.get("CONVOKE_ENV") != "production":
        yield f"{where}: it does not run in production"
    if one("Type") != "notify" or one("NotifyAccess") == "none":
        yield f"{where}: systemd is not told when it is ready"
    elif not one("WatchdogSec"):
        yield f"{where}: nobody notices when it hangs"
    if not (folder / f"{Path(one('EnvironmentFile')).name}.example").is_file():
        yield f"{where}: the EnvironmentFile has no example"


def systemd(text: str, name: str = "convoke.service") -> Iterator[str]:
    """What systemd thinks of a unit, with a program that exists."""
    where = f"deploy/systemd/{name}"
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / name
        copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
        try:
            # It names an unknown directive and agrees all the same.
            if words := said("systemd-analyze", "verify", str(copy)):
                yield f"{where}: {words}"
            judged = output("systemd-analyze", "security", "--offline=true", "--no-pager", str(copy))
        except RefusedError as refused:
            yield f"{where}: {refused}"
            return
    exposure = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", judged)
    if exposure is None or float(exposure[1]) >= EXPOSURE:
        yield f"{where}: its exposure is {exposure[1] if exposure else 'unknown'}, not below {EXPOSURE}"


def backup(folder: Path) -> Iterator[str]:
    """The unit of backups: the service's user and data, and no less confined; and its timer."""
    where, name = "deploy/systemd/convoke-backup.service", "convoke-backup.service"
    text = (folder / name).read_text()
    found, service = directives(text), directives((folder / "convoke.service").read_text())
    given = dict(line.split("=", 1) for line in found.get("Environment", []))
    if found.get("User") != ["convoke"] or found.get("EnvironmentFile") != service.get("EnvironmentFile"):
        yield f"{where}: it is not the service's user, or has other settings"
    folders = {f"/var/lib/{one}" for one in (found.get("StateDirectory") or [""])[0].split()}
    to = given.get("CONVOKE_BACKUP_TO", "").removeprefix("file://")
    if not {given.get("CONVOKE_DATA_DIR", ""), to} <= folders or to == given.get("CONVOKE_DATA_DIR"):
        yield f"{where}: CONVOKE_DATA_DIR and CONVOKE_BACKUP_TO are not two StateDirectories"
    yield from systemd(text, name)
    with tempfile.TemporaryDirectory() as scratch:
        for one in ("convoke-backup.timer", name):
            unit_ = (folder / one).read_text()
            unit_ = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit_, flags=re.MULTILINE)
            (Path(scratch) / one).write_text(unit_)
        if refused := refusal("systemd-analyze", "verify", str(Path(scratch) / "convoke-backup.timer")):
            yield f"deploy/systemd/convoke-backup.timer: {refused}"


def nginx(text: str) -> Iterator[str]:
    """The directives of nginx against the service's settings."""
    where = "deploy/nginx.conf"
    bare = re.sub(r"#.*", "", text)
    upstream, _, servers = bare.partition("server {\n    listen")
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^\s*([a-z_]+) ([^;{]+);", servers, re.MULTILINE):
        found.setdefault(name, []).append(value)
    addresses = re.findall(r"server ([\d.]+:\d+)[^;]*;", upstream)
    if addresses != [settings.defaults()["CONVOKE_LISTEN"]]:
        yield f"{where}: {addresses} is not CONVOKE_LISTEN"
    kept = re.search(r"keepalive_timeout (\w+);", upstream)
    if not kept or milliseconds(kept[1]) / 1000 >= settings.seconds("CONVOKE_SHUTDOWN_GRACE", {}):
        yield f"{where}: it keeps idle connections longer than Convoke's grace period"
    if "max_fails=0" not in upstream:
        yield f"{where}: it sets a replica aside that only restarts"
    number, unit_ = re.fullmatch(r"(\d+)([km]?)", found.get("client_max_body_size", ["1m"])[0]).groups()  # type: ignore[union-attr]
    if int(number) * _SIZES[unit_] != settings.body_limit():
        yield f"{where}: the largest body is not CONVOKE_BODY_LIMIT"
    files = re.search(r"location ~ \S*/attachments/\S* \{(.*?)\n    \}", servers, re.DOTALL)
    needed = ("client_max_body_size 0;", "proxy_request_buffering off;", "proxy_buffering off;")
    if files is None or not all(one in files[1] for one in needed):
        yield f"{where}: attachments do not pass through as they come"
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        if milliseconds(found.get(name, ["0s"])[-1]) / 1000 <= settings.seconds("CONVOKE_REQUEST_TIMEOUT", {}):
            yield f"{where}: {name} ends before CONVOKE_REQUEST_TIMEOUT"
    headers = set(found.get("proxy_set_header", []))
    for header in ('Forwarded ""', "X-Forwarded-For $remote_addr", "X-Forwarded-Proto $scheme"):
        if header not in headers:
            yield f"{where}: what clients claim in {header.split()[0]} goes through"
    if 'Connection ""' not in headers or found.get("proxy_http_version") != ["1.1"]:
        yield f"{where}: no connection to Convoke is kept"
    yield from _problem(where, bare)
    yield from _no_ops(where, bare)


def nginx_itself(text: str) -> Iterator[str]:
    """What nginx thinks of it, with a throwaway certificate and sockets of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        made = refusal(
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ),
            *("-subj", "/CN=convoke.example.org", "-keyout", "key", "-out", "certificate"),
            cwd=place,
        )
        if made:
            yield f"deploy/nginx.conf: {made}"
            return
        text = re.sub(r"(ssl_certificate) \S+;", rf"\1 {place}/certificate;", text)
        text = re.sub(r"(ssl_certificate_key) \S+;", rf"\1 {place}/key;", text)
        sockets = iter(range(100))
        text = _LISTEN.sub(lambda _: f"listen unix:{place}/{next(sockets)}", text)
        (place / "convoke.conf").write_text(text)
        whole = f"pid {place}/pid;\nevents {{}}\nhttp {{\naccess_log off;\ninclude {place}/convoke.conf;\n}}\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            whole = whole.replace("access_log", f"{kind}_temp_path {place}/{kind};\naccess_log", 1)
        (place / "nginx.conf").write_text(whole)
        if said := refusal("nginx", "-t", "-q", "-e", "stderr", "-p", scratch, "-c", str(place / "nginx.conf")):
            yield f"deploy/nginx.conf: {said}"


def adapted(path: Path) -> dict[str, Any]:
    """Caddy's own reading of a Caddyfile, once it finds no fault in it."""
    with tempfile.TemporaryDirectory() as scratch:
        home = {"HOME": scratch, "XDG_CONFIG_HOME": scratch, "XDG_DATA_HOME": scratch}
        given = ("--config", str(path), "--adapter", "caddyfile")
        output("caddy", "validate", *given, environment=home)
        return json.loads(output("caddy", "adapt", *given, environment=home))


def _handlers(value: Any) -> Iterator[dict[str, Any]]:
    """Every part of a Caddy configuration that handles requests."""
    if isinstance(value, dict):
        if "handler" in value:
            yield value
        for part in value.values():
            yield from _handlers(part)
    elif isinstance(value, list):
        for part in value:
            yield from _handlers(part)


def caddy(configuration: dict[str, Any]) -> Iterator[str]:
    """What Caddy reads against the service's settings."""
    where = "deploy/Caddyfile"
    found = {one["handler"]: one for one in _handlers(configuration)}
    proxy, body = found.get("reverse_proxy", {}), found.get("request_body", {})
    addresses = [one["dial"] for one in proxy.get("upstreams", [])]
    if addresses != [settings.defaults()["CONVOKE_LISTEN"]]:
        yield f"{where}: {addresses} is not CONVOKE_LISTEN"
    if "Forwarded" not in proxy.get("headers", {}).get("request", {}).get("delete", []):
        yield f"{where}: what clients claim in Forwarded goes through"
    whole, limit = json.dumps(configuration), settings.body_limit()
    if whole.count("/attachments/") != 2:
        yield f"{where}: attachments do not pass through as they come"
    if body.get("max_size") != limit or f"> {limit}" not in whole:
        yield f"{where}: the largest body is not CONVOKE_BODY_LIMIT"
    # Caddy writes durations in nanoseconds.
    transport = proxy.get("transport", {})
    if transport.get("response_header_timeout", 0) / 1e9 <= settings.seconds("CONVOKE_REQUEST_TIMEOUT", {}):
        yield f"{where}: response_header_timeout ends before CONVOKE_REQUEST_TIMEOUT"
    kept = transport.get("keep_alive", {}).get("idle_timeout", 120e9) / 1e9
    if kept >= settings.seconds("CONVOKE_SHUTDOWN_GRACE", {}):
        yield f"{where}: it keeps idle connections longer than Convoke's grace period"
    for server in configuration["apps"]["http"]["servers"].values():
        if not {"read_timeout", "read_header_timeout", "idle_timeout"} <= server.keys():
            yield f"{where}: a slow client is not given up"
    yield from _problem(where, whole.replace('\\"', '"'))
    yield from _no_ops(where, whole)


def _problem(where: str, text: str) -> Iterator[str]:
    """The proxy's 413 as Convoke would say it."""
    told = re.search(r'BODY_TOO_LARGE = "(\w+)" (413): "([^"]+)"', (ROOT / "src/api/problem_types.rs").read_text())
    if told is None:
        yield "src/api/problem_types.rs: there is no BODY_TOO_LARGE"
        return
    code, status, title = told.groups()
    wanted = {"type": f"/docs/problems/{code}", "title": title, "status": int(status), "code": code}
    if json.dumps(wanted, separators=(",", ":")) not in text or "application/problem+json" not in text:
        yield f"{where}: a body that is too large is not answered as Convoke does"


def _no_ops(where: str, text: str) -> Iterator[str]:
    port = settings.port("CONVOKE_OPS_LISTEN", {})
    if re.search(rf":{port}\b", text):
        yield f"{where}: it leads to the ops listener"


def check(folder: Path = DEPLOY) -> list[str]:
    """Everything that is wrong with the files for a machine."""
    service, proxy = (folder / "systemd/convoke.service").read_text(), (folder / "nginx.conf").read_text()
    found = [*unit(service, folder / "systemd"), *systemd(service), *backup(folder / "systemd")]
    found += [*nginx(proxy), *nginx_itself(proxy)]
    try:
        found += caddy(adapted(folder / "Caddyfile"))
    except RefusedError as refused:
        found.append(f"deploy/Caddyfile: {refused}")
    return found
