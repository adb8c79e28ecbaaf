"""Programs started for a while: each on loopback, with its log in a scratch folder, and stopped, by pid and in reverse
order, however the run ends."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Self

PR_SET_PDEATHSIG = 1


class StartError(RuntimeError):
    """A program did not start, or not in time."""


def free_port(preferred: int = 0) -> int:
    """The preferred loopback port when nobody has it, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise StartError("no loopback port is free")


def wait_until(what: str, condition: Callable[[], bool], seconds: float, every: float = 0.05) -> None:
    """Polls a condition; raises `TimeoutError` when the limit passes."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= limit:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def http(url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None, timeout: float = 10) -> bytes:
    """The body of an answer; raises `OSError` (of which `HTTPError` is one) on anything but success."""
    if not url.startswith("http://"):
        raise ValueError(f"{url} is no address of this machine's programs")
    request = urllib.request.Request(url, data, dict(headers or {}))  # noqa: S310
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        return answer.read()


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    try:
        http(url, timeout=2)
    except OSError:
        return False
    return True


def _die_with_parent() -> None:
    # When this process is killed outright nothing else is left to stop its children.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """One program in a process group of its own, its output appended to a log.

    Start it from the main thread: on Linux it is killed when the thread that started it ends.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        folder: Path | str = "/",
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.environment = dict(environment) if environment is not None else None
        self.user = user
        self.stop_signal = stop_signal
        self.folder = folder
        self.log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the process that runs, or ran last."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended. A paused program runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What it ended with; negative is a signal."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Starts it; says nothing of when it is ready."""
        if self.running:
            raise RuntimeError(f"{self.name} already runs")
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def output(self) -> str:
        """What it wrote since its last start."""
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def wait_ready(self, condition: Callable[[], bool], seconds: float) -> None:
        """Waits for a condition; raises `StartError` with the end of the log when the program ends or time passes."""
        with contextlib.suppress(TimeoutError):
            wait_until(self.name, lambda: not self.running or condition(), seconds)
        if not self.running or not condition():
            state = "is not ready" if self.running else f"ended with {self.exit_code}"
            raise StartError(f"{self.name} {state}; {self.log} ends with:\n" + self.output()[-2000:])

    def wait(self, seconds: float) -> int:
        """Waits for it to end by itself; raises `TimeoutError`."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self.name} still runs after {seconds:g} s") from error

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program alone."""
        if self.running:
            os.kill(self.pid, number)

    def stop(self, grace: float = 20) -> int | None:
        """Asks it to end, after `grace` seconds kills it and what it started; returns its exit code."""
        if self._process is None:
            return None
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(self.stop_signal)
            with contextlib.suppress(TimeoutError):
                self.wait(grace)
        # The group outlives its leader when a child of it was left behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait(5)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait(5)

    def pause(self) -> None:
        """Stops its clock: connections stay open and nobody answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused program go on."""
        self.signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def stopped_at_end() -> Iterator[contextlib.ExitStack]:
    """A stack of what is to be stopped. SIGTERM and SIGHUP unwind it as Ctrl-C does, and no signal interrupts the
    unwinding: each stop is bounded in time."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    # Set although it is Python's default: a shell starts what runs in its background with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in numbers[1:]:
        signal.signal(number, _terminated)
    try:
        with contextlib.ExitStack() as stack:
            try:
                yield stack
            finally:
                for number in numbers:
                    signal.signal(number, signal.SIG_IGN)
    finally:
        for number in numbers:
            signal.signal(number, before[number])


@contextlib.contextmanager
def scratch_folder(keep: Path | None = None) -> Iterator[Path]:
    """A folder for logs and data: the given one, which is kept, or one that is removed at the end."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="convoke-kit.", ignore_cleanup_errors=True) as folder:
        # PostgreSQL's own user must reach its data below it.
        Path(folder).chmod(0o755)
        yield Path(folder)
