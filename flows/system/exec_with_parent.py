"""Run a command that ends with its parent: `python -m flows.system.exec_with_parent <pid of the parent> <command...>`."""

from __future__ import annotations

import os
import sys

from tasks.__main__ import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    if os.getppid() == int(sys.argv[1]):  # else it went before this one could be tied to it
        os.execvp(sys.argv[2], sys.argv[2:])
