"""The program: `disbench` and `python -m disbench`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; Ctrl-C is no traceback, also while its modules are imported."""
    try:
        from disbench.benchmark.cli.main import main as program
    except KeyboardInterrupt:
        print("disbench: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    program()


if __name__ == "__main__":
    main()
