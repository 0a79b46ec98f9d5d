# SPDX-License-Identifier: GPL-3.0-or-later
"""The CFFI extension module; _cffi_calls.py gives its functions types."""

from typing import Any

ffi: Any
lib: Any
