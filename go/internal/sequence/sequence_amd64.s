// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

#include "textflag.h"

// The sequences of core/src/tiers/rseq_x86_64.h, over the same caches and words. Registers:
//
//   DI pool    DX id    SI relative reference less its id    BX entry of the word
//   R9 rseq area of this thread: CPU number at 4, running sequence at 8
//   CX CPU, then its cache    R10 header    AX, R8, R11, R12, R13 scratch

// Behind a handle: layout 1 of slabby.h.
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
#define EXPECTS_PLAIN 104
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
#define PLAIN_MET 1072
#define CACHE_SHIFT 11

// A word.
#define LIVE 1
#define LIVE_FAST 2
#define BIASED 8
#define CPU_SHIFT 52

#define AREA \
	MOVQ 0(FS), R9; \
	ADDQ ·area(SB), R9

#define BEGIN(n, begin) \
	LEAQ ·descriptors+(32*n)(SB), AX; \
	MOVQ AX, 8(R9); \
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

// This CPU's cache into CX, its header into R10.
#define CACHE(limit, refused) \
	MOVL 4(R9), CX; \
	CMPL CX, limit(DI); \
	JCC  refused; \
	SHLQ $CACHE_SHIFT, CX; \
	ADDQ CACHES(DI), CX; \
	MOVQ HEADER(CX), R10

// What ends a sequence: one store. A use by id is counted by the same one, of 16 bytes.
#define COMMIT MOVQ R10, HEADER(CX)
#define COMMIT_TAKEN \
	MOVQ FAST_TAKEN(CX), AX; \
	ADDQ $1, AX; \
	MOVQ R10, X0; \
	MOVQ AX, X1; \
	PUNPCKLQDQ X1, X0; \
	MOVOU X0, HEADER(CX)
#define COMMIT_GIVEN \
	MOVQ FAST_GIVEN(CX), AX; \
	ADDQ $1, AX; \
	MOVQ AX, X0; \
	MOVQ R10, X1; \
	PUNPCKLQDQ X1, X0; \
	MOVOU X0, FAST_GIVEN(CX)

// One id off the stack into DX; not where its turn is to be timed.
#define POP(n, limit, refused, commit, begin, end) \
	BEGIN(n, begin); \
	CACHE(limit, refused); \
	MOVL R10, DX; \
	SHRL $16, DX; \
	CMPW DX, SAMPLE_AT(CX); \
	JEQ  refused; \
	MOVWLZX R10, AX; \
	SUBL $1, AX; \
	CMPL AX, MAX(DI); \
	JCC  refused; \
	MOVL IDS(CX)(AX*4), DX; \
	ADDQ $0xFFFF, R10; \
	commit; \
end:

// The id in DX onto the stack.
#define PUSH(n, refused, commit, begin, end) \
	BEGIN(n, begin); \
	CACHE(RSEQ_CPUS, refused); \
	MOVWLZX R10, AX; \
	CMPL AX, MAX(DI); \
	JCC  refused; \
	MOVL DX, IDS(CX)(AX*4); \
	ADDQ $1, R10; \
	commit; \
end:

// Splits the reference in SI into id and the rest, and finds its word.
#define SPLIT(limit, refused) \
	SUBQ REF_BIAS(DI), SI; \
	CMPQ SI, limit(DI); \
	JCC  refused; \
	MOVQ ID_MASK(DI), DX; \
	ANDQ SI, DX; \
	MOVL RESERVED(DI), AX; \
	CMPQ DX, AX; \
	JCC  refused; \
	SUBQ DX, SI; \
	MOVQ WORDS(DI), BX; \
	LEAQ (BX)(DX*8), BX

// The word from {SI, live, biased to this CPU} to R11. A CPU that expects a plain word does not read it.
#define UNBIAS(n, limit, state, aside, unbiased, begin, end) \
	BEGIN(n, begin); \
	MOVL 4(R9), CX; \
	CMPL CX, limit(DI); \
	JCC  aside; \
	MOVQ EXPECTS_PLAIN(DI), AX; \
	BTQ  CX, AX; \
	JCS  aside; \
	SHLQ $CPU_SHIFT, CX; \
	LEAQ (state+BIASED)(CX)(SI*1), AX; \
	CMPQ AX, (BX); \
	JNE  unbiased; \
	MOVQ R11, (BX); \
end:

