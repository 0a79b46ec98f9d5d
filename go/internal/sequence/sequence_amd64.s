// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

#include "textflag.h"
#include "macros_amd64.h"

// The sequences of core/src/tiers/rseq_x86_64.h, over the same caches and words, one slab a call. Go calls these
// functions through a func value, so arguments and results are in registers as between Go's own functions: entries.go
// has the signatures, and whether this version of Go keeps to that is tried when the package is loaded. What a function
// cannot do it leaves to one of Go's, whose arguments are its own (GO_ON).

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

// Results in the order of the arguments, and what Go expects of R14 and X15 in place of an error.
// func probe(in pair, number uint32) (slice []byte, number int32, bad pair)
TEXT ·probe(SB), NOSPLIT|NOFRAME, $0-0
	MOVL CX, DI
	MOVQ BX, CX
	MOVQ X15, SI
	PEXTRQ $1, X15, R8
	ORQ  R8, SI
	MOVQ (TLS), R8
	SUBQ R14, R8
	RET

// The slab in DX is issued, and its reference the answer, in BX.
#define ISSUE_BARE \
	MOVQ WORDS(DI), R12; \
	MOVQ REF_BIAS(DI), R8; \
	MOVQ (R12)(DX*8), BX; \
	MOVQ ISSUE(CX), R11; \
	LEAQ LIVE(R11)(BX*1), R11; \
	MOVQ R11, (R12)(DX*8); \
	ADDQ DX, R8; \
	ADDQ R8, BX

// A slab from this CPU's cache; `bare` and `guarded` are numbers of sequences.
#define ALLOCATE(bare, guarded) \
	TESTQ AX, AX; \
	JEQ  aside; \
	MOVQ HOT_PLAIN(AX), DI; \
	TESTQ DI, DI; \
	JEQ  protected; \
plain: \
	AREA; \
	POP(bare, HOT_CPUS, aside, COMMIT_TAKEN, beginBare, endBare); \
	ISSUE_BARE; \
	XORL CX, CX; \
	XORL DI, DI; \
	RET; \
	ABORT(bare, beginBare, endBare); \
	JMP  aside; \
protected: \
	MOVQ HOT_CORE(AX), DI; \
	TESTQ DI, DI; \
	JEQ  aside; \
	MOVL PROTECT(DI), R8; \
	TESTL $BIT_GUARD, R8; \
	JEQ  plain; \
	TESTL $~(SECURE+BIT_GUARD+SAMPLED), R8; \
	JNE  aside; \
	MOVQ $USUAL_SIDES, R8; \
	CMPQ R8, GUARD_SIDES(DI); \
	JNE  aside; \
	AREA; \
	POP(guarded, RSEQ_CPUS, aside, COMMIT_TAKEN, beginGuarded, endGuarded); \
	MOVQ ISSUE(CX), R11; \
	MOVQ WORDS(DI), BX; \
	MOVQ (BX)(DX*8), SI; \
	PATTERNS; \
	WRITE_SIDE(R12); \
	BEHIND; \
	WRITE_SIDE(R13); \
	ORQ  SI, R11; \
	ORQ  $LIVE, R11; \
	MOVQ R11, (BX)(DX*8); \
	LEAQ (SI)(DX*1), BX; \
	ADDQ REF_BIAS(DI), BX; \
	XORL CX, CX; \
	XORL DI, DI; \
	RET; \
	ABORT(guarded, beginGuarded, endGuarded)

// func allocate(pool AX) (hot AX, ref BX, err CX:DI)
TEXT ·allocate(SB), NOSPLIT|NOFRAME, $0-0
	ALLOCATE(0, 1)
aside:
	GO_ON(0)
	FINISH

// func attempt(pool AX) (hot AX, ref BX): the zero reference where the core has to serve.
TEXT ·attempt(SB), NOSPLIT|NOFRAME, $0-0
	ALLOCATE(13, 14)
aside:
	XORL AX, AX
	XORL BX, BX
	RET
	FINISH

