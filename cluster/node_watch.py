"""A process whose embedded Ray has lost its node ends, instead of waiting for it for ever.

A raylet ends when it is killed for memory, and when one of its agents is. Ray then waits: Tune asks
for resources again and again and nothing ever runs. Everything that was finished is on storage, so
the remedy is the same command once more.
"""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

GRACE_S = 20.0
"""For tidying up before the process is ended on the spot."""
EXIT_CODE = 128 + signal.SIGTERM


@contextlib.contextmanager
def ending_with(pids: Sequence[int]) -> Iterator[threading.Event]:
    """Within the block this process gets SIGTERM when one of the processes `pids` ends (the first
    is its own child; the others are watched where the system can, on Linux), and one line on
    standard error says why. Yields an event to set before they are stopped on purpose."""
    on_purpose, left = threading.Event(), threading.Event()

    def watch() -> None:
        _wait_for_any(
            pids
        )  # at once: Ray's core may end this process, without a word, soon after its raylet
        if on_purpose.is_set():
            return
        print(
            "Ray's node process has ended, for want of memory perhaps; give the same command again:"
            " it goes on where it was",
            file=sys.stderr,
            flush=True,
        )
        os.kill(os.getpid(), signal.SIGTERM)
        if not left.wait(GRACE_S):
            os._exit(EXIT_CODE)

    if pids:
        threading.Thread(target=watch, name="node watch", daemon=True).start()
    try:
        yield on_purpose
    finally:
        on_purpose.set()
        left.set()


def _wait_for_any(pids: Sequence[int]) -> None:
    """Until one of them has ended."""
    if not hasattr(os, "pidfd_open"):
        with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
            os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
        return
    with (
        contextlib.ExitStack() as stack,
        contextlib.suppress(ProcessLookupError),
    ):  # one that is gone already
        poll = select.poll()
        for pid in pids:
            descriptor = os.pidfd_open(pid)
            stack.callback(os.close, descriptor)
            poll.register(descriptor, select.POLLIN)
        poll.poll()
