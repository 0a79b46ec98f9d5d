# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m slabby: the same as the command slabby."""

import sys

from slabby._cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
