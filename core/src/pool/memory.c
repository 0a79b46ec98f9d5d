/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool/memory.h"

#include "os/os.h"
#include "status.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Right behind the call that was refused: errno is its reason. */
static slabby_status refused_memory(slabby_error *error, uint64_t size, const char *what,
                                    const char *remedy) {
    int number = errno;
    const char *name = number == ENOMEM   ? ", ENOMEM"
                       : number == EAGAIN ? ", EAGAIN"
                       : number == EPERM  ? ", EPERM"
                       : number == EINVAL ? ", EINVAL"
                                          : "";
    return slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, 0, (int64_t)size, 0, 0,
                         "the system refused %" PRIu64 " bytes for %s (errno %d%s); %s", size, what, number,
                         name, remedy);
}

/* Populating beyond what the machine has ends with the system killing some process, not with an error. */
static slabby_status check_prefault(const struct slb_layout *layout, const struct slb_options *options,
                                    slabby_error *error) {
    if (!slb_option(options, SLABBY_OPTION_PREFAULT))
        return SLABBY_OK;
    uint64_t memory = slb_os_physical_memory();
    if (memory == 0 || layout->slab_bytes <= memory)
        return SLABBY_OK;
    return slb_error_set(error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_PREFAULT, (int64_t)layout->slab_bytes,
                         1, (int64_t)memory,
                         "prefault would touch %" PRIu64 " bytes and this machine has %" PRIu64
                         "; leave prefault off, or lower max_capacity or the slab size",
                         layout->slab_bytes, memory);
}

/* One page behind each slab. The way that costs mappings is refused before it would exhaust them: a process without
 * mappings left cannot even start a thread. */
static slabby_status init_guards(struct slb_memory *memory, const struct slb_layout *layout,
                                 slabby_error *error) {
    enum slb_guard_way way = SLB_GUARD_UNKNOWN;
    memory->guards_refused = true;
    for (uint64_t i = 0; i < layout->reserved; i++) {
        char *guard = memory->slab_base + i * layout->stride + layout->guard_at;
        uint64_t size = layout->stride - layout->guard_at;
        if (!slb_os_guard(guard, size, &way))
            return refused_memory(error, size, "a guard page",
                                  "raise vm.max_map_count, or lower max_capacity");
        if (way != SLB_GUARD_PROTECT || memory->claimed_guards != 0)
            continue;
        if (!slb_os_claim_guards(layout->reserved))
            return slb_error_set(
                error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_GUARD_PAGES, layout->reserved, 1,
                (int64_t)slb_os_guard_limit(),
                "guard_pages for %" PRIu32 " slabs would exceed the system's mappings; choose at most "
                "%" PRIu64 " slabs in all pools, bit_guard, or a kernel with guard regions (6.13)",
                layout->reserved, slb_os_guard_limit());
        memory->claimed_guards = layout->reserved;
    }
    memory->guards_refused = false;
    return SLABBY_OK;
}

static slabby_status lock_slabs(const struct slb_memory *memory, const struct slb_layout *layout,
                                const struct slb_options *options, slabby_error *error) {
    int64_t request = slb_option(options, SLABBY_OPTION_LOCK_MEMORY);
    if (request == SLABBY_LOCK_MEMORY_OFF || slb_os_lock_memory(memory->slab_base, layout->slab_bytes) ||
        request == SLABBY_LOCK_MEMORY_BEST_EFFORT)
        return SLABBY_OK;
    return slb_error_set(
        error, SLABBY_NO_SYSTEM_MEMORY, SLABBY_OPTION_LOCK_MEMORY, (int64_t)layout->slab_bytes, 0, 0,
        "the system refused to lock %" PRIu64
        " bytes (lock_memory = required, errno %d); raise RLIMIT_MEMLOCK or choose best_effort",
        layout->slab_bytes, errno);
}

