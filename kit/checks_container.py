"""Checks `deploy/Containerfile` and `.dockerignore` by reading them: no container engine is asked."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kit import settings
from kit.durations import milliseconds
from kit.paths import DEPLOY, ROOT

Instruction = tuple[str, str]
LABELS = {"title", "description", "source", "licenses", "version", "revision"}
_KNOWN = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN"} | {
    "USER",
    "VOLUME",
    "WORKDIR",
}


@dataclass
class Stage:
    """What stands between two FROMs; of the first, before the first FROM."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What follows each such instruction."""
        return [rest for one, rest in self.instructions if one == word]

    def last(self, word: str) -> str:
        """What follows the last such instruction, the one that counts."""
        return (self.all(word) or [""])[-1]

    def pairs(self, word: str) -> dict[str, str]:
        """`name=value` of ENV, LABEL or ARG."""
        found = re.findall(r'([\w.]+)(?:=("[^"]*"|\S*))?', " ".join(self.all(word)))
        return {name: value.strip('"') for name, value in found}


def instructions(text: str) -> list[Instruction]:
    """Every instruction on one line, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    whole = re.sub(r"\\\n\s*", " ", lines)
    parts = (line.split(None, 1) for line in whole.splitlines() if line.strip())
    return [(part[0], part[1].strip() if len(part) > 1 else "") for part in parts]


def stages(text: str) -> list[Stage]:
    """The head of the file, and its stages."""
    found = [Stage("", "")]
    for word, rest in instructions(text):
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            found.append(Stage(image, name))
        else:
            found[-1].instructions.append((word, rest))
    return found


def _copies(stage: Stage) -> Iterator[tuple[str, list[str]]]:
    """The stage that each COPY takes from (none for the context), and its sources."""
    for rest in stage.all("COPY"):
        words = rest.split()
        origin = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), "")
        yield origin, [word for word in words[:-1] if not word.startswith("--")]


def containerfile(text: str, ignored: str, root: Path = ROOT) -> Iterator[str]:
    """What is wrong in the Containerfile, and in what is sent to the builder."""
    where = "deploy/Containerfile"
    package = tomllib.loads((root / "Cargo.toml").read_text())["package"]
    head, *rest = stages(text)
    if len(rest) < 2:
        yield f"{where}: one stage would ship the compiler"
        return
    build, final = rest[0], rest[-1]
    for word, _ in instructions(text):
        if word not in _KNOWN:
            yield f"{where}: {word} is no instruction that is expected here"
    yield from _images(where, head, rest)
    if not re.search(rf"(^|/)rust:{re.escape(package['rust-version'])}(\.\d+)?-", build.image):
        yield f"{where}: {build.image} is not the Rust {package['rust-version']} of Cargo.toml"
    compiled = [rest for rest in build.all("RUN") if "cargo build" in rest]
    if not any("--locked" in one and "--release" in one for one in compiled):
        yield f"{where}: cargo build is not --locked and --release"
    if "CONVOKE_REVISION" not in build.pairs("ARG") or not any("CONVOKE_REVISION=" in one for one in compiled):
        yield f"{where}: the build is not told CONVOKE_REVISION"

    allowed = [line for line in ignored.splitlines() if line and not line.startswith("#")]
    if allowed[:1] != ["*"] or any(not line.startswith("!") for line in allowed[1:]):
        yield ".dockerignore: must refuse everything first, and then only allow"
    sent = {line.removeprefix("!") for line in allowed[1:]}
    known = {stage.name for stage in rest[:-1]}
    copied = set()
    for origin, sources in (one for stage in rest for one in _copies(stage)):
        if origin and origin not in known:
            yield f"{where}: there is no stage {origin}"
        copied |= set() if origin else set(sources)
    for name in sorted(copied ^ sent):
        yield f".dockerignore: {name} is {'copied and not sent' if name in copied else 'sent and not copied'}"
    for name in sorted(sent):
        if not (root / name).exists():
            yield f".dockerignore: {name} does not exist"
    yield from _runtime(where, final, package["version"])


def _images(where: str, head: Stage, rest: list[Stage]) -> Iterator[str]:
    """Images without a version; distroless has none to give, and says its Debian and its user instead."""
    arguments = head.pairs("ARG")
    for stage in rest:
        image = stage.image
        if variable := re.fullmatch(r"\$\{(\w+)\}", image):
            if variable[1] not in arguments:
                yield f"{where}: {image} is not declared before the first FROM"
                continue
            image = arguments[variable[1]]
        tag = image.rpartition("/")[2].partition(":")[2]
        distroless = re.search(r"gcr\.io/distroless/\w+-debian\d+:nonroot$", image)
        if not re.search(r"\d+\.\d+", tag) and "@sha256:" not in image and not distroless:
            yield f"{where}: {image} is not pinned"


def _runtime(where: str, final: Stage, version: str) -> Iterator[str]:
    """What is wrong in the stage that is shipped."""
    user = final.last("USER")
    if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", user):
        yield f"{where}: the user {user!r} is no number other than root's"
    given = final.pairs("ENV")
    data = given.get("CONVOKE_DATA_DIR", "")
    if final.last("VOLUME") != data:
        yield f"{where}: the volume is not CONVOKE_DATA_DIR"
    if not any(f"--chown={user} " in rest and rest.endswith(f" {data}") for rest in final.all("COPY")):
        yield f"{where}: {data} does not belong to {user}"
    ports = {settings.port("CONVOKE_LISTEN", given), settings.port("CONVOKE_OPS_LISTEN", given)}
    if {int(port) for port in final.last("EXPOSE").split()} != ports:
        yield f"{where}: it exposes {final.last('EXPOSE')} and listens on {sorted(ports)}"
    for name in ("CONVOKE_LISTEN", "CONVOKE_OPS_LISTEN"):
        if not given.get(name, "").startswith("0.0.0.0:"):
            yield f"{where}: {name} is the container's own loopback"
    labels = final.pairs("LABEL")
    for name in sorted(LABELS - {one.removeprefix("org.opencontainers.image.") for one in labels}):
        yield f"{where}: the label org.opencontainers.image.{name} is missing"
    if labels.get("org.opencontainers.image.version") != version:
        yield f"{where}: its version is not Cargo.toml's {version}"
    if "CONVOKE_REVISION" not in final.pairs("ARG"):
        yield f"{where}: CONVOKE_REVISION is not declared for the label"
    yield from _health(where, final)
    for word in ("ENTRYPOINT", "CMD"):
        try:
            json.loads(final.last(word))
        except ValueError:
            yield f"{where}: {word} would need a shell"


def patience() -> float:
    """The longest that `convoke health` waits, in seconds."""
    found = re.search(r"LIMIT: Duration = Duration::from_secs\((\d+)\)", (ROOT / "src/cli/health.rs").read_text())
    if found is None:
        raise ValueError("src/cli/health.rs names no LIMIT")
    return float(found[1])


def _health(where: str, final: Stage) -> Iterator[str]:
    """The health check of the image: the binary itself, without a shell, given longer than it waits."""
    found = re.fullmatch(r"(.*?)\s*CMD (\[.*\])", final.last("HEALTHCHECK"))
    if found is None:
        yield f"{where}: it has no HEALTHCHECK without a shell"
        return
    options = dict(re.findall(r"--([\w-]+)=(\S+)", found[1]))
    if json.loads(found[2])[:2] != [*json.loads(final.last("ENTRYPOINT") or "[]"), "health"]:
        yield f"{where}: the HEALTHCHECK is not `convoke health`"
    if milliseconds(options.get("timeout", "30s")) / 1000 <= patience():
        yield f"{where}: the HEALTHCHECK is given up before `convoke health` does"


def check(folder: Path = DEPLOY) -> list[str]:
    """Everything that is wrong with the image."""
    ignored = (folder.parent / ".dockerignore").read_text()
    return list(containerfile((folder / "Containerfile").read_text(), ignored, folder.parent))
