# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes files with SHA-256 through the slabs of one pool, over the backend that SLABBY_BACKEND names."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import stat
import sys
import threading
import time
from dataclasses import dataclass
from queue import Empty, Queue, SimpleQueue

import slabby

QUEUE_BLOCKS = 64
PROGRESS_SECONDS = 0.1


@dataclass(eq=False)
class File:
    path: bytes
    digest: str = ""
    error: OSError | None = None


@dataclass
class Block:
    """Bytes of one file in a slab; without a slab, the end of the file."""

    file: File
    ref: slabby.SlabRef | None = None
    length: int = 0


Blocks = Queue[Block | None]


def walk(path: bytes, found: set[bytes]) -> int:
    """Adds the regular files below a directory; returns how many directories could not be read."""
    pending, unreadable = [path], 0
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(directory) as scan:
                for entry in scan:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found.add(entry.path)
        except OSError as error:
            print(f"unreadable: {os.fsdecode(directory)}: {error.strerror}", file=sys.stderr)
            unreadable += 1
    return unreadable


def collect(paths: list[str]) -> tuple[list[File], int]:
    """The files of all paths, sorted, each once; ends the process on a path that does not exist."""
    found: set[bytes] = set()
    unreadable = refused = 0
    for path in paths:
        try:
            mode = os.stat(path).st_mode
            problem = "" if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else "no file, no directory"
        except OSError as error:
            mode, problem = 0, str(error.strerror)
        if problem:
            print(f"hash_files: {path}: {problem}", file=sys.stderr)
            refused += 1
        elif stat.S_ISDIR(mode):
            unreadable += walk(os.fsencode(path), found)
        else:
            found.add(os.fsencode(path))
    if refused:
        raise SystemExit(2)
    if not found:
        raise SystemExit("hash_files: no files: the given paths hold none that could be hashed")
    return [File(path) for path in sorted(found)], unreadable


class Pipeline:
    """Readers fill slabs and hand them to the hasher of their file, who releases them."""

    def __init__(self, pool: slabby.Allocator, files: list[File], hashers: int) -> None:
        self.pool = pool
        self.files = files
        self.queues: list[Blocks] = [Queue(QUEUE_BLOCKS) for _ in range(hashers)]
        self.hashed_files = self.hashed_bytes = self.waits = 0
        self._lock = threading.Lock()

    def take_slab(self) -> slabby.SlabRef:
        tries = 0
        while True:
            try:
                return self.pool.allocate()
            except slabby.OutOfMemoryError:
                if tries == 0:
                    with self._lock:
                        self.waits += 1
                # The hashers need the processor more than we do.
                time.sleep(0 if tries < 8 else 50e-6)
                tries += 1

    def read_blocks(self, file: File, blocks: Blocks) -> None:
        # Not blocking: a pipe that took the file's place since the walk must not stop us.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        with open(os.open(file.path, flags), "rb", buffering=0) as stream:
            while True:
                ref = self.take_slab()
                try:
                    length = stream.readinto(ref)
                except OSError:
                    ref.release()
                    raise
                if not length:
                    ref.release()
                    return
                blocks.put(Block(file, ref, length))

    def read(self, numbers: SimpleQueue[int]) -> None:
        while True:
            try:
                index = numbers.get_nowait()
            except Empty:
                return
            file, blocks = self.files[index], self.queues[index % len(self.queues)]
            try:
                self.read_blocks(file, blocks)
            except OSError as error:
                file.error = error
            blocks.put(Block(file))

    def hash(self, blocks: Blocks) -> None:
        digests = {}
        while (block := blocks.get()) is not None:
            if block.file not in digests:
                digests[block.file] = hashlib.sha256()
            if block.ref is None:
                block.file.digest = digests.pop(block.file).hexdigest()
                with self._lock:
                    self.hashed_files += 1
                continue
            with memoryview(block.ref) as slab, slab[: block.length] as view:
                digests[block.file].update(view)
            block.ref.release()
            with self._lock:
                self.hashed_bytes += block.length

    def run(self, readers: int) -> float:
        """Hashes everything; returns the seconds it took."""
        started = time.monotonic()
        numbers: SimpleQueue[int] = SimpleQueue()
        for index in range(len(self.files)):
            numbers.put(index)
        hashing = [threading.Thread(target=self.hash, args=(blocks,)) for blocks in self.queues]
        reading = [threading.Thread(target=self.read, args=(numbers,)) for _ in range(readers)]
        for thread in hashing + reading:
            thread.start()
        for thread in reading:
            self.wait_for(thread)
        for blocks in self.queues:
            blocks.put(None)
        for thread in hashing:
            self.wait_for(thread)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        return time.monotonic() - started

    def wait_for(self, thread: threading.Thread) -> None:
        while thread.is_alive():
            thread.join(PROGRESS_SECONDS)
            if sys.stderr.isatty():
                progress = f"\r{self.hashed_files} of {len(self.files)} files, "
                progress += f"{self.hashed_bytes / 1e6:.1f} MB "
                print(progress, end="", file=sys.stderr, flush=True)


