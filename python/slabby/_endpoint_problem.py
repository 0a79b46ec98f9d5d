# SPDX-License-Identifier: GPL-3.0-or-later
"""A refused request, as RFC 9457 writes it."""

from collections.abc import Mapping

from slabby._base_error import SlabbyError
from slabby._endpoint_tables import REFUSALS, TITLES
from slabby._enums import Status


class Problem(Exception):
    """Ends a request with a status of 400 or more."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **fields: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self._fields = fields

    def fields(self) -> dict[str, object]:
        title = TITLES[self.status]
        about = {"type": "about:blank", "title": title, "status": self.status}
        return {**about, "detail": str(self), **self._fields}


def refused_by_core(error: SlabbyError) -> Problem:
    """The answer to a change of an option that the core refused."""
    status = REFUSALS.get(error.status, 500)
    if error.status is Status.INVALID_OPTION and error.option is None:
        status = 404
    fields: dict[str, object] = {"refusal": type(error).__name__.removesuffix("Error")}
    if error.minimum or error.maximum:
        fields.update(value=error.value, minimum=error.minimum, maximum=error.maximum)
    return Problem(status, str(error), None, **fields)


def printable(text: str) -> str:
    """A client's text as an answer repeats it: ASCII without quotes, at most 64 bytes."""
    shown = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)
    return shown if len(shown) <= 64 else shown[:64] + "..."


def no_pool(name: str) -> Problem:
    return Problem(404, f'no pool "{printable(name)}" is shown here; /stats lists them')
