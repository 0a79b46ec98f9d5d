/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frame information, as the System V ABI for x86-64 and the DWARF standard lay it out:
 *
 *   .eh_frame_hdr   | version, encodings | .eh_frame | count | {function, FDE} {function, FDE} ... sorted |
 *   FDE             | length | its CIE | function | size of it | augmentation | instructions |
 *   CIE             | length | 0 | version | augmentation | factors | instructions common to its FDEs |
 *
 * The instructions, run up to an address, leave a row of rules for that address: what the frame's base (CFA) is, and
 * where registers were saved. The return address lies right below the base.
 */
#include "os/unwind.h"

#if defined(__x86_64__) && defined(SLB_OS_LINUX) && defined(__GLIBC__)

#include <dlfcn.h>
#include <string.h>

#endif

#if defined(DLFO_STRUCT_HAS_EH_DBASE)

enum { CFI_BP = 6, CFI_SP = 7, CFI_RETURN_ADDRESS = 16 };

/* Where a register of the caller is. */
enum cfi_where { CFI_SAME, CFI_SAVED, CFI_UNDEFINED, CFI_ELSEWHERE };

struct cfi_row {
    uint64_t base; /* register */
    int64_t offset;
    enum cfi_where bp, return_address;
    int64_t bp_at, return_address_at; /* from the frame's base, where saved */
};

/* ------------------------------------------------------------------------------------------------ reading */

struct cfi_reader {
    const uint8_t *at, *end;
    bool failed;
};

static uint64_t cfi_bytes(struct cfi_reader *reader, uint32_t count) {
    uint64_t value = 0;
    if ((size_t)(reader->end - reader->at) < count) {
        reader->failed = true;
        reader->at = reader->end;
        return 0;
    }
    memcpy(&value, reader->at, count);
    reader->at += count;
    return value;
}

