"""Moves files from a folder to a real S3 server (moto's) while they are read through the API.

Uploads many small files, lets the service write to the bucket and read from both, moves them with `convoke files
migrate --delete-source`, kills that half-way and runs it again. No read may fail or differ, and at the end, without the
folder, every file's SHA-256 must be that of its upload.
"""

import argparse
import hashlib
import http.client
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kit.client import Caller, event
from kit.paths import ROOT
from kit.process import Program, StartError, answers, free_port, scratch_folder, stopped_at_end, wait_until
from kit.stack import RAISED_LIMITS, Service, convoke_binary

AT_ONCE = 8
READERS = 3
LONGEST = 7200
LIMITS = {"CONVOKE_ATTACHMENTS_MAX_PER_EVENT": "10000", "CONVOKE_RATE_LIMIT_ENABLED": "false"}


def upload(caller: Caller, event: str, n: int) -> tuple[str, str]:
    """Uploads a small file; returns its path and SHA-256."""
    content = (f"file {n}\n" * (1 + n % 300)).encode()
    status, text = caller.ask(
        "POST",
        f"/events/{event}/attachments/",
        content,
        content_type="text/plain",
        content_disposition=f'attachment; filename="{n}.txt"',
    )
    if status != 201:
        raise StartError(f"upload {n}: {status} {text.decode()}")
    return f"/events/{event}/attachments/{json.loads(text)['id']}/content", hashlib.sha256(content).hexdigest()


class Readers:
    """Threads that read files at random and remember each answer that is not what it should be."""

    def __init__(self, caller: Caller, files: list[tuple[str, str]]) -> None:
        self.caller, self.files = caller, files
        self.reads = 0
        self.findings: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in range(READERS)]

    def _read(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        while not self._stop.is_set():
            path, wanted = chance.choice(self.files)
            self.findings += check(self.caller, path, wanted)
            self.reads += 1

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)


def check(caller: Caller, path: str, wanted: str) -> list[str]:
    """What is wrong with one file, if anything."""
    try:
        status, content = caller.ask("GET", path)
    except (OSError, http.client.HTTPException) as error:
        return [f"{path}: {error!r}"]
    if status != 200:
        return [f"{path}: {status} {content[:200]!r}"]
    return [] if hashlib.sha256(content).hexdigest() == wanted else [f"{path}: another content"]


def count(folder: Path) -> int:
    """Files below a folder."""
    return sum(1 for path in folder.rglob("*") if path.is_file())


def bench(number: int, folder: Path) -> list[str]:
    """Does all of it; prints what was seen and returns what is wrong."""
    moto = ROOT / ".venv" / "bin" / "moto_server"
    if not moto.exists():
        raise StartError(f"{moto} is missing: run tests/install.sh")
    with stopped_at_end() as stops:
        port = free_port()
        server = Program("moto", [str(moto), "-H", "127.0.0.1", "-p", str(port)], folder / "moto.log")
        stops.callback(server.stop)
        server.start()
        endpoint = f"http://127.0.0.1:{port}"
        server.wait_ready(lambda: answers(f"{endpoint}/moto-api/"), 60)
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/files", method="PUT"), timeout=60).close()  # noqa: S310

        service = Service(folder / "data", folder, None, RAISED_LIMITS | LIMITS, (0, 0))
        stops.callback(service.program.stop)
        service.start()
        caller = Caller(service)
        caller.log_in()
        events = [caller.must("POST", "/events/", event("Files"))["id"] for _ in range(1 + number // 5000)]
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            files = list(pool.map(lambda n: upload(caller, events[n % len(events)], n), range(number)))
        print(f"{number} files uploaded in {time.monotonic() - began:.0f} s", flush=True)

        service.restart(
            CONVOKE_STORAGE_URL="s3://files/convoke",
            CONVOKE_STORAGE_FALLBACK_URL="file:files",
            CONVOKE_STORAGE_S3_ENDPOINT=endpoint,
            CONVOKE_STORAGE_S3_ACCESS_KEY_ID="test",
            CONVOKE_STORAGE_S3_SECRET_ACCESS_KEY="secret-of-the-test",  # noqa: S106
        )
        command = [str(convoke_binary()), "files", "migrate", "--delete-source"]
        source = service.folder / "files"
        with Readers(caller, files) as readers:
            first = Program("migrate", command, folder / "migrate.log", environment=service.settings)
            with first:
                wait_until("half of the files are moved", lambda: count(source) <= number // 2, LONGEST, every=0.2)
                first.kill()
            print(f"killed with {count(source)} files left in the folder", flush=True)
            again = subprocess.run(
                command, env=service.settings, capture_output=True, text=True, timeout=LONGEST, check=False
            )
            print(again.stdout, flush=True)
        findings = list(readers.findings)
        if again.returncode != 0:
            findings.append(f"the second run ended with {again.returncode}: {again.stderr}")
        if left := count(source):
            findings.append(f"{left} files are left in the folder")
        print(f"{readers.reads} reads meanwhile, {len(readers.findings)} of them failed", flush=True)
        del service.settings["CONVOKE_STORAGE_FALLBACK_URL"]
        service.restart()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for found in pool.map(lambda file: check(caller, *file), files):
                findings += found
        print(f"{len(files)} files read from the bucket alone and compared")
    return findings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit files_bench", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    options = parser.parse_args(arguments)
    try:
        with scratch_folder() as folder:
            findings = bench(options.files, folder)
    except (StartError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(findings[:50]) or "every file is moved; no read failed and all checksums are equal")
    return 1 if findings else 0
