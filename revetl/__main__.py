"""`python -m revetl`."""

import sys

from revetl.cli import main

if __name__ == "__main__":
    sys.exit(main())
