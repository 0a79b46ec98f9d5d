# SPDX-License-Identifier: GPL-3.0-or-later
"""misuse.py NAME: makes the mistake of that name over the backend of SLABBY_BACKEND.  --list: their names."""

import sys

import arguments as arguments
import references as references
import releases as releases
import writes as writes
from reported import MISTAKES

if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print(*MISTAKES, sep="\n")
    elif len(sys.argv) == 2 and sys.argv[1] in MISTAKES:
        MISTAKES[sys.argv[1]]()
    else:
        sys.exit("usage: misuse.py NAME, one of those of misuse.py --list")
