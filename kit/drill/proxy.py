"""A TCP proxy on loopback that can be slow, deaf, or not there at all: how a dependency is cut off from outside."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

PART = 65_536


class Proxy:
    """Stands before a port of this machine. What is changed holds for connections that are open, too."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._passes.set()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.port = 0
        self._do(self._listen())

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def delay(self, seconds: float) -> None:
        """Every part that a client sends waits so long before it goes on."""
        self._delay = seconds

    def black_hole(self) -> None:
        """Connections are taken, and nothing passes either way."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def refuse(self) -> None:
        """Open connections are cut, new ones refused."""
        self._do(self._close())

    def heal(self) -> None:
        """Passes everything on at once again."""
        self._delay = 0.0
        self._loop.call_soon_threadsafe(self._passes.set)
        if self._server is None:
            self._do(self._listen())

    def stop(self) -> None:
        """Ends it."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in self._links:
            link.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        try:
            await self._passes.wait()
            onward = await asyncio.open_connection("127.0.0.1", self._target)
            self._links.add(onward[1])
            ways = [self._pump(reader, onward[1], slow=True), self._pump(onward[0], writer, slow=False)]
            pumps = [asyncio.create_task(way) for way in ways]
            # When one side is done, so is the connection: nobody here closes one way only.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            self._links.discard(onward[1])
            onward[1].close()
        except OSError:
            pass
        finally:
            self._links.discard(writer)
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(PART):
                if slow and self._delay:
                    await asyncio.sleep(self._delay)
                await self._passes.wait()
                writer.write(part)
                await writer.drain()
