# SPDX-License-Identifier: GPL-3.0-or-later
"""Where PyInstaller finds its hook: what the package loads by name or by dlopen, no analysis of imports sees."""

import os


def hook_dirs() -> list[str]:
    """The folders that hold hooks."""
    return [os.path.dirname(__file__)]
