"""`python -m benchmarks [<name> ...]`: run the measurements named, or all of them in turn."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("[!_]*.py")
    if path.stem not in ("record", "stage_workspace", "dashboard_sessions", "own_data_sets", "news_names", "serving_peer")
)


def main(arguments: list[str]) -> int:
    """Run each benchmark; a benchmark that cannot run here prints why and does not stop the others."""
    for name in arguments:
        if name not in NAMES:
            print(f"error: no benchmark {name!r}; there is: {', '.join(NAMES)}", file=sys.stderr)
            return 2
    for name in arguments or NAMES:
        print(f"== {name}", flush=True)
        import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
