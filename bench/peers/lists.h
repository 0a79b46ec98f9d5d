/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The two pools that one writes by hand when no library is at hand. Both check nothing. They are built as a shared
 * library, so that they cost a call like the others.
 *
 *   locked list     a mutex around a list threaded through the free objects
 *   tagged stack    Treiber's stack of indices; the head carries a 32-bit tag against the ABA problem
 */
#ifndef BENCH_PEERS_LISTS_H
#define BENCH_PEERS_LISTS_H

#include <stddef.h>
#include <stdint.h>

struct locked_list;
struct tagged_stack;

/* NULL where the system has no memory. Objects lie `size` bytes apart, and 64 more where that is a multiple of 512,
 * as in Slabby's default layout: first bytes a page apart would share one set of the CPU's cache. */
struct locked_list *locked_list_create(size_t size, uint32_t capacity);
void locked_list_destroy(struct locked_list *list);
void *locked_list_take(struct locked_list *list);
void locked_list_give(struct locked_list *list, void *object);
uint32_t locked_list_count(struct locked_list *list);

/* take answers the object's number, and -1 where none is left. */
struct tagged_stack *tagged_stack_create(size_t size, uint32_t capacity);
void tagged_stack_destroy(struct tagged_stack *stack);
int64_t tagged_stack_take(struct tagged_stack *stack, void **data);
void tagged_stack_give(struct tagged_stack *stack, uint32_t number);
uint32_t tagged_stack_count(struct tagged_stack *stack);

#endif
