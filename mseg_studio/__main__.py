"""`python -m mseg_studio` is the command `mseg-studio`."""

import sys

from mseg_studio.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
