"""Where the command `stepscope` begins: what only reads traces starts without loading the rest."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the arguments name."""
    from tracer.terminal.commands import quick, run

    if sys.argv[1:] and sys.argv[1] in quick.commands:
        run(quick)
        return
    from tracer.cli import main as every_command

    every_command()