static uint64_t cfi_uleb(struct cfi_reader *reader) {
    uint64_t value = 0, byte = 0x80;
    for (uint32_t shift = 0; (byte & 0x80) != 0 && !reader->failed; shift += 7) {
        byte = cfi_bytes(reader, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
    }
    return value;
}

static int64_t cfi_sleb(struct cfi_reader *reader) {
    const uint8_t *start = reader->at;
    uint64_t value = cfi_uleb(reader);
    uint32_t bits = 7 * (uint32_t)(reader->at - start);
    if (bits > 0 && bits < 64 && (reader->at[-1] & 0x40) != 0)
        value |= ~0ull << bits;
    return (int64_t)value;
}

static void cfi_skip(struct cfi_reader *reader, uint64_t count) {
    if ((uint64_t)(reader->end - reader->at) < count) {
        reader->failed = true;
        count = 0;
    }
    reader->at += count;
}

/* A record of `.eh_frame`, from behind its length to its end; empty where it is none of the usual form. */
static struct cfi_reader cfi_record(const struct dl_find_object *object, const uint8_t *record) {
    struct cfi_reader reader = {.failed = true};
    const uint8_t *limit = object->dlfo_map_end;
    uint32_t length;
    if (record < (const uint8_t *)object->dlfo_map_start || record >= limit || limit - record < 4)
        return reader;
    memcpy(&length, record, sizeof length);
    if (length < 4 || length >= 0xfffffff0u || (uint64_t)(limit - record) - 4 < length)
        return reader;
    return (struct cfi_reader){.at = record + 4, .end = record + 4 + length};
}

/* ------------------------------------------------------------------------------------------------ searching */

#define CFI_HEADER_USUAL                                                                                     \
    0x3b031b01u                /* version 1; .eh_frame pc-relative, count absolute, table header-relative */
#define CFI_POINTER_USUAL 0x1b /* pc-relative, four bytes signed */

/* The FDE of the function that starts last at or before `pc`, or NULL. */
static const uint8_t *find_fde(const struct dl_find_object *object, uintptr_t pc) {
    const uint8_t *header = object->dlfo_eh_frame;
    uint32_t kind, count;
    if (header == NULL)
        return NULL;
    memcpy(&kind, header, sizeof kind);
    memcpy(&count, header + 8, sizeof count);
    if (kind != CFI_HEADER_USUAL || count == 0)
        return NULL;
    int64_t wanted = (int64_t)(pc - (uintptr_t)header);
    const uint8_t *table = header + 12;
    uint32_t low = 0;
    while (count > 1) { /* entry `low` starts at or before `wanted`, or is the first */
        uint32_t half = count / 2;
        int32_t start;
        memcpy(&start, table + 8ull * (low + half), sizeof start);
        low += start <= wanted ? half : 0;
        count = start <= wanted ? count - half : half;
    }
    int32_t entry[2];
    memcpy(entry, table + 8ull * low, sizeof entry);
    return entry[0] <= wanted ? header + entry[1] : NULL;
}

/* ------------------------------------------------------------------------------------------------- running */

struct cfi_program {
    const uint8_t *cie, *cie_end, *fde, *fde_end;
    struct cfi_reader common, own; /* instructions */
    uint64_t code_factor;
    int64_t data_factor;
    uintptr_t start; /* of the function */
};

static bool read_cie(struct cfi_program *program, struct cfi_reader reader) {
    if (cfi_bytes(&reader, 4) != 0)
        return false;
    uint64_t version = cfi_bytes(&reader, 1);
    const char *augmentation = (const char *)reader.at;
    while (cfi_bytes(&reader, 1) != 0 && !reader.failed)
        ;
    program->code_factor = cfi_uleb(&reader);
    program->data_factor = cfi_sleb(&reader);
    uint64_t return_address = version == 1 ? cfi_bytes(&reader, 1) : cfi_uleb(&reader);
    if (reader.failed || (version != 1 && version != 3) || return_address != CFI_RETURN_ADDRESS ||
        augmentation[0] != 'z')
        return false;
    uint64_t length = cfi_uleb(&reader);
    struct cfi_reader data = reader;
    cfi_skip(&reader, length);
    for (const char *letter = augmentation + 1; *letter != 0; letter++) {
        uint64_t encoding = *letter == 'S' ? 0 : cfi_bytes(&data, 1); /* S: a signal's frame */
        if (*letter == 'P')
            cfi_skip(&data, (encoding & 7) == 3 ? 4 : 8);
        else if (*letter != 'L' && (*letter != 'R' || encoding != CFI_POINTER_USUAL))
            return false;
    }
    program->common = reader;
    return !reader.failed && !data.failed;
}

/* The instructions for the function at `pc`; false where it has none of the usual form. */
static bool read_fde(struct cfi_program *program, const struct dl_find_object *object, const uint8_t *fde,
                     uintptr_t pc) {
    struct cfi_reader reader = cfi_record(object, fde);
    const uint8_t *link = reader.at;
    uint64_t distance = cfi_bytes(&reader, 4);
    if (reader.failed || distance > (uint64_t)(link - (const uint8_t *)object->dlfo_map_start))
        return false;
    struct cfi_reader common = cfi_record(object, link - distance);
    program->fde = fde;
    program->fde_end = reader.end;
    program->cie = link - distance;
    program->cie_end = common.end;
    if (common.failed || !read_cie(program, common))
        return false;
    uintptr_t field = (uintptr_t)reader.at;
    program->start = field + (uintptr_t)(int64_t)(int32_t)cfi_bytes(&reader, 4);
    uint64_t size = cfi_bytes(&reader, 4);
    cfi_skip(&reader, cfi_uleb(&reader)); /* where exceptions go */
    program->own = reader;
    return !reader.failed && pc - program->start < size;
}

static void set_rule(struct cfi_row *row, uint64_t name, enum cfi_where where, int64_t at) {
    if (name == CFI_BP) {
        row->bp = where;
        row->bp_at = at;
    } else if (name == CFI_RETURN_ADDRESS) {
        row->return_address = where;
        row->return_address_at = at;
    }
}

static void restore_rule(struct cfi_row *row, const struct cfi_row *first, uint64_t name) {
    if (name == CFI_BP)
        set_rule(row, name, first->bp, first->bp_at);
    else if (name == CFI_RETURN_ADDRESS)
        set_rule(row, name, first->return_address, first->return_address_at);
}

/* An instruction of one byte that says where a register is. false where it is none that this file knows. */
static bool run_rule(struct cfi_reader *code, uint64_t instruction, int64_t factor, struct cfi_row *row,
                     const struct cfi_row *first) {
    uint64_t name = cfi_uleb(code);
    switch (instruction) {
    case 0x05: /* offset_extended */
        set_rule(row, name, CFI_SAVED, (int64_t)cfi_uleb(code) * factor);
        return true;
    case 0x06: /* restore_extended */
        restore_rule(row, first, name);
        return true;
    case 0x07: /* undefined */
        set_rule(row, name, CFI_UNDEFINED, 0);
        return true;
    case 0x08: /* same_value */
        set_rule(row, name, CFI_SAME, 0);
        return true;
    case 0x09: /* register */
    case 0x14: /* val_offset */
        (void)cfi_uleb(code);
        set_rule(row, name, CFI_ELSEWHERE, 0);
        return true;
    case 0x0c: /* def_cfa */
        row->base = name;
        row->offset = (int64_t)cfi_uleb(code);
        return true;
    case 0x0d: /* def_cfa_register */
        row->base = name;
        return true;
    case 0x0e: /* def_cfa_offset */
        row->offset = (int64_t)name;
        return true;
    case 0x10: /* expression */
    case 0x16: /* val_expression */
        cfi_skip(code, cfi_uleb(code));
        set_rule(row, name, CFI_ELSEWHERE, 0);
        return true;
    case 0x11: /* offset_extended_sf */
        set_rule(row, name, CFI_SAVED, cfi_sleb(code) * factor);
        return true;
    case 0x2e: /* GNU_args_size */
        return true;
    default:
        return false;
    }
}

/* Runs one piece of code from *location on, as far as `pc`. */
static bool run_code(const struct cfi_program *program, struct cfi_reader code, uintptr_t *location,
                     uintptr_t pc, struct cfi_row *row, const struct cfi_row *first) {
    struct cfi_row remembered[4];
    uint32_t depth = 0;
    while (code.at < code.end && *location <= pc && !code.failed) {
        uint64_t instruction = cfi_bytes(&code, 1);
        if (instruction >> 6 == 1) { /* advance_loc */
            *location += (instruction & 63) * program->code_factor;
        } else if (instruction >> 6 == 2) { /* offset */
            set_rule(row, instruction & 63, CFI_SAVED, (int64_t)cfi_uleb(&code) * program->data_factor);
        } else if (instruction >> 6 == 3) { /* restore */
            restore_rule(row, first, instruction & 63);
        } else if (instruction >= 0x02 && instruction <= 0x04) { /* advance_loc1, 2, 4 */
            *location += cfi_bytes(&code, 1u << (instruction - 2)) * program->code_factor;
        } else if (instruction == 0x0a && depth < 4) { /* remember_state */
            remembered[depth++] = *row;
        } else if (instruction == 0x0b && depth > 0) { /* restore_state */
            *row = remembered[--depth];
        } else if (instruction != 0 && !run_rule(&code, instruction, program->data_factor, row, first)) {
            return false;
        }
    }
    return !code.failed;
}

/* --------------------------------------------------------------------------------------------------- rules */

/* A row in one word: kind 2 bits, base is rbp 1, rbp is saved 1, offset of the base 30, of rbp below the base 30. */
enum { RULE_UNKNOWN, RULE_STEP, RULE_END };
#define RULE_BY_BP 4u
#define RULE_BP_SAVED 8u
#define RULE_OFFSET 4 /* shift */
#define RULE_BP 34    /* shift */
#define RULE_MOST ((1 << 30) - 1)

static uint64_t rule_of(const struct cfi_row *row) {
    bool by_bp = row->base == CFI_BP;
    if (row->return_address == CFI_UNDEFINED)
        return RULE_END;
    if (row->return_address != CFI_SAVED || row->return_address_at != -8 || row->bp == CFI_ELSEWHERE ||
        (!by_bp && row->base != CFI_SP) || row->offset < 8 || row->offset > RULE_MOST)
        return RULE_UNKNOWN;
    if (row->bp != CFI_SAVED)
        return RULE_STEP | (by_bp ? RULE_BY_BP : 0) | (uint64_t)row->offset << RULE_OFFSET;
    if (row->bp_at > -8 || row->bp_at < -RULE_MOST)
        return RULE_UNKNOWN;
    return RULE_STEP | (by_bp ? RULE_BY_BP : 0) | RULE_BP_SAVED | (uint64_t)row->offset << RULE_OFFSET |
           (uint64_t)-row->bp_at << RULE_BP;
}

/* `pc` is inside the call, not behind it. */
static uint64_t read_rule(struct cfi_program *program, const struct dl_find_object *object, uintptr_t pc) {
    struct cfi_row first = {.base = 0}, row;
    uintptr_t location = pc;
    const uint8_t *fde = find_fde(object, pc);
    if (fde == NULL || !read_fde(program, object, fde, pc) ||
        !run_code(program, program->common, &location, pc, &first, &first) || location != pc)
        return RULE_UNKNOWN;
    row = first;
    location = program->start;
    return run_code(program, program->own, &location, pc, &row, &first) ? rule_of(&row) : RULE_UNKNOWN;
}

/*
 * What was read, by return address. Threads write and read entries without a lock: `check` is a hash of the other
 * words and of the bytes that the rule was read from, so neither a mixture of two entries nor the rule of a library
 * that was unloaded since is ever used.
 */
struct known_rule {
    _Atomic uintptr_t pc;
    _Atomic uint64_t rule;
    _Atomic uintptr_t fde, cie;
    _Atomic uint64_t check;
};

#define KNOWN_SETS 256u
#define KNOWN_WAYS 4u

static struct known_rule known_rules[KNOWN_SETS][KNOWN_WAYS];

static struct known_rule *known_rules_for(uintptr_t pc) {
    return known_rules[(uint64_t)pc * 0x9E3779B97F4A7C15u >> 56];
}

_Static_assert(KNOWN_SETS == 1u << (64 - 56), "the shift chooses among all sets");

static uint64_t rule_mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0xd6e8feb86659fd93u;
    return hash ^ hash >> 32;
}