/* Populating a range that contains guards fails at the first one: slab by slab, then. */
static bool touch_slabs(const struct slb_memory *memory, const struct slb_layout *layout) {
    if (layout->guard_at == 0)
        return slb_os_populate(memory->slab_base, layout->slab_bytes);
    for (uint64_t i = 0; i < layout->reserved; i++)
        if (!slb_os_populate(memory->slab_base + i * layout->stride, layout->guard_at))
            return false;
    return true;
}

/* Guards first: locked memory takes none. Then the lock, then the touching, which it makes permanent. */
static slabby_status configure_slabs(struct slb_memory *memory, const struct slb_layout *layout,
                                     const struct slb_options *options, slabby_error *error) {
    slabby_status status = SLABBY_OK;
    if (slb_option(options, SLABBY_OPTION_HUGE_PAGES) &&
        !slb_os_huge_pages(memory->slab_base, layout->slab_bytes))
        return slb_error_set(
            error, SLABBY_NOT_SUPPORTED, SLABBY_OPTION_HUGE_PAGES, 1, 0, 1,
            "option huge_pages = on: this system offers none, or they are switched off (%s); "
            "leave it off",
            "/sys/kernel/mm/transparent_hugepage/enabled, or prctl PR_SET_THP_DISABLE");
    if (slb_option(options, SLABBY_OPTION_NO_DUMP) && !slb_os_no_dump(memory->slab_base, layout->slab_bytes))
        return slb_error_set(error, SLABBY_NOT_SUPPORTED, SLABBY_OPTION_NO_DUMP, 1, 0, 1,
                             "option no_dump = on: this system cannot keep memory out of core dumps");
    if (layout->guard_at != 0)
        status = init_guards(memory, layout, error);
    if (status == SLABBY_OK)
        status = lock_slabs(memory, layout, options, error);
    if (status == SLABBY_OK && slb_option(options, SLABBY_OPTION_PREFAULT) && !touch_slabs(memory, layout))
        status = refused_memory(error, layout->slab_bytes, "touching every page (option prefault)",
                                "leave prefault off, free memory, or lower max_capacity");
    return status;
}

/* The last guard of guard_pages lies inside the range; the reserved pages around the range guard its two ends. */
static slabby_status map_slabs(struct slb_memory *out, const struct slb_layout *layout,
                               const struct slb_options *options, slabby_error *error) {
    uint64_t page = slb_os_page_size();
    uint64_t edge = layout->edge;
    out->slab_mapping = slb_os_reserve(layout->slab_mapping);
    if (out->slab_mapping == NULL)
        return refused_memory(error, layout->slab_mapping, "the slabs",
                              "raise the limit of address space (ulimit -v), or lower max_capacity or the "
                              "slab size");
    out->slab_base = (char *)(((uintptr_t)out->slab_mapping + page + edge - 1) / edge * edge);
    if (!slb_os_commit(out->slab_base, layout->slab_bytes))
        return refused_memory(error, layout->slab_bytes, "the slabs",
                              "lower max_capacity, all of which counts where vm.overcommit_memory is 2, or "
                              "the slab size");
    return configure_slabs(out, layout, options, error);
}

SLB_PRIVATE void slb_memory_unmap(const struct slb_memory *memory, const struct slb_layout *layout) {
    slb_os_unmap(memory->slab_mapping, layout->slab_mapping);
    slb_os_unmap(memory->metadata, layout->metadata_mapping);
    slb_os_return_guards(memory->claimed_guards);
}

SLB_PRIVATE slabby_status slb_memory_map(struct slb_memory *out, const struct slb_layout *layout,
                                         const struct slb_options *options, slabby_error *error) {
    memset(out, 0, sizeof *out);
    slabby_status status = check_prefault(layout, options, error);
    if (status != SLABBY_OK)
        return status;
    status = map_slabs(out, layout, options, error);
    if (status == SLABBY_OK) {
        out->metadata = slb_os_map(layout->metadata_mapping);
        if (out->metadata == NULL)
            status = refused_memory(error, layout->metadata_mapping, "bookkeeping",
                                    "lower max_capacity, heap_fallback_limit or audit");
    }
    if (status != SLABBY_OK)
        slb_memory_unmap(out, layout);
    return status;
}
