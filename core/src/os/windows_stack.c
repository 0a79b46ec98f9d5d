/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stacks by the unwind tables that every function of 64-bit Windows has. */
#include "os/stack.h"

#ifdef SLB_OS_WINDOWS

#include <string.h>
#include <windows.h>

#define STACK_OWN_FRAMES 2 /* slb_os_stack and its caller */
#define STACK_WALK_MAX 32

SLB_PRIVATE __attribute__((noinline)) uint32_t slb_os_stack(uintptr_t *out_frames, uint32_t capacity) {
    void *walked[STACK_WALK_MAX];
    uint32_t count = CaptureStackBackTrace(STACK_OWN_FRAMES - 1, STACK_WALK_MAX - 1, walked, NULL);
    if (count > capacity)
        count = capacity;
    for (uint32_t i = 0; i < count; i++)
        out_frames[i] = (uintptr_t)walked[i];
    return count;
}

SLB_PRIVATE void slb_os_stack_prime(void) {
    uintptr_t frame;
    (void)slb_os_stack(&frame, 1);
}

/* ------------------------------------------------------------------------------- names, from a module's exports */

static const void *at_offset(const char *image, uint32_t offset) {
    return image + offset;
}

static const IMAGE_EXPORT_DIRECTORY *exports_of(const char *image) {
    const IMAGE_DOS_HEADER *dos = (const void *)image;
    const IMAGE_NT_HEADERS *headers = at_offset(image, (uint32_t)dos->e_lfanew);
    const IMAGE_DATA_DIRECTORY *entry = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT];
    return entry->Size == 0 ? NULL : at_offset(image, entry->VirtualAddress);
}

/* The exported function that begins nearest before the address. */
static void find_export(struct slb_os_symbol *out, const char *image, uint32_t offset) {
    const IMAGE_EXPORT_DIRECTORY *exports = exports_of(image);
    uint32_t best = 0;
    if (exports == NULL)
        return;
    out->module = at_offset(image, exports->Name);
    const uint32_t *functions = at_offset(image, exports->AddressOfFunctions);
    const uint32_t *names = at_offset(image, exports->AddressOfNames);
    const uint16_t *ordinals = at_offset(image, exports->AddressOfNameOrdinals);
    for (uint32_t i = 0; i < exports->NumberOfNames; i++) {
        uint32_t begin = functions[ordinals[i]];
        if (begin > offset || begin < best)
            continue;
        best = begin;
        out->symbol = at_offset(image, names[i]);
        out->offset = offset - begin;
    }
}

/* A program without exports has no name in its image: "program". */
SLB_PRIVATE struct slb_os_symbol slb_os_symbol_of(uintptr_t address) {
    struct slb_os_symbol entry = {NULL, NULL, 0};
    HMODULE module;
    DWORD how = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    if (address == 0 || !GetModuleHandleExW(how, (const WCHAR *)(address - 1), &module))
        return entry;
    entry.module = "program";
    entry.offset = address - (uintptr_t)module;
    find_export(&entry, (const char *)module, (uint32_t)entry.offset);
    return entry;
}

#endif
