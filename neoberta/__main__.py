"""The command `neoberta`, also as `python -m neoberta`."""

import os
import sys

from neoberta.own_packages import ROOT, with_own_packages_first


def main() -> None:
    """Console entry point. The user's files do not run, whatever their names: the current folder is
    not searched for modules, and a folder of PYTHONPATH that hides a package of ours comes last.
    Ray's workers get the search path of this process."""
    # `python -m` puts the current folder first; it may be the checkout that neoberta is run from
    first = os.path.realpath(sys.path[0])
    if not sys.flags.safe_path and first == os.getcwd() and first != str(ROOT):
        del sys.path[0]
    sys.path[:] = with_own_packages_first(sys.path)

    from ray_jobs.cli import main as run

    run()


if __name__ == "__main__":
    main()
