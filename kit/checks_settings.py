"""Gives each environment in `deploy/` to the real binary, which must take it without a fault and without a warning."""

import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from kit.checks_container import stages
from kit.checks_host import directives
from kit.checks_kubernetes import Overlay, built
from kit.paths import DEPLOY
from kit.process import StartError
from kit.stack import convoke_binary
from kit.tools import RefusedError

# What the operator puts in: an example's own value is refused, as it should be.
_SECRETS = {"CONVOKE_SECRET_KEY": secrets.token_hex(32)}
_PLACEHOLDER = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def told(where: str, environment: dict[str, str]) -> Iterator[str]:
    """What `convoke settings --check` has against an environment."""
    with tempfile.TemporaryDirectory() as scratch:
        ended = subprocess.run(
            (convoke_binary(), "settings", "--check"),
            cwd=scratch,
            env=environment | {name: value for name, value in _SECRETS.items() if name in environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if ended.returncode != 0 or ended.stderr:
        yield f"{where}: {(ended.stderr or ended.stdout).strip()}"
    elif "for production" not in ended.stdout:
        yield f"{where}: it is not for production"


def compose(folder: Path) -> dict[str, str]:
    """The environment of Convoke in `compose.yaml`, placeholders filled."""
    document = yaml.safe_load((folder / "compose.yaml").read_text())

    def filled(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: found[3] if found[2] == "-" else "x", text)

    return {name: filled(str(value)) for name, value in document["services"]["convoke"]["environment"].items()}


def unit(folder: Path, optional: bool) -> dict[str, str]:
    """The environment of systemd's unit with the example of its settings; with what is commented out, if `optional`."""
    lines = directives((folder / "systemd/convoke.service").read_text()).get("Environment", [])
    example = (folder / "systemd/convoke.env.example").read_text()
    lines += re.findall(r"^#?(\w+=.+)$" if optional else r"^(\w+=.*)$", example, re.MULTILINE)
    return dict(line.split("=", 1) for line in lines)


def image(folder: Path) -> dict[str, str]:
    """The environment of the image with the one setting that it lacks."""
    final = stages((folder / "Containerfile").read_text())[-1]
    return {**final.pairs("ENV"), "CONVOKE_SECRET_KEY": "x"}


def overlay(path: Path) -> dict[str, str]:
    """The environment of the pods, the Secret's part from its example."""
    example = yaml.safe_load((path.parent / "production/secret.example.yaml").read_text())
    return {**Overlay(path.name, built(path)).settings, **example["stringData"]}


def check(folder: Path = DEPLOY) -> list[str]:
    """Everything that the binary has against the environments in `deploy/`."""
    try:
        convoke_binary()
        environments = {
            "deploy/Containerfile": image(folder),
            "deploy/compose.yaml": compose(folder),
            "deploy/systemd": unit(folder, optional=False),
            "deploy/systemd with all that is commented out": unit(folder, optional=True),
        }
        for path in sorted((folder / "kubernetes").glob("*/kustomization.yaml")):
            if yaml.safe_load(path.read_text())["kind"] != "Component":
                environments[f"deploy/kubernetes/{path.parent.name}"] = overlay(path.parent)
    except (RefusedError, StartError) as refused:
        return [f"deploy: {refused}"]
    return [one for where, given in environments.items() for one in told(where, given)]