// A word that is not biased to this CPU was met; after eight in a row this CPU expects plain ones. A hint: a count
// that is lost makes it come one release later.
#define NOTE_PLAIN(done) \
	MOVL 4(R9), CX; \
	CMPL CX, RSEQ_CPUS(DI); \
	JCC  done; \
	MOVQ CX, R8; \
	SHLQ $CACHE_SHIFT, CX; \
	ADDQ CACHES(DI), CX; \
	MOVL PLAIN_MET(CX), AX; \
	ADDL $1, AX; \
	MOVL AX, R12; \
	ANDL $7, R12; \
	MOVL R12, PLAIN_MET(CX); \
	CMPL AX, $8; \
	JNE  done; \
	XCHGQ R8, CX; \
	ANDL $63, CX; \
	MOVL $1, AX; \
	SHLQ CX, AX; \
	LOCK; \
	ORQ  AX, EXPECTS_PLAIN(DI)

// The seeds of both sides of the slab in DX, whose word less the state is in SI: X0 in front, X1 behind; where they
// lie: R12, R13. X3 is what from one pair of pattern words to the next is added (core/src/protect/bit_guard.h).
#define PATTERNS \
	MOVQ DX, R13; \
	IMULQ STRIDE(DI), R13; \
	ADDQ SLABS(DI), R13; \
	LEAQ -64(R13), R12; \
	ADDQ SLAB_SIZE(DI), R13; \
	LEAQ (SI)(DX*1), AX; \
	ADDQ GUARD_KEY(DI), AX; \
	MOVQ AX, CX; \
	SHRQ $30, CX; \
	XORQ CX, AX; \
	MOVQ $0xBF58476D1CE4E5B9, CX; \
	IMULQ CX, AX; \
	MOVQ AX, CX; \
	SHRQ $27, CX; \
	XORQ CX, AX; \
	MOVQ $0x94D049BB133111EB, CX; \
	IMULQ CX, AX; \
	MOVQ AX, CX; \
	SHRQ $31, CX; \
	XORQ CX, AX; \
	MOVQ AX, X0; \
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

// Pairs of multiples of SLB_PATTERN_STEP: {0, 1}, {2, 2}, and what is behind 3 pairs up to word 64, {58, 58}.
DATA ·patternSteps+0(SB)/8, $0
DATA ·patternSteps+8(SB)/8, $0x9E3779B97F4A7C15
DATA ·patternSteps+16(SB)/8, $0x3c6ef372fe94f82a
DATA ·patternSteps+24(SB)/8, $0x3c6ef372fe94f82a
DATA ·patternSteps+32(SB)/8, $0xd8919406d6e01cc2
DATA ·patternSteps+40(SB)/8, $0xd8919406d6e01cc2
GLOBL ·patternSteps(SB), RODATA|NOPTR, $48

// Whether this machine has registers of 32 bytes, and the system keeps them.
// func hasWide() bool
TEXT ·hasWide(SB), NOSPLIT, $0-1
	MOVB $0, ret+0(FP)
	MOVL $1, AX
	XORL CX, CX
	CPUID
	ANDL $0x18000000, CX
	CMPL CX, $0x18000000
	JNE  done
	XORL CX, CX
	XGETBV
	ANDL $6, AX
	CMPL AX, $6
	JNE  done
	MOVB $1, ret+0(FP)
done:
	RET

// func take(pool unsafe.Pointer) (ref uint64)
TEXT ·take(SB), NOSPLIT, $0-16
	MOVQ pool+0(FP), DI
	AREA
	POP(0, HOT_CPUS, refused, COMMIT, begin0, end0)
	MOVQ WORDS(DI), BX
	MOVQ (BX)(DX*8), AX
	MOVQ ISSUE(CX), R11
	ORQ  AX, R11
	ORQ  $LIVE, R11
	MOVQ R11, (BX)(DX*8)
	ADDQ DX, AX
	ADDQ REF_BIAS(DI), AX
	MOVQ AX, ref+8(FP)
	RET
	ABORT(0, begin0, end0)
refused:
	MOVQ $0, ref+8(FP)
	RET
	FINISH

// func takeGuarded(pool unsafe.Pointer) (ref uint64)
TEXT ·takeGuarded(SB), NOSPLIT, $0-16
	MOVQ pool+0(FP), DI
	MOVQ $USUAL_SIDES, AX
	CMPQ AX, GUARD_SIDES(DI)
	JNE  refused
	AREA
	POP(1, RSEQ_CPUS, refused, COMMIT, begin1, end1)
	MOVQ ISSUE(CX), R11
	MOVQ WORDS(DI), BX
	MOVQ (BX)(DX*8), SI
	PATTERNS
	WRITE_SIDE(R12)
	BEHIND
	WRITE_SIDE(R13)
	ORQ  SI, R11
	ORQ  $LIVE, R11
	MOVQ R11, (BX)(DX*8)
	ADDQ DX, SI
	ADDQ REF_BIAS(DI), SI
	MOVQ SI, ref+8(FP)
	RET
	ABORT(1, begin1, end1)
