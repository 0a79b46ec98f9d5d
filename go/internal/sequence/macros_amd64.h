// SPDX-License-Identifier: GPL-3.0-or-later

// Go's assembly, which clang-format does not know:
// clang-format off

// What the sequences have in common. Registers:
//
//   DI pool    DX id    SI relative reference less its id    R12 words
//   R9 where this thread has its rseq area, behind FS: CPU number at 4, running sequence at 8
//   CX CPU, then its cache    R10 header    R8, R11, R13 scratch
//
// AX and BX are the arguments of functions that Go calls by registers; R14 and X15 are Go's.

// Of a pool in Go: the first part of Slabby, which go/entries_amd64.go compares.
#define HOT_CORE 8
#define HOT_PLAIN 16
#define HOT_WORDS 24
#define HOT_SLABS 32
#define HOT_STRIDE 40
#define HOT_SLAB_BYTES 48
#define HOT_LIVE_BIAS 56
#define HOT_ID_MASK 72
#define HOT_RESERVED 88

// Behind a handle: layout 2 of slabby.h.
#define REF_BIAS 0
#define REF_LIMIT 8
#define REF_END 16
#define ID_MASK 24
#define STEP 32
#define WORDS 40
#define SLABS 48
#define STRIDE 56
#define SLAB_SIZE 64
#define RESERVED 76
#define CACHES 80
#define MAX 88
#define RSEQ_CPUS 92
#define HOT_CPUS 96
#define RELEASE_CPUS 100
#define PROTECT 120
#define GUARD_KEY 136
#define GUARD_SIDES 144

// Both sides of bit_guard are as long as the default alignment makes them: front and back, 64 bytes each.
#define USUAL_SIDES 0x0000004000000040

// Protections that act here.
#define SECURE 1
#define BIT_GUARD 2
#define SAMPLED 64

// Larger slabs are wiped in Go: no goroutine is preempted here.
#define WIPED_HERE 16384

// In a cache.
#define FAST_GIVEN 0
#define HEADER 8
#define FAST_TAKEN 16
#define SAMPLE_AT 24
#define ISSUE 32
#define IDS 40
#define CACHE_SHIFT 11

// A word.
#define LIVE 1
#define LIVE_FAST 2
#define BIASED 8
#define TURNS (3<<5)
#define CPU_SHIFT 52

// The same offset in every thread.
#define AREA MOVQ ·area(SB), R9

// Through FS, in ways that this assembler does not know: MOVL FS:4(R9), CX; MOVQ R8, FS:8(R9); MOVQ AX, FS:8(R9);
// MOVQ $0, FS:8(R9); CMPQ R8, FS:8(R9). An address that is added up first takes two instructions more, and a load.
#define LOAD_CPU BYTE $0x64; BYTE $0x41; BYTE $0x8B; BYTE $0x49; BYTE $0x04
#define ARM BYTE $0x64; BYTE $0x4D; BYTE $0x89; BYTE $0x41; BYTE $0x08
#define ARM_AX BYTE $0x64; BYTE $0x49; BYTE $0x89; BYTE $0x41; BYTE $0x08
#define DISARM BYTE $0x64; BYTE $0x49; BYTE $0xC7; BYTE $0x41; BYTE $0x08; LONG $0
#define COMPARE_ARMED BYTE $0x64; BYTE $0x4D; BYTE $0x3B; BYTE $0x41; BYTE $0x08

#define BEGIN(n, begin) \
	LEAQ ·descriptors+(32*n)(SB), R8; \
	ARM; \
begin:

// Behind a return, where it never runs: descriptors_amd64.go finds the ends of sequence n by these jumps, and
// where the kernel continues, behind the signature that libc registered.
#define ABORT(n, begin, end) \
	MARK(1, n); \
	JMP  begin; \
	JMP  end; \
	BYTE $0x0F; BYTE $0xB9; BYTE $0x3D; LONG $0x53053053

// A no-op of seven bytes whose operand names it.
#define MARK(kind, n) \
	BYTE $0x0F; BYTE $0x1F; BYTE $0x80; LONG $(0x5EC00000+256*kind+n)

#define FINISH MARK(2, 0)

// Continues in a function of Go's, as if the caller had called it in place of this one.
#define GO_ON(n) \
	MOVQ ·asides+(8*n)(SB), R8; \
	JMP  R8

// This CPU's cache into CX, its header into R10.
#define CACHE(limit, refused) \
	LOAD_CPU; \
	CMPL CX, limit(DI); \
	JCC  refused; \
	SHLQ $CACHE_SHIFT, CX; \
	ADDQ CACHES(DI), CX; \
	MOVQ HEADER(CX), R10

// What ends a sequence: one store.
#define COMMIT_TAKEN \
	ADDQ $0xFFFF, R10; \
	MOVQ R10, HEADER(CX)
#define COMMIT_GIVEN \
	ADDQ $1, R10; \
	MOVQ R10, HEADER(CX)

// A use by id is counted ahead of that store. The count sets the carry and no sign, and R8 is an index then: see
// core/src/tiers/rseq_by_id_x86_64.h.
#define COUNT(field) SUBQ $-1, field(CX)
#define COMMIT_TAKEN_FAST \
	ADDQ $0xFFFF, R10; \
	COUNT(FAST_TAKEN); \
	MOVQ R10, HEADER(CX)
#define COMMIT_GIVEN_FAST \
	ADDQ $1, R10; \
	COUNT(FAST_GIVEN); \
	MOVQ R10, HEADER(CX)

