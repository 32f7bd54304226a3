"""Execute a command that is killed when its parent ends: `python -m flows.system.exec_with_parent <parent pid> <command...>`."""

from __future__ import annotations

import os
import sys

from tasks.__main__ import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    if os.getppid() == int(sys.argv[1]):  # otherwise the parent ended before `die_with_parent` took effect
        os.execvp(sys.argv[2], sys.argv[2:])
