"""Headless Chromium, spoken to through a pipe by its own protocol."""

import json
import os
import shutil
import subprocess
from base64 import b64decode

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_MS, LOOK_MS = 30_000, 50


class Browser:
    """A browser with one page.

    Args:
        folder: For its profile.
    """

    def __init__(self, folder):
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        words = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={folder}",
            "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *words]
        self.process = subprocess.Popen(
            shell, pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self._number, self._session, self.said = 0, None, []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Accessibility", "Network"):
            self._ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()

    def open(self, url, width, *, dark=False):
        """Go to a page, at a width of the screen."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[feature])
        self._ask("Page.navigate", url=url)

    def run(self, script):
        """The value of a script; promises are waited for."""
        found = self._ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition):
        """Wait in the page until a condition holds, for half a minute at most."""
        look = (
            f"const look = () => ({condition}) ? done(true) : "
            f"Date.now() > end ? done(false) : setTimeout(look, {LOOK_MS});"
        )
        held = self.run(
            f"new Promise(done => {{ const end = Date.now() + {PATIENCE_MS}; {look} look(); }})"
        )
        assert held, f"in {PATIENCE_MS} ms it never was so: {condition}"

    def press(self, key, code):
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def roles(self):
        """The accessibility tree as (role, name)."""
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        named = [n for n in nodes if not n.get("ignored")]
        return [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in named]

    def picture(self):
        """The whole page as PNG."""
        shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        return b64decode(shot["data"])

    def _ask(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.said.append(answer)

    def _read(self):
        piece = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "the browser has ended"
            piece += byte
        return json.loads(piece)