/* Each word times an odd number of its own: one changed word always changes the sum, and no product waits for
 * another. */
static uint64_t rule_sum_bytes(uint64_t factor, const uint8_t *from, const uint8_t *end) {
    uint64_t sum = 0, part;
    for (; end - from >= 8; from += 8, factor += 0x9E3779B97F4A7C16u) {
        memcpy(&part, from, sizeof part);
        sum += part * factor;
    }
    for (part = 0; from < end; from++)
        part = part << 8 | *from;
    return sum + part * factor;
}

/* Never 0 for an entry of zeros, so an unused entry is none. */
static uint64_t rule_check(uintptr_t pc, uint64_t rule, const uint8_t *fde, const uint8_t *fde_end,
                           const uint8_t *cie, const uint8_t *cie_end) {
    uint64_t hash = rule_mix(rule_mix(rule_mix(0x9E3779B97F4A7C15u, pc), rule), (uintptr_t)fde);
    hash = rule_mix(hash, rule_sum_bytes(0xd6e8feb86659fd93u, fde, fde_end));
    return rule_mix(hash, rule_sum_bytes(0xa0761d6478bd642fu, cie, cie_end));
}

/* RULE_UNKNOWN where the entry is not of this address, or no longer. relaxed: the check decides. */
static uint64_t recall_rule(struct known_rule *known, const struct dl_find_object *object, uintptr_t pc) {
    uint64_t rule = atomic_load_explicit(&known->rule, memory_order_relaxed);
    const uint8_t *fde = (const uint8_t *)atomic_load_explicit(&known->fde, memory_order_relaxed);
    const uint8_t *cie = (const uint8_t *)atomic_load_explicit(&known->cie, memory_order_relaxed);
    struct cfi_reader own = cfi_record(object, fde), common = cfi_record(object, cie);
    if (own.failed || common.failed)
        return RULE_UNKNOWN;
    uint64_t check = rule_check(pc, rule, fde, own.end, cie, common.end);
    return check == atomic_load_explicit(&known->check, memory_order_relaxed) ? rule : RULE_UNKNOWN;
}

