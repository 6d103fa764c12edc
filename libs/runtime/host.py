"""Where a process runs, as precisely as its number needs to mean anything."""

import os
import socket
from functools import cache


@cache
def this_host() -> str:
    """The host name and the PID namespace: containers may share a name and count their processes alike."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}-{namespace}"


def is_running(pid: int) -> bool:
    """Whether there is a process of this number here, now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
