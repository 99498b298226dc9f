"""The query oracles from the command line; see `oracle`."""

import sys

from oracle.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
