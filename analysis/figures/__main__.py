"""Draw figures of a run folder again: `python -m analysis.figures FOLDER [NAME ...]`."""

from __future__ import annotations

import argparse
import sys

from analysis.figures import FIGURES, draw_folder
from sim.errors import UndertowError


def main(arguments: list[str] | None = None) -> int:
    """Draw, print the paths of the pictures, and return the exit code.

    Parameters
    ----------
    arguments : words of the command line; those of this process when left out
    """
    parser = argparse.ArgumentParser(
        prog="python -m analysis.figures", description="Draw the figures of a run folder again."
    )
    parser.add_argument("folder", metavar="FOLDER", help="run folder that `undertow run` wrote")
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help=f"{', '.join(sorted(FIGURES))}; all when left out"
    )
    told = parser.parse_args(arguments)
    try:
        paths = draw_folder(told.folder, told.names)
    except (UndertowError, OSError) as error:
        sys.stderr.write(f"analysis.figures: {error}\n")
        return getattr(error, "exit_code", 1)
    sys.stdout.writelines(f"{path}\n" for path in paths)
    return 0


if __name__ == "__main__":
    sys.exit(main())