// func allocateFast(pool AX) (slice AX BX CX, id DI, err SI:R8)
TEXT ·allocateFast(SB), NOSPLIT|NOFRAME, $0-0
	PCALIGN $64 // of this and of what follows: a pair by id takes a twentieth less
	TESTQ AX, AX
	JEQ  aside
	MOVQ HOT_CORE(AX), DI
	TESTQ DI, DI
	JEQ  aside
	AREA
	POP(2, HOT_CPUS, aside, COMMIT_TAKEN_FAST, begin2, end2)
	MOVQ WORDS(DI), R12
	MOVQ ISSUE(CX), R11
	ADDQ $LIVE_FAST, R11
	ADDQ R11, (R12)(DX*8)
	MOVQ STRIDE(DI), AX
	IMULQ DX, AX
	ADDQ SLABS(DI), AX
	MOVQ SLAB_SIZE(DI), BX
	MOVQ BX, CX
	MOVL DX, DI
	XORL SI, SI
	XORL R8, R8
	RET
	ABORT(2, begin2, end2)
	UNCOUNT(aside, 8)
aside:
	GO_ON(1)
	FINISH

// func getBytes(hot AX, ref BX) (slice AX BX CX)
TEXT ·getBytes(SB), NOSPLIT|NOFRAME, $0-0
	TESTQ AX, AX
	JEQ  aside
	MOVQ HOT_ID_MASK(AX), DX
	ANDQ BX, DX
	CMPQ DX, HOT_RESERVED(AX)
	JCC  aside
	MOVQ HOT_WORDS(AX), DI
	MOVQ $((1<<CPU_SHIFT)-1-BIASED-TURNS), R8
	ANDQ (DI)(DX*8), R8
	ADDQ DX, R8
	ADDQ HOT_LIVE_BIAS(AX), R8
	CMPQ R8, BX
	JNE  aside
	IMULQ HOT_STRIDE(AX), DX
	MOVQ HOT_SLAB_BYTES(AX), BX
	MOVQ BX, CX
	MOVQ HOT_SLABS(AX), AX
	ADDQ DX, AX
	RET
aside:
	GO_ON(2)
	FINISH

// func release(hot AX, ref BX) (err AX:BX)
TEXT ·release(SB), NOSPLIT|NOFRAME, $0-0
	TESTQ AX, AX
	JEQ  refused
	MOVQ HOT_PLAIN(AX), DI
	TESTQ DI, DI
	JEQ  protected
	MOVQ BX, SI
	SPLIT
	MOVQ STEP(DI), R11
	ADDQ SI, R11
	AREA
	UNBIAS(4, REF_LIMIT, LIVE, plain, begin4, end4)
give:
	PUSH(5, freed, COMMIT_GIVEN, begin5, end5)
	XORL AX, AX
	XORL BX, BX
	RET
	ABORT(5, begin5, end5)
freed:
	GO_ON(4)
	ABORT(4, begin4, end4)
plain:
	SWAPPABLE(REF_LIMIT, refused)
	SWAP_PLAIN(refused)
	// Behind the swap: the thread that switches a protection on looks at the words next.
	CMPL PROTECT(DI), $0
	JEQ  give
	JMP  freed
protected:
	MOVQ HOT_CORE(AX), DI
	TESTQ DI, DI
	JEQ  refused
	JMP  ·releaseProtected(SB)
refused:
	GO_ON(3)
	FINISH

