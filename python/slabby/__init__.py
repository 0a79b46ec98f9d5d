# SPDX-License-Identifier: GPL-3.0-or-later
"""Slabby: a pool of equally sized memory blocks ("slabs") with checked references.

>>> import slabby
>>> pool = slabby.Allocator(4096, 1000)
>>> with pool.allocate() as ref:
...     memoryview(ref)[:5] = b"hello"
"""

from slabby._allocator import Allocator as Allocator
from slabby._base_error import SlabbyError as SlabbyError
from slabby._errors import *  # noqa: F403
from slabby._library import abi_version as abi_version
from slabby._library import backend as backend
from slabby._library import classify_fault as classify_fault
from slabby._library import core_version as core_version
from slabby._library import install_fault_handler as install_fault_handler
from slabby._library import instance_id as instance_id
from slabby._library import suggest_capacity as suggest_capacity
from slabby._library import suggest_slab_size as suggest_slab_size
from slabby._listener import Grant as Grant
from slabby._listener import Listener as Listener
from slabby._metrics import METRICS_CONTENT_TYPE as METRICS_CONTENT_TYPE
from slabby._metrics import metrics_text as metrics_text
from slabby._metrics import pool_label as pool_label
from slabby._metrics import pools as pools
from slabby._options import Options as Options
from slabby._records import *  # noqa: F403
from slabby._types import TRACEMALLOC_DOMAIN as TRACEMALLOC_DOMAIN
from slabby._types import FastSlab as FastSlab
from slabby._types import SlabRef as SlabRef
from slabby._version import __version__ as __version__
from slabby._enums import *  # noqa: F403

# A backend that cannot work is found at import, not at the first pool.
backend()
