# SPDX-License-Identifier: GPL-3.0-or-later
"""What each member of a record means, as help() shows it in Python; snapshots have theirs in the contract.

The comments above the structs of slabby.h say the same in prose. A member without a line here is an error.
"""

from __future__ import annotations

from entry import ToolError

DOCS: dict[str, dict[str, str]] = {
    "slabby_live": {
        "state": "Live, or granted where its ticket was not taken yet.",
        "ref": "The reference; 0 for a slab of allocate_fast() and for one that is granted.",
        "id": "The number of the slab in its pool.",
        "pins": "How many views and pins forbid its release.",
        "label": "The value that SlabRef.label was set to, else 0.",
        "age_ns": "Nanoseconds since the allocation, 0 unless the pool records stacks; since the grant if granted.",
        "thread": "The system's number of the thread that allocated it, 0 unless the pool records stacks.",
        "ticket": "The ticket that the slab was granted to, else 0.",
    },
    "slabby_audit_record": {
        "operation": "What was done.",
        "sequence": "Counts the records of the pool.",
        "time_ns": "When, in nanoseconds since the Unix epoch.",
        "thread": "The system's number of the thread.",
        "ref": "The reference; by id the id, of an option its number, of breaker_force the mode, else 0.",
        "status": "How it ended.",
        "binding": "The language that called.",
    },
    "slabby_event": {
        "level": "How grave it is.",
        "sequence": "Counts the events of the pool, or of the process where an EventFeed read it.",
        "time_ns": "When, in nanoseconds since the Unix epoch.",
        "ref": "The reference that is concerned, else 0.",
        "value": "The number that is concerned, such as the new value of an option, else 0.",
        "code": "What happened.",
        "suppressed": "How many events of this code were left out since the last one.",
        "text": "The event in words.",
        "pool": "The label of the pool, as in metrics.",
        "allocator_address": "The handle of the pool, for Allocator.adopt().",
    },
    "slabby_finding": {
        "kind": "What is wrong.",
        "ref": "The reference that is concerned, else 0.",
        "id": "The number of the slab in its pool.",
        "state": "The state of the slab.",
        "offset": "Where the first bad byte is, from the slab's first on.",
        "expected": "What stood there, or how many there should be.",
        "found": "What stands there now, or how many there are.",
        "text": "The finding in words.",
    },
    "slabby_fault": {
        "inside": "Whether the address belongs to a pool.",
        "address": "The address.",
        "ref": "The reference of the slab that is or was there, else 0.",
        "id": "The number of the slab in its pool.",
        "state": "The state of the slab.",
        "offset": "How far the address is from the slab's first byte.",
        "slab_size": "Usable bytes of the slab.",
        "pool_name": "The name of the pool.",
        "text": "The answer in words.",
        "kind": "What lies there.",
        "allocator_address": "The handle of the pool, for Allocator.adopt().",
    },
    "slabby_pool_info": {
        "allocator_address": "The handle of the pool, for Allocator.adopt().",
        "name": "The name, empty where it has none.",
        "label": "How metrics and URLs call the pool.",
    },
    "slabby_sample": {
        "metric": "The number of the metric in docs/metrics.md.",
        "part": "Which part of the metric.",
        "label": "Which sample of it, from 0 on.",
        "value": "The number.",
    },
    "slabby_view_info": {
        "version": "The version of this layout.",
        "words_address": "Where the state words begin.",
        "slabs_address": "Where the first slab begins.",
        "stride": "Bytes from one slab to the next.",
        "slab_size": "Usable bytes of each slab.",
        "capacity": "How many slabs the pool has address space for.",
        "id_limit": "Ids are below this number, those of heap slabs too.",
        "ref_bias": "A word plus the id plus this number is the reference.",
        "ref_limit": "A reference minus ref_bias is below this number.",
        "id_bits": "How many bits of a reference are the id.",
        "mode_address": "Where a number says whether every call must go through the core.",
    },
}


def docs_of(struct: str, members: list[str]) -> dict[str, str]:
    """By member; each has a line, and each line a member."""
    docs = DOCS.get(struct, {})
    if sorted(docs) != sorted(members):
        wrong = ", ".join(sorted(set(docs) ^ set(members)))
        raise ToolError(f"record_docs.py: the lines of {struct} and its members differ: {wrong}")
    return docs