refused:
	MOVQ $0, ref+8(FP)
	RET
	FINISH

// func takeFast(pool unsafe.Pointer) (id uint64)
TEXT ·takeFast(SB), NOSPLIT, $0-16
	MOVQ pool+0(FP), DI
	AREA
	POP(2, HOT_CPUS, refused, COMMIT_TAKEN, begin2, end2)
	MOVQ WORDS(DI), BX
	MOVQ (BX)(DX*8), AX
	ORQ  ISSUE(CX), AX
	ORQ  $LIVE_FAST, AX
	MOVQ AX, (BX)(DX*8)
	MOVQ DX, id+8(FP)
	RET
	ABORT(2, begin2, end2)
refused:
	MOVQ $-1, id+8(FP)
	RET
	FINISH

// func release(pool unsafe.Pointer, ref uint64) (outcome uint64)
TEXT ·release(SB), NOSPLIT, $0-24
	MOVQ pool+0(FP), DI
	MOVQ ref+8(FP), SI
	SPLIT(REF_LIMIT, refused)
	MOVQ STEP(DI), R11
	ADDQ SI, R11
	AREA
	UNBIAS(4, RELEASE_CPUS, LIVE, plain, unbiased, begin4, end4)
give:
	PUSH(5, freed, COMMIT, begin5, end5)
	MOVQ $0, outcome+16(FP)
	RET
	ABORT(5, begin5, end5)
freed:
	MOVQ $2, outcome+16(FP)
	RET
unbiased:
	NOTE_PLAIN(plain)
	JMP  plain
	ABORT(4, begin4, end4)
plain:
	LEAQ LIVE(SI), AX
	LOCK
	CMPXCHGQ R11, (BX)
	JNE  refused
	// Behind the swap: the thread that switches a protection on looks at the words next.
	CMPL PROTECT(DI), $0
	JEQ  give
	JMP  freed
refused:
	MOVQ $1, outcome+16(FP)
	RET
	FINISH

// func releaseProtected(pool unsafe.Pointer, ref uint64) (outcome uint64)
TEXT ·releaseProtected(SB), NOSPLIT, $0-24
	MOVQ pool+0(FP), DI
	MOVQ ref+8(FP), SI
	SPLIT(REF_END, refused)
	MOVQ STEP(DI), R11
	ADDQ SI, R11
	AREA
	UNBIAS(6, RSEQ_CPUS, LIVE, plain, unbiased, begin6, end6)
free:
	// Behind the free word: the thread that switches a protection on looks at the words next.
	MOVL PROTECT(DI), R11
	TESTL $~(SECURE+BIT_GUARD+SAMPLED), R11
	JNE  freed
	TESTL $BIT_GUARD, R11
	JEQ  held
	MOVQ $USUAL_SIDES, AX
	CMPQ AX, GUARD_SIDES(DI)
	JNE  freed
	PATTERNS
	PXOR X2, X2
	COMPARE_SIDE(R12)
	BEHIND
	COMPARE_SIDE(R13)
	PXOR X4, X4
	PCMPEQB X4, X2
	PMOVMSKB X2, AX
	CMPL AX, $0xFFFF
	JNE  freed
held:
	TESTL $SECURE, R11
	JEQ  give
	MOVQ SLAB_SIZE(DI), R12
	CMPQ R12, $WIPED_HERE
	JHI  wipe
	CMPB ·wide(SB), $0
	JEQ  wipe
	MOVQ DX, R8
	IMULQ STRIDE(DI), R8
	ADDQ SLABS(DI), R8
	CMPQ R12, $32
	JCS  bytes
	VPXOR X0, X0, X0
	LEAQ -32(R8)(R12*1), R13
	SUBQ $128, R12
	JCS  rest
lines:
	VMOVDQU Y0, (R8)
	VMOVDQU Y0, 32(R8)
	VMOVDQU Y0, 64(R8)
	VMOVDQU Y0, 96(R8)
	ADDQ $128, R8
	SUBQ $128, R12
	JCC  lines
