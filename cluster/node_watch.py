"""A process whose embedded Ray has lost its node ends, instead of waiting for it for ever.

The raylet ends when it is killed for memory, and when its agent is. Ray then waits: Tune asks for resources again and again and
nothing ever runs. Everything that was finished is on storage, so the remedy is the same command once more.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

GRACE_S = 20.0
"""For tidying up before the process is ended on the spot."""
EXIT_CODE = 128 + signal.SIGTERM


@contextlib.contextmanager
def ending_with(node: "subprocess.Popen[bytes] | None") -> Iterator[threading.Event]:
    """Within the block this process gets SIGTERM when the process `node` ends, and one line on standard error says why. Yields
    an event to set before `node` is stopped on purpose."""
    on_purpose, left = threading.Event(), threading.Event()

    def watch() -> None:
        with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
            os.waitid(os.P_PID, node.pid, os.WEXITED | os.WNOWAIT)  # at once: Ray's core may end this process soon after
        if on_purpose.is_set():
            return
        print(
            "Ray's node process has ended, for want of memory perhaps; give the same command again: it goes on where it was",
            file=sys.stderr,
            flush=True,
        )
        os.kill(os.getpid(), signal.SIGTERM)
        if not left.wait(GRACE_S):
            os._exit(EXIT_CODE)

    if node is not None:
        threading.Thread(target=watch, name="node watch", daemon=True).start()
    try:
        yield on_purpose
    finally:
        on_purpose.set()
        left.set()
