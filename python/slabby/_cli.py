# SPDX-License-Identifier: GPL-3.0-or-later
"""The command slabby: serve, top, doctor, size."""

import argparse
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slabby._allocator import Allocator
from slabby._base_error import SlabbyError
from slabby._demo import Demo
from slabby._doctor import doctor
from slabby._endpoint_app import checked
from slabby._library import core_version
from slabby.server import DEFAULT_ADDRESS, Server, serve, split_address
from slabby._sizing import add_size_arguments, size
from slabby._top import SORT_KEYS, top

TOKEN_VARIABLE = "SLABBY_TOKEN"


class UsageError(Exception):
    """A mistake that the user has to correct; the text says how."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("slabby", description="Looks after pools of slabs.")
    parser.add_argument("--version", action="version", version=f"slabby {core_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_top(commands)
    text = "what this machine offers, and what a pool will do therefore"
    command = commands.add_parser("doctor", help=text, description=text.capitalize() + ".")
    command.add_argument("--json", action="store_true", help="print as JSON")
    command.set_defaults(run=doctor)
    command = commands.add_parser("size", help="which slab size and capacity a load needs")
    add_size_arguments(command)
    command.set_defaults(run=size)
    return parser


def _add_serve(commands: Any) -> None:
    text = "imports a module and serves the endpoints of its pools, with the live page at /"
    command = commands.add_parser("serve", help=text, description=text + ".")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("pool", nargs="?", metavar="MODULE[:POOL]", help="POOL: a name in the module")
    what.add_argument("--demo", action="store_true", help="two pools under a load of their own")
    command.add_argument(
        "--address",
        default=DEFAULT_ADDRESS,
        metavar="HOST:PORT",
        help=f"where to listen (default {DEFAULT_ADDRESS}); without HOST on loopback",
    )
    command.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"a client that sends the token in it may change options; or the variable {TOKEN_VARIABLE}",
    )
    command.set_defaults(run=_serve)


def _add_top(commands: Any) -> None:
    text = "shows the pools of one or several processes in the terminal"
    command = commands.add_parser("top", help=text, description=text + ".")
    url = f"http://{DEFAULT_ADDRESS}/"
    command.add_argument("url", nargs="*", default=[url], help=f"of endpoints (default {url})")
    command.add_argument("--interval", type=float, default=1.0, help="seconds (default 1)")
    command.add_argument(
        "--sort", choices=SORT_KEYS, default="use", help="of the rows; keys of the same names"
    )
    command.add_argument("--once", action="store_true", help="print once and end")
    command.add_argument("--json", action="store_true", help="with --once: as JSON")
    command.set_defaults(run=top)


# -------------------------------------------------------------------------------------------------- serve


def _find_pools(name: str) -> list[Allocator] | None:
    """The named pool, or None for every pool that the module opens."""
    module_name, _, attribute = name.partition(":")
    if not all(module_name.split(".")):
        raise UsageError(f"{name!r} must be MODULE or MODULE:POOL, such as app or app:pool")
    found = _import(module_name)
    if not attribute:
        return None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"module {module_name!r} has no {attribute!r}")
        found = getattr(found, part)
    if not isinstance(found, Allocator):
        raise UsageError(f"{name} is a {type(found).__name__} and must be a slabby.Allocator")
    return [found]


def _import(name: str) -> Any:
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that this one imports is another matter.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"there is no module {name!r} here or on sys.path") from None
    except SlabbyError as error:
        raise UsageError(f"module {name!r}{_line_of(error)}: {error}") from None


def _line_of(error: Exception) -> str:
    """The line that made the call which raised the error."""
    here = os.path.dirname(__file__)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if os.path.isfile(frame.filename)]
    theirs = [frame for frame in theirs if os.path.dirname(frame.filename) != here]
    return f" in {theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else ""


def _token(file: str | None) -> str:
    if file is None:
        return _usable(os.environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE)
    try:
        token = Path(file).read_text("utf-8").strip()
    except OSError as error:
        raise UsageError(f"the file of the token, {file!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the file of the token, {file!r}, must be text in UTF-8") from None
    if not token:
        raise UsageError(f"the file of the token, {file!r}, is empty")
    return _usable(token, file)


def _usable(token: str, source: str) -> str:
    try:
        checked(token, None)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None
    return token


def _start(pools: list[Allocator] | None, address: str, token: str) -> Server:
    try:
        split_address(address)
        return serve(pools, address, token=token)
    except (ValueError, OSError) as error:
        raise UsageError(f"--address {address}: {error}") from None


def _serve(arguments: argparse.Namespace) -> int:
    token = _token(arguments.token_file)
    demo = Demo() if arguments.demo else None
    try:
        pools = demo.pools if demo is not None else _find_pools(arguments.pool)
        _until_interrupted(_start(pools, arguments.address, token))
    finally:
        if demo is not None:
            demo.close()
    return 0


def _until_interrupted(server: Server) -> None:
    """Waits for Ctrl-C, or for SIGTERM from a supervisor or a script, whose background programs ignore SIGINT. It
    sleeps in short steps, because the system may deliver a signal to any thread, and then the main thread, in which
    Python handles it, would sleep on."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        print(f"serving {server.url} (end with Ctrl-C or SIGTERM)", flush=True)
        while True:
            time.sleep(0.5)
    except KeyboardInterrupt:
        server.close()


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except (UsageError, SlabbyError) as error:
        print(f"slabby: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has closed it.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 1
