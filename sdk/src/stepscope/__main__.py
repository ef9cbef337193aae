"""`python -m stepscope doctor`: says whether steps would arrive, and what stands in their way."""

from __future__ import annotations

import sys

from ._doctor import examine


def main(arguments: list[str]) -> int:
    """Run the one command that there is; returns the exit code."""
    if arguments not in (["doctor"], []):
        print("usage: python -m stepscope doctor", file=sys.stderr)
        return 2
    lines, well = examine()
    print("\n".join(lines))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