rest:
	CMPQ R8, R13
	JCC  last
	VMOVDQU Y0, (R8)
	ADDQ $32, R8
	JMP  rest
last:
	VMOVDQU Y0, (R13)
	VZEROUPPER
give:
	PUSH(12, freed, COMMIT, begin12, end12)
	MOVQ $0, outcome+16(FP)
	RET
	ABORT(12, begin12, end12)
freed:
	MOVQ $2, outcome+16(FP)
	RET
bytes:
	MOVB $0, (R8)
	ADDQ $1, R8
	SUBQ $1, R12
	JNE  bytes
	JMP  give
wipe:
	MOVQ $3, outcome+16(FP)
	RET
unbiased:
	NOTE_PLAIN(plain)
	JMP  plain
	ABORT(6, begin6, end6)
plain:
	LEAQ LIVE(SI), AX
	LOCK
	CMPXCHGQ R11, (BX)
	JEQ  free
refused:
	MOVQ $1, outcome+16(FP)
	RET
	FINISH

// func releaseFast(pool unsafe.Pointer, id uint64) (outcome uint64)
TEXT ·releaseFast(SB), NOSPLIT, $0-24
	MOVQ pool+0(FP), DI
	MOVQ id+8(FP), DX
	MOVL RESERVED(DI), AX
	CMPQ DX, AX
	JCC  refused
	MOVQ WORDS(DI), BX
	LEAQ (BX)(DX*8), BX
	AREA
	BEGIN(7, begin7)
	MOVL 4(R9), CX
	CMPL CX, RELEASE_CPUS(DI)
	JCC  plain
	MOVQ (BX), SI
	MOVL SI, AX
	ANDL $31, AX
	CMPL AX, $(LIVE_FAST+BIASED)
	JNE  plain
	MOVQ SI, AX
	SHRQ $CPU_SHIFT, AX
	CMPL AX, CX
	JNE  plain
	SHLQ $12, SI
	SHRQ $12, SI
	SUBQ $(LIVE_FAST+BIASED), SI
	CMPQ SI, REF_LIMIT(DI)
	JCC  refused
	ADDQ STEP(DI), SI
	MOVQ SI, (BX)
end7:
give:
	PUSH(3, freed, COMMIT_GIVEN, begin3, end3)
	MOVQ $0, outcome+16(FP)
	RET
	ABORT(3, begin3, end3)
freed:
	MOVQ $2, outcome+16(FP)
	RET
	ABORT(7, begin7, end7)
plain:
	MOVQ (BX), AX
	MOVL AX, R8
	ANDL $31, R8
	CMPL R8, $LIVE_FAST
	JNE  refused
	LEAQ -LIVE_FAST(AX), R11
	CMPQ R11, REF_LIMIT(DI)
	JCC  refused
	ADDQ STEP(DI), R11
	LOCK
	CMPXCHGQ R11, (BX)
	JNE  refused
	CMPL PROTECT(DI), $0
	JEQ  give
	JMP  freed
refused:
	MOVQ $1, outcome+16(FP)
	RET
	FINISH

// func give(pool unsafe.Pointer, id uint64) (given bool)
TEXT ·give(SB), NOSPLIT, $0-17
	MOVQ pool+0(FP), DI
	MOVQ id+8(FP), DX
	AREA
	PUSH(8, refused, COMMIT, begin8, end8)
	MOVB $1, given+16(FP)
	RET
	ABORT(8, begin8, end8)
refused:
	MOVB $0, given+16(FP)
	RET
	FINISH

// The ids go through an array of the caller: what is refused or restarted leaves refs as they were.
// func takeBatch(pool unsafe.Pointer, refs *uint64, stride uint64, ids *uint32, count uint64) (issue uint64, taken bool)
TEXT ·takeBatch(SB), NOSPLIT, $0-49
	MOVQ pool+0(FP), DI
	MOVQ ids+24(FP), R11
	MOVQ count+32(FP), R12
	AREA
	BEGIN(9, begin9)
	CACHE(HOT_CPUS, refused)
	MOVWLZX R10, AX
	CMPL AX, MAX(DI)
	JHI  refused
	SUBL R12, AX
	JCS  refused
	LEAQ IDS(CX)(AX*4), R13
	XORL AX, AX