def digest_line(file: File) -> bytes:
    """As sha256sum writes it: a backslash first where the name had to be escaped."""
    name = file.path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if name != file.path else b""
    return mark + file.digest.encode() + b"  " + name + b"\n"


def parse() -> argparse.Namespace:
    def positive(text: str) -> int:
        value = int(text)
        if value < 1:
            raise argparse.ArgumentTypeError(f"{text} is not a number from 1 up")
        return value

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, help="where the digests go, sorted by path")
    parser.add_argument("--stats-json", help="where totals and the pool's statistics go")
    parser.add_argument("--slabs", type=positive, default=32, help="slabs in the pool")
    parser.add_argument("--slab-size", type=positive, default=65536, help="bytes read at a time")
    parser.add_argument("--readers", type=positive, default=2, help="reading threads")
    parser.add_argument("--hashers", type=positive, default=2, help="hashing threads")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    return parser.parse_args()


def stop_at_once(failure: threading.ExceptHookArgs) -> None:
    """A thread that fails leaves the others waiting for it."""
    sys.excepthook(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    os._exit(1)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def main() -> int:
    options = parse()
    threading.excepthook = stop_at_once
    files, unreadable = collect(options.paths)
    with slabby.Allocator(options.slab_size, options.slabs, name="hash_files") as pool:
        pipeline = Pipeline(pool, files, options.hashers)
        seconds = pipeline.run(options.readers)
        used, findings = pool.stats().used_slabs, pool.verify()
        statistics = json.loads(pool.stats_json())
    for file in files:
        if file.error is not None:
            print(f"unreadable: {os.fsdecode(file.path)}: {file.error.strerror}", file=sys.stderr)
    read = [file for file in files if file.error is None]
    unreadable += len(files) - len(read)
    with open(options.output, "wb") as output:
        output.writelines(digest_line(file) for file in read)
    if options.stats_json is not None:
        totals = {
            "binding": slabby.backend(),
            "files": len(read),
            "unreadable": unreadable,
            "bytes": pipeline.hashed_bytes,
            "seconds": round(seconds, 6),
            "waits": pipeline.waits,
            "stats": statistics,
        }
        with open(options.stats_json, "w", encoding="utf-8") as output_json:
            json.dump(totals, output_json)
    print(
        f"{counted(len(read), 'file')}, {unreadable} unreadable, {pipeline.hashed_bytes / 1e6:.1f} MB "
        f"in {seconds:.2f} s, {counted(pipeline.waits, 'wait')} for a slab"
    )
    if used or findings:
        print(f"hash_files: {used} slabs are still in use, {findings}", file=sys.stderr)
    return 1 if used or findings else 0


if __name__ == "__main__":
    sys.exit(main())
