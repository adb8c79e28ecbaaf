"""A real Prometheus beside the service, to compare with."""

import json
import subprocess
import time
import urllib.parse
from pathlib import Path

from .service import fetch

# Seconds from one scrape to the next.
EVERY = 2


class Prometheus:
    """Scrapes the ops listener every two seconds; leaving the `with` block ends it."""

    def __init__(self, folder: Path, port: int, target: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        configuration = {
            "global": {"scrape_interval": f"{EVERY}s", "scrape_timeout": f"{EVERY}s"},
            "scrape_configs": [{"job_name": "convoke", "static_configs": [{"targets": [target]}]}],
        }
        self.file = folder / "prometheus.yaml"
        self.file.write_text(json.dumps(configuration))
        self.data, self.port, self.log = folder / "prometheus", port, folder / "prometheus.log"

    def __enter__(self) -> "Prometheus":
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self.file}",
                    f"--storage.tsdb.path={self.data}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.value("up") == 1:
                    return self
            except (OSError, ValueError):  # not listening yet, or "Service Unavailable"
                pass
            if time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"Prometheus did not scrape:\n{self.log.read_text()}")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def value(self, query: str, at: float | None = None) -> float | None:
        """The one value of a query, now or at a time in seconds since the epoch; none when there is none."""
        parameters = {"query": query} | ({} if at is None else {"time": f"{at:.3f}"})
        _, _, text = fetch(f"{self.url}/api/v1/query?{urllib.parse.urlencode(parameters)}")
        result = json.loads(text)["data"]["result"]
        return float(result[0]["value"][1]) if result else None