/* In the place of an unused entry of the set, or of any. relaxed: as above. */
static void remember_rule(const struct cfi_program *program, uintptr_t pc, uint64_t rule) {
    uint64_t check = rule_check(pc, rule, program->fde, program->fde_end, program->cie, program->cie_end);
    struct known_rule *known = known_rules_for(pc), *entry = &known[check % KNOWN_WAYS];
    for (uint32_t i = 0; i < KNOWN_WAYS; i++) {
        uintptr_t of = atomic_load_explicit(&known[i].pc, memory_order_relaxed);
        if (of == 0 || of == pc) {
            entry = &known[i];
            break;
        }
    }
    atomic_store_explicit(&entry->pc, pc, memory_order_relaxed);
    atomic_store_explicit(&entry->rule, rule, memory_order_relaxed);
    atomic_store_explicit(&entry->fde, (uintptr_t)program->fde, memory_order_relaxed);
    atomic_store_explicit(&entry->cie, (uintptr_t)program->cie, memory_order_relaxed);
    atomic_store_explicit(&entry->check, check, memory_order_relaxed);
}

static uint64_t rule_for(const struct dl_find_object *object, uintptr_t pc) {
    struct known_rule *known = known_rules_for(pc);
    struct cfi_program program;
    uint64_t rule = RULE_UNKNOWN;
    for (uint32_t i = 0; i < KNOWN_WAYS && rule == RULE_UNKNOWN; i++)
        if (atomic_load_explicit(&known[i].pc, memory_order_relaxed) == pc)
            rule = recall_rule(&known[i], object, pc);
    if (slb_unlikely(rule == RULE_UNKNOWN)) {
        rule = read_rule(&program, object, pc - 1);
        if (rule != RULE_UNKNOWN)
            remember_rule(&program, pc, rule);
    }
    return rule;
}