// Where the kernel continues after a sequence that counts: a use that was counted goes to one of Go's functions, which
// has the core take the count back. Other CPUs' caches are not for a sequence here, and neither is this CPU's: its
// count could fall below 0, where the next one leaves no carry.
#define UNCOUNT(aside, counted) \
	JCC  aside; \
	JMI  aside; \
	CMPQ R8, $0xFFFF; \
	JHI  aside; \
	GO_ON(counted)

// One id off the stack into DX; not where its turn is to be timed.
#define POP(n, limit, refused, commit, begin, end) \
	BEGIN(n, begin); \
	CACHE(limit, refused); \
	CMPL R10, SAMPLE_AT(CX); \
	JPL  refused; \
	MOVWLSX R10, R8; \
	SUBL $1, R8; \
	JMI  refused; \
	MOVL IDS(CX)(R8*4), DX; \
	commit; \
end:

// The id in DX onto the stack.
#define PUSH(n, refused, commit, begin, end) \
	BEGIN(n, begin); \
	CACHE(RSEQ_CPUS, refused); \
	MOVWLZX R10, R8; \
	CMPL R8, MAX(DI); \
	JCC  refused; \
	MOVL DX, IDS(CX)(R8*4); \
	commit; \
end:

// Splits the reference in SI into id and the rest, and finds the words. There is a word for each id, also of no slab.
#define SPLIT \
	SUBQ REF_BIAS(DI), SI; \
	MOVQ ID_MASK(DI), DX; \
	ANDQ SI, DX; \
	SUBQ DX, SI; \
	MOVQ WORDS(DI), R12

// A plain word, as SPLIT has found it, may be swapped if its slab is one of the pool itself, not of the heap, and its
// reference is below the limit.
#define SWAPPABLE(limit, refused) \
	CMPQ SI, limit(DI); \
	JCC  refused; \
	CMPL DX, RESERVED(DI); \
	JCC  refused

// PREFETCHW (R12)(DX*8), which this assembler does not know: requests the line of the word for writing, ahead of
// reading the word. A CPU that releases what another one has allocated would else request the line twice.
#define REQUEST \
	BYTE $0x41; BYTE $0x0F; BYTE $0x0D; BYTE $0x0C; BYTE $0xD4

// The word from {SI, live, biased to this CPU} to R11, where SI is below the limit. Neither id nor CPU needs a check:
// no other word is biased (docs/fast-path.md).
#define UNBIAS(n, limit, state, unbiased, begin, end) \
	BEGIN(n, begin); \
	CMPQ SI, limit(DI); \
	JCC  unbiased; \
	REQUEST; \
	LOAD_CPU; \
	SHLQ $CPU_SHIFT, CX; \
	LEAQ (state+BIASED)(CX)(SI*1), CX; \
	CMPQ CX, (R12)(DX*8); \
	JNE  unbiased; \
	MOVQ R11, (R12)(DX*8); \
end:

// The word from {SI, live}, which no CPU has, to R11.
#define SWAP_PLAIN(refused) \
	MOVQ AX, R13; \
	LEAQ LIVE(SI), AX; \
	LOCK; \
	CMPXCHGQ R11, (R12)(DX*8); \
	MOVQ R13, AX; \
	JNE  refused

// The seeds of both sides of the slab in DX, whose word less the state is in SI: X0 in front, X1 behind; where they
// lie: R12, R13. X3 is what from one pair of pattern words to the next is added (core/src/protect/bit_guard.h).
#define PATTERNS \
	MOVQ DX, R13; \
	IMULQ STRIDE(DI), R13; \
	ADDQ SLABS(DI), R13; \
	LEAQ -64(R13), R12; \
	ADDQ SLAB_SIZE(DI), R13; \
	LEAQ (SI)(DX*1), R8; \
	ADDQ GUARD_KEY(DI), R8; \
	MOVQ R8, CX; \
	SHRQ $30, CX; \
	XORQ CX, R8; \
	MOVQ $0xBF58476D1CE4E5B9, CX; \
	IMULQ CX, R8; \
	MOVQ R8, CX; \
	SHRQ $27, CX; \
	XORQ CX, R8; \
	MOVQ $0x94D049BB133111EB, CX; \
	IMULQ CX, R8; \
	MOVQ R8, CX; \
	SHRQ $31, CX; \
	XORQ CX, R8; \
	MOVQ R8, X0; \
	PUNPCKLQDQ X0, X0; \
	PADDQ ·patternSteps+0(SB), X0; \
	MOVOU ·patternSteps+16(SB), X3

// Begins the side behind: 64 words further on.
#define BEHIND PADDQ ·patternSteps+32(SB), X0

#define WRITE_SIDE(at) \
	MOVOU X0, (at); \
	PADDQ X3, X0; \
	MOVOU X0, 16(at); \
	PADDQ X3, X0; \
	MOVOU X0, 32(at); \
	PADDQ X3, X0; \
	MOVOU X0, 48(at)

// What differs, into X2.
#define COMPARE_SIDE(at) \
	MOVOU (at), X4; \
	PXOR X0, X4; \
	POR  X4, X2; \
	PADDQ X3, X0; \
	MOVOU 16(at), X4; \
	PXOR X0, X4; \
	POR  X4, X2; \
	PADDQ X3, X0; \
	MOVOU 32(at), X4; \
	PXOR X0, X4; \
	POR  X4, X2; \
	PADDQ X3, X0; \
	MOVOU 48(at), X4; \
	PXOR X0, X4; \
	POR  X4, X2
