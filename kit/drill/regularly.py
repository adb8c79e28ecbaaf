"""A thread that does something again and again."""

import threading
import time
from collections.abc import Callable


class Regularly:
    """A thread that does something again and again until it is stopped."""

    def __init__(self, what: Callable[[], None], every: float) -> None:
        self._stop = threading.Event()

        def run() -> None:
            while not self._stop.is_set():
                began = time.monotonic()
                what()
                self._stop.wait(max(0.0, every - (time.monotonic() - began)))

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    @staticmethod
    def stop(those: list["Regularly"], seconds: float = 30) -> None:
        """Lets all of them finish what they do."""
        for one in those:
            one._stop.set()
        for one in those:
            one._thread.join(seconds)
