"""Multiplies: a fork bomb, and a process that stays behind."""

import os
import resource
import signal
import time

from prediction import OUTPUTS, write_valid

BOMB_S = 4.0
#: Ends what is left over, should nobody else.
LONGEST_S = 30
#: Most processes of this user on the whole host, so that it survives a missing limit.
MOST_PROCESSES = 2000


def fork_bomb() -> int:
    """Every process makes further ones for some seconds; the first then exits with 5."""
    resource.setrlimit(resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))
    deadline = time.monotonic() + BOMB_S
    first, refused = os.getpid(), False
    while time.monotonic() < deadline:
        try:
            if os.fork() == 0:
                signal.alarm(LONGEST_S)
        except OSError as error:
            if os.getpid() == first and not refused:
                print(f"no further process: {error.strerror}", flush=True)
                refused = True
            time.sleep(0.05)
    if os.getpid() != first:
        time.sleep(LONGEST_S)
        os._exit(0)
    return 5


def background() -> None:
    """A valid prediction, and a process of a session of its own that stays to spoil the next case."""
    write_valid()
    if os.fork():
        return
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        try:
            (OUTPUTS / "from_the_background.txt").write_text(f"{time.time()}\n")
        except OSError:
            os._exit(1)
        time.sleep(0.1)
    os._exit(0)


BEHAVIOURS = {"fork-bomb": fork_bomb, "background": background}
