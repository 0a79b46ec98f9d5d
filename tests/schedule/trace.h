/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a replayed run does to shared locations, step by step, with the lines of the core. Silent until trace_begin. */
#ifndef SLABBY_SCHEDULE_TRACE_H
#define SLABBY_SCHEDULE_TRACE_H

#include "scheduler.h"

void trace_begin(void);
void trace_switch(uint32_t task);
void trace_access(uint32_t task, uint32_t step, const volatile void *location, enum access access,
                  const void *code);

/* Prints what was recorded. */
void trace_end(void);

/* The scenario's word for a location; writes at most `size` bytes. */
void world_name(char *text, size_t size, const volatile void *location);

#endif
