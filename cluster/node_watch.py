"""A process whose embedded Ray has lost its node ends, instead of waiting for ever.

A raylet ends when it is killed for want of memory, and when one of its agents is. Ray then waits:
Tune asks for resources again and again, and nothing ever runs. Everything that was finished is on
storage, so the remedy is to give the same command again.
"""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

GRACE_S = 20.0
"""Seconds for tidying up, before the process is ended on the spot."""
EXIT_CODE = 128 + signal.SIGTERM


@contextlib.contextmanager
def terminate_when_any_ends(pids: Sequence[int]) -> Iterator[threading.Event]:
    """Within the block this process gets SIGTERM when one of the processes `pids` ends. One line on
    standard error says why. The first of `pids` is a child of this process. The others are watched
    where the system can do that, on Linux. Yields an event: set it before the processes are stopped
    on purpose."""
    on_purpose, left = threading.Event(), threading.Event()

    def watch() -> None:
        _wait_for_any(pids)
        # what follows comes at once: soon after its raylet has ended, Ray's core may end this
        # process without a message
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
    """Wait until one of the processes has ended."""
    if not hasattr(os, "pidfd_open"):
        with contextlib.suppress(ChildProcessError):  # another thread has waited for it
            os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
        return
    # ProcessLookupError: one of them has ended already
    with contextlib.ExitStack() as stack, contextlib.suppress(ProcessLookupError):
        poll = select.poll()
        for pid in pids:
            descriptor = os.pidfd_open(pid)
            stack.callback(os.close, descriptor)
            poll.register(descriptor, select.POLLIN)
        poll.poll()
