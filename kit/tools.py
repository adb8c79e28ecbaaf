"""The programs that read deployment files, asked what they think of them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

# Debian's packages.
PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "caddy": "caddy",
    "kubectl": "kubernetes-client",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}
# Debian keeps nginx where only root's PATH looks.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class RefusedError(Exception):
    """A program is missing or refuses what it was given, in its own words."""


def output(*command: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """What a program prints, warnings on stderr left out."""
    ended = _ended(command, cwd, environment)
    if ended.returncode != 0:
        raise RefusedError((ended.stdout + ended.stderr).strip() or f"{command[0]} ends with {ended.returncode}")
    return ended.stdout


def said(*command: str) -> str:
    """Everything that a program says, for one that finds faults and ends well all the same."""
    ended = _ended(command, None, None)
    return (ended.stdout + ended.stderr).strip() or ("" if ended.returncode == 0 else f"ends with {ended.returncode}")


def refusal(*command: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str | None:
    """What a program says when it refuses or is missing; nothing when it agrees."""
    try:
        output(*command, cwd=cwd, environment=environment)
    except RefusedError as refused:
        return str(refused)
    return None


def _ended(
    command: tuple[str, ...], cwd: Path | None, environment: Mapping[str, str] | None
) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0], path=_PATH)
    if program is None:
        package = PACKAGES.get(command[0])
        raise RefusedError(f"{command[0]} is missing" + (f"; on Debian: apt-get install {package}" if package else ""))
    given = {**os.environ, **(environment or {})}
    return subprocess.run(
        (program, *command[1:]), cwd=cwd, env=given, capture_output=True, text=True, timeout=60, check=False
    )
