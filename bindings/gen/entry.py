# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one table of bindings/contract.toml: keys by type, and nothing that nobody asked for."""

from __future__ import annotations

CONTRACT_PATH = "bindings/contract.toml"
INT64_MINIMUM, INT64_MAXIMUM = -(2**63), 2**63 - 1


class ToolError(Exception):
    """A mistake in the contract, which its author can mend; the text names the entry."""


class ContractError(ToolError):
    """The contract is broken; the text names the entry and what to do."""

    def __init__(self, entry: str, problem: str) -> None:
        super().__init__(f"{CONTRACT_PATH}: {entry}: {problem}")


class Entry:
    """One table of the file: keys are taken by type, and what nobody took is an error."""

    def __init__(self, entry: str, value: object) -> None:
        if not isinstance(value, dict):
            raise ContractError(entry, f"must be a table, not {value!r}")
        self.entry = entry
        self._rest: dict[str, object] = dict(value)

    def error(self, problem: str) -> ContractError:
        return ContractError(self.entry, problem)

    def _take(self, key: str, kind: type | tuple[type, ...], expected: str) -> object:
        if key not in self._rest:
            raise self.error(f"`{key}` is missing; add it")
        value = self._rest.pop(key)
        # bool is an int in Python, never in the contract.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"`{key}` is {value!r} and must be {expected}")
        return value

    def text(self, key: str) -> str:
        value = str(self._take(key, str, "text"))
        if "*/" in value or "\n" in value or not value.isascii():
            raise self.error(f"`{key}` must be one line of ASCII without '*/', not {value!r}")
        return value

    def text_or_none(self, key: str) -> str | None:
        return self.text(key) if key in self._rest else None

    def integer(self, key: str) -> int:
        value = self._take(key, int, "a whole number")
        assert isinstance(value, int)
        if not INT64_MINIMUM <= value <= INT64_MAXIMUM:
            raise self.error(f"`{key}` is {value} and must fit 64 bits")
        return value

    def number_or_text(self, key: str) -> int | str:
        return self.text(key) if isinstance(self._rest.get(key), str) else self.integer(key)

    def flag(self, key: str) -> bool:
        return bool(self._take(key, bool, "true or false"))

    def flag_or(self, key: str, default: bool) -> bool:
        return self.flag(key) if key in self._rest else default

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._take(key, list, "a list of texts")
        assert isinstance(values, list)
        if not all(isinstance(value, str) for value in values):
            raise self.error(f"`{key}` is {values!r} and must hold texts only")
        return tuple(values)

    def integers(self, key: str) -> tuple[int, ...]:
        values = self._take(key, list, "a list of whole numbers")
        assert isinstance(values, list)
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise self.error(f"`{key}` is {values!r} and must hold whole numbers only")
        return tuple(values)

    def has(self, key: str) -> bool:
        return key in self._rest

    def texts_by_name(self, key: str) -> dict[str, str]:
        """A table of texts, in its order."""
        table = self.table(key, f"{self.entry}: {key}")
        return {name: table.text(name) for name in table.names()}

    def table(self, key: str, entry: str) -> Entry:
        return Entry(entry, self._take(key, dict, "a table"))

    def tables(self, key: str, kind: str) -> list[Entry]:
        rows = self._take(key, list, "a list of tables") if key in self._rest else []
        assert isinstance(rows, list)
        return [Entry(f"{kind} {_row_name(row, at)}", row) for at, row in enumerate(rows)]

    def names(self) -> list[str]:
        """The keys that nobody took yet."""
        return list(self._rest)

    def close(self) -> None:
        if self._rest:
            raise self.error(
                f"unknown key `{next(iter(self._rest))}`; remove it or teach contract.py"
            )


def _row_name(row: object, at: int) -> str:
    if isinstance(row, dict) and isinstance(row.get("name"), str):
        return f"'{row['name']}'"
    return f"number {at + 1}"
