# SPDX-License-Identifier: GPL-3.0-or-later
"""What the registers of the model hold: references and views."""

from __future__ import annotations

from typing import NamedTuple

from model_pool import Slab


class Ref(NamedTuple):
    """What a reference register holds: the reference of an allocation, changed or not, or a number."""

    slab: Slab | None
    tag: bool = False
    generation: int = 0
    ones: bool = False

    @property
    def forged(self) -> bool:
        return self.slab is None or self.tag or self.generation != 0


class View:
    __slots__ = ("ref", "slab")

    def __init__(self, ref: Ref, slab: Slab) -> None:
        self.ref = ref
        self.slab = slab


ZERO = Ref(None)