copy:
	MOVL (R13)(AX*4), SI
	MOVL SI, (R11)(AX*4)
	ADDQ $1, AX
	CMPQ AX, R12
	JCS  copy
	// A sampling point that is stepped over is the next allocation's.
	MOVL R10, AX
	SHRL $16, AX
	MOVW SAMPLE_AT(CX), SI
	SUBL AX, SI
	MOVWLZX SI, SI
	ADDL R12, AX
	CMPL SI, R12
	JCC  commit
	MOVW AX, SAMPLE_AT(CX)
commit:
	IMUL3Q $0xFFFF, R12, AX
	ADDQ AX, R10
	MOVQ R10, HEADER(CX)
end9:
	MOVQ ISSUE(CX), R13
	MOVQ R13, issue+40(FP)
	MOVB $1, taken+48(FP)
	ORQ  $LIVE, R13
	MOVQ WORDS(DI), BX
	MOVQ REF_BIAS(DI), R10
	MOVQ refs+8(FP), R8
	MOVQ stride+16(FP), CX
	XORL AX, AX
issued:
	MOVL (R11)(AX*4), DX
	MOVQ (BX)(DX*8), SI
	LEAQ (R10)(DX*1), R9
	ADDQ SI, R9
	ORQ  R13, SI
	MOVQ SI, (BX)(DX*8)
	MOVQ R9, (R8)
	ADDQ CX, R8
	ADDQ $1, AX
	CMPQ AX, R12
	JCS  issued
	RET
	ABORT(9, begin9, end9)
refused:
	MOVQ $0, issue+40(FP)
	MOVB $0, taken+48(FP)
	RET
	FINISH

// func freeBatch(pool unsafe.Pointer, refs *uint64, stride uint64, ids *uint32, count uint64) (freed uint64)
TEXT ·freeBatch(SB), NOSPLIT, $0-48
	MOVQ pool+0(FP), DI
	MOVQ refs+8(FP), R10
	XORL R13, R13
	AREA
next:
	CMPQ R13, count+32(FP)
	JCC  refused
	MOVQ (R10), SI
	ADDQ stride+16(FP), R10
	SPLIT(REF_LIMIT, refused)
	MOVQ STEP(DI), R11
	ADDQ SI, R11
	UNBIAS(10, RELEASE_CPUS, LIVE, plain, unbiased, begin10, end10)
freed:
	MOVQ ids+24(FP), AX
	MOVL DX, (AX)(R13*4)
	ADDQ $1, R13
	JMP  next
unbiased:
	NOTE_PLAIN(plain)
	JMP  plain
	ABORT(10, begin10, end10)
plain:
	LEAQ LIVE(SI), AX
	LOCK
	CMPXCHGQ R11, (BX)
	JEQ  freed
refused:
	MOVQ R13, freed+40(FP)
	RET
	FINISH

// func giveBatch(pool unsafe.Pointer, ids *uint32, count uint64) (given bool)
TEXT ·giveBatch(SB), NOSPLIT, $0-25
	MOVQ pool+0(FP), DI
	MOVQ ids+8(FP), R11
	MOVQ count+16(FP), R12
	AREA
	BEGIN(11, begin11)
	CACHE(RSEQ_CPUS, refused)
	MOVWLZX R10, AX
	LEAQ (AX)(R12*1), SI
	MOVL MAX(DI), R13
	CMPQ SI, R13
	JHI  refused
	LEAQ IDS(CX)(AX*4), R13
	XORL AX, AX
copy:
	MOVL (R11)(AX*4), SI
	MOVL SI, (R13)(AX*4)
	ADDQ $1, AX
	CMPQ AX, R12
	JCS  copy
	ADDQ R12, R10
	MOVQ R10, HEADER(CX)
end11:
	MOVB $1, given+24(FP)
	RET
	ABORT(11, begin11, end11)
refused:
	MOVB $0, given+24(FP)
	RET
	FINISH

// The functions above that hold sequences.
DATA ·functions+0(SB)/8, $·take(SB)
DATA ·functions+8(SB)/8, $·takeGuarded(SB)
DATA ·functions+16(SB)/8, $·takeFast(SB)
DATA ·functions+24(SB)/8, $·release(SB)
DATA ·functions+32(SB)/8, $·releaseProtected(SB)
DATA ·functions+40(SB)/8, $·releaseFast(SB)
DATA ·functions+48(SB)/8, $·give(SB)
DATA ·functions+56(SB)/8, $·takeBatch(SB)
DATA ·functions+64(SB)/8, $·freeBatch(SB)
DATA ·functions+72(SB)/8, $·giveBatch(SB)
GLOBL ·functions(SB), RODATA|NOPTR, $80
