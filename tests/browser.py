"""A real browser for tests: headless Chromium, driven by its own DevTools protocol over one web socket."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
INSTALL = "Chromium is missing, and the web view cannot be tested without: apt-get install -y chromium"
START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 30.0

FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)


class Page:
    """One tab. `complaints` are errors that the browser itself reports: scripts that fail, content that is refused."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session_id: str) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._session_id = session_id
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening = asyncio.create_task(self._listen())

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        number = next(self._numbers)
        awaited = self._answers[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "method": method, "params": parameters, "sessionId": self._session_id}
        await self._socket.send_json(request)
        async with asyncio.timeout(CALL_TIMEOUT_S):
            answer = await awaited
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def text(self, selector: str) -> str:
        """The text that a reader sees of the first element that matches; empty when it is hidden or not there."""
        return str(await self.evaluate(f"document.querySelector({selector!r})?.innerText ?? ''"))

    async def texts(self, selector: str) -> list[str]:
        """The texts of all elements that match."""
        found: list[str] = await self.evaluate(
            f"[...document.querySelectorAll({selector!r})].map((element) => element.innerText.trim())"
        )
        return found

    async def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        found = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    async def close(self) -> None:
        """Stop listening; the tab goes with the browser."""
        self._listening.cancel()

    async def _listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if said.get("sessionId") != self._session_id:
                continue
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(said["params"]["exceptionDetails"]["text"])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])


@asynccontextmanager
async def opened(url: str, *, width: int = 1200, dark: bool = False, scripts: bool = True) -> AsyncIterator[Page]:
    """A browser of its own with one tab on a URL, loaded."""
    with tempfile.TemporaryDirectory(prefix="norn-browser-", ignore_cleanup_errors=True) as folder:
        async with _started(Path(folder)) as devtools, aiohttp.ClientSession() as session:
            async with session.ws_connect(devtools, max_msg_size=0) as socket:
                page = Page(socket, await _attach(socket))
                try:
                    await _prepare(page, width, dark, scripts)
                    await page.call("Page.navigate", url=url)
                    yield page
                finally:
                    await page.close()


async def _prepare(page: Page, width: int, dark: bool, scripts: bool) -> None:
    for domain in ("Page", "Runtime", "Log"):
        await page.call(f"{domain}.enable")
    await page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
    await page.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    await page.call("Emulation.setEmulatedMedia", features=[scheme])


async def _attach(socket: aiohttp.ClientWebSocketResponse) -> str:
    """A tab's session; the browser has told of nothing else before it answers."""
    await socket.send_json({"id": 0, "method": "Target.createTarget", "params": {"url": "about:blank"}})
    target = (await _answer(socket))["targetId"]
    attach = {"targetId": target, "flatten": True}
    await socket.send_json({"id": 0, "method": "Target.attachToTarget", "params": attach})
    return str((await _answer(socket))["sessionId"])


async def _answer(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    while True:
        said = await socket.receive_json(timeout=CALL_TIMEOUT_S)
        if "id" in said:
            result: dict[str, Any] = said["result"]
            return result


@asynccontextmanager
async def _started(folder: Path) -> AsyncIterator[str]:
    """A running browser; gives the address of its DevTools."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.fail(INSTALL)
    # Chromium refuses its sandbox to root, as which containers run.
    flags = [*FLAGS, f"--user-data-dir={folder}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program, *flags, "about:blank", stdout=log, stderr=log)
    try:
        yield await _address(folder, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(folder: Path, process: asyncio.subprocess.Process) -> str:
    written = folder / "DevToolsActivePort"
    async with asyncio.timeout(START_TIMEOUT_S):
        while not (written.exists() and len(lines := written.read_text().splitlines()) == 2):
            assert process.returncode is None, (folder / "log").read_text(errors="replace")
            await asyncio.sleep(0.02)
    port, path = lines
    return f"ws://127.0.0.1:{port}{path}"