/* ------------------------------------------------------------------------------------------------- walking */

/* glibc 2.35 and newer; takes no lock. */
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

/* A module stays where it is for as long as the stack returns into it. */
static bool unwind_module(struct dl_find_object *object, uintptr_t pc) {
    if (pc >= (uintptr_t)object->dlfo_map_start && pc < (uintptr_t)object->dlfo_map_end)
        return true;
    return _dl_find_object((void *)pc, object) == 0;
}

static uintptr_t unwind_word(uintptr_t address) {
    uintptr_t word;
    memcpy(&word, (const void *)address, sizeof word);
    return word;
}

/* Every frame lies above the one that it called, so the walk ends. */
static bool unwind_step(struct slb_os_registers *frame, uint64_t rule) {
    uintptr_t base = ((rule & RULE_BY_BP) != 0 ? frame->bp : frame->sp) + (rule >> RULE_OFFSET & RULE_MOST);
    if (base <= frame->sp || base % 8 != 0)
        return false;
    if (rule & RULE_BP_SAVED)
        frame->bp = unwind_word(base - (rule >> RULE_BP & RULE_MOST));
    frame->pc = unwind_word(base - 8);
    frame->sp = base;
    return true;
}

SLB_PRIVATE bool slb_os_unwind(const struct slb_os_registers *registers, uintptr_t *out_frames,
                               uint32_t capacity, uint32_t *out_count) {
    struct slb_os_registers frame = *registers;
    struct dl_find_object object = {0};
    uint32_t count = 0;
    if (&_dl_find_object == NULL)
        return false;
    while (count < capacity) {
        if (!unwind_module(&object, frame.pc - 1))
            return false;
        uint64_t rule = rule_for(&object, frame.pc);
        if (rule == RULE_END)
            break;
        if (rule == RULE_UNKNOWN || !unwind_step(&frame, rule))
            return false;
        out_frames[count++] = frame.pc;
    }
    *out_count = count;
    return true;
}

#else

SLB_PRIVATE bool slb_os_unwind(const struct slb_os_registers *registers, uintptr_t *out_frames,
                               uint32_t capacity, uint32_t *out_count) {
    (void)registers, (void)out_frames, (void)capacity, (void)out_count;
    return false;
}

#endif
