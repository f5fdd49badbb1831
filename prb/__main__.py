"""`python -m prb` is the command `prb`."""

import sys

from prb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
