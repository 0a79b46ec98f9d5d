/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a run of releases is not written for the processor: each slab is released by itself. */
#ifndef SLB_TIERS_RSEQ_RUN_NONE_H
#define SLB_TIERS_RSEQ_RUN_NONE_H

SLB_INLINE void slb_rseq_release_run(struct slabby_allocator *pool, const slabby_ref *refs, uint32_t *ids,
                                     uint64_t count, struct slb_rseq_run *out) {
    (void)pool, (void)refs, (void)ids, (void)count;
    *out = (struct slb_rseq_run){.result = SLB_RSEQ_REFUSED};
}

#endif