// The same in a pool that may have secure, bit_guard, or both, which DI has.
TEXT ·releaseProtected(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ BX, SI
	SPLIT
	MOVQ STEP(DI), R11
	ADDQ SI, R11
	AREA
	UNBIAS(6, REF_END, LIVE, plain, begin6, end6)
free:
	// Behind the free word: the thread that switches a protection on looks at the words next.
	MOVL PROTECT(DI), R11
	TESTL $~(SECURE+BIT_GUARD+SAMPLED), R11
	JNE  freed
	TESTL $BIT_GUARD, R11
	JEQ  held
	MOVQ $USUAL_SIDES, R8
	CMPQ R8, GUARD_SIDES(DI)
	JNE  freed
	PATTERNS
	PXOR X2, X2
	COMPARE_SIDE(R12)
	BEHIND
	COMPARE_SIDE(R13)
	PXOR X4, X4
	PCMPEQB X4, X2
	PMOVMSKB X2, R8
	CMPL R8, $0xFFFF
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
	PUSH(12, freed, COMMIT_GIVEN, begin12, end12)
	XORL AX, AX
	XORL BX, BX
	RET
	ABORT(12, begin12, end12)
freed:
	GO_ON(4)
bytes:
	MOVB $0, (R8)
	ADDQ $1, R8
	SUBQ $1, R12
	JNE  bytes
	JMP  give
wipe:
	GO_ON(5)
	ABORT(6, begin6, end6)
plain:
	SWAPPABLE(REF_END, refused)
	SWAP_PLAIN(refused)
	JMP  free
refused:
	GO_ON(3)
	FINISH

// func deallocateFast(pool AX, id BX) (err AX:BX)
TEXT ·deallocateFast(SB), NOSPLIT|NOFRAME, $0-0
	TESTQ AX, AX
	JEQ  refused
	MOVQ HOT_CORE(AX), DI
	TESTQ DI, DI
	JEQ  refused
	MOVL BX, DX
	CMPL DX, RESERVED(DI)
	JCC  refused
	MOVQ WORDS(DI), R12
	AREA
	BEGIN(7, begin7)
	LOAD_CPU
	// Without REQUEST, which takes a twenty-fifth of a pair by id; who releases elsewhere by id asks for the line twice.
	SHLQ $CPU_SHIFT, CX
	ADDQ $(LIVE_FAST+BIASED), CX
	XORQ (R12)(DX*8), CX
	// {this CPU, state, bias} leaves a generation and nothing else.
	TESTL $31, CX
	JNE  plain
	CMPQ CX, REF_LIMIT(DI)
	JCC  plain
	ADDQ STEP(DI), CX
	MOVQ CX, (R12)(DX*8)
end7:
give:
	PUSH(3, freed, COMMIT_GIVEN_FAST, begin3, end3)
	XORL AX, AX
	XORL BX, BX
	RET
	ABORT(3, begin3, end3)
	UNCOUNT(freed, 9)
freed:
	GO_ON(7)
	ABORT(7, begin7, end7)
plain:
	MOVQ (R12)(DX*8), R8
	MOVL R8, CX
	ANDL $31, CX
	CMPL CX, $LIVE_FAST
	JNE  refused
	LEAQ -LIVE_FAST(R8), SI
	CMPQ SI, REF_LIMIT(DI)
	JCC  refused
	MOVQ STEP(DI), R11
	ADDQ SI, R11
	MOVQ AX, R13
	MOVQ R8, AX
	LOCK
	CMPXCHGQ R11, (R12)(DX*8)
	MOVQ R13, AX
	JNE  refused
	CMPL PROTECT(DI), $0
	JEQ  give
	JMP  freed
refused:
	GO_ON(6)
	FINISH

// func give(pool unsafe.Pointer, id uint64) (given bool)
TEXT ·give(SB), NOSPLIT, $0-17
	MOVQ pool+0(FP), DI
	MOVQ id+8(FP), DX
	AREA
	PUSH(8, refused, COMMIT_GIVEN, begin8, end8)
	MOVB $1, given+16(FP)
	RET
	ABORT(8, begin8, end8)
refused:
	MOVB $0, given+16(FP)
	RET
	FINISH

// The functions that hold sequences, then the ones that Go calls by registers.
DATA ·functions+0(SB)/8, $·allocate(SB)
DATA ·functions+8(SB)/8, $·attempt(SB)
DATA ·functions+16(SB)/8, $·allocateFast(SB)
DATA ·functions+24(SB)/8, $·release(SB)
DATA ·functions+32(SB)/8, $·releaseProtected(SB)
DATA ·functions+40(SB)/8, $·deallocateFast(SB)
DATA ·functions+48(SB)/8, $·give(SB)
DATA ·functions+56(SB)/8, $·takeBatch(SB)
DATA ·functions+64(SB)/8, $·freeBatch(SB)
DATA ·functions+72(SB)/8, $·giveBatch(SB)
DATA ·functions+80(SB)/8, $·releaseRun(SB)
DATA ·functions+88(SB)/8, $·getBytes(SB)
DATA ·functions+96(SB)/8, $·probe(SB)
GLOBL ·functions(SB), RODATA|NOPTR, $104
