# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of the applications for every server interface."""

from collections.abc import Iterable

from slabby._allocator import Allocator
from slabby._endpoint_pools import shown
from slabby._endpoints import Endpoints


class EndpointApp:
    """Shows these pools, or every open pool of the process, of other languages too. `token` allows
    a client that sends it to change hot options; `exhaustion` makes an exhausted pool a reason for /readyz
    to answer 503; `hosts` are the names that Host may have."""

    def __init__(
        self,
        pools: Iterable[Allocator] | None = None,
        *,
        token: str = "",
        exhaustion: bool = False,
        hosts: Iterable[str] | None = None,
    ) -> None:
        if not isinstance(token, str):
            raise TypeError(f"token takes text, not {type(token).__name__}")
        if isinstance(hosts, str):
            raise TypeError(f"hosts takes several names, not {hosts!r}; write [{hosts!r}]")
        names = None if hosts is None else tuple(hosts)
        self._endpoints = Endpoints(shown(pools), token, exhaustion, names)
