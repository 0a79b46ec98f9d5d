# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of the applications for every server interface."""

import re
from collections.abc import Iterable

from slabby._allocator import Allocator
from slabby._endpoint_pools import shown
from slabby._endpoints import Endpoints


def checked(token: object, hosts: object) -> tuple[str, ...] | None:
    """The names as a tuple; TypeError or ValueError for what is no token or no names."""
    if not isinstance(token, str):
        raise TypeError(f"token takes text, not {token!r}")
    # The text of the error shows no part of the token.
    if token != token.strip(" \t") or re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", token):
        raise ValueError(
            "token begins or ends with a blank, or has a character that no header can carry; choose letters and digits"
        )
    if hosts is None:
        return None
    if isinstance(hosts, str):
        raise TypeError(f"hosts takes several names, not {hosts!r}; write [{hosts!r}]")
    if not isinstance(hosts, Iterable):
        raise TypeError(f"hosts takes several names, not {hosts!r}")
    names = tuple(hosts)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"hosts takes names as text, not {name!r}")
    return names


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
        names = checked(token, hosts)
        self._endpoints = Endpoints(shown(pools), token, exhaustion, names)
