// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

#include "textflag.h"
#include "macros_amd64.h"

// Many slabs a call, at most sequence.Most. What is refused or restarted leaves the references as they were. A reference
// is {hot, number}.

#define REF_BYTES 16

// Both arrays end where their registers point to, and `at` counts up to 0, by 2 for a slab: a reference is at (refs)(at*8),
// an id at (ids)(at*2). One addition counts a slab and finds the last. The count in R12.
#define FROM_ENDS(argument, refs, ids, at) \
	MOVQ R12, at; \
	SHLQ $4, at; \
	MOVQ argument, refs; \
	ADDQ at, refs; \
	LEAQ (ids)(R12*4), ids; \
	SHRQ $3, at; \
	NEGQ at

// COUNT ids from one place to another, four at a time: the count in R12, AX and X0 are scratch. JMP out of a sequence
// is not needed: what is copied counts with the commit that follows.
#define COPY_IDS(from, to, fours, ones, one, copied) \
	XORL AX, AX; \
	MOVQ R12, SI; \
	SUBQ $4, SI; \
	JCS  ones; \
fours: \
	MOVOU (from)(AX*4), X0; \
	MOVOU X0, (to)(AX*4); \
	ADDQ $4, AX; \
	CMPQ AX, SI; \
	JLS  fours; \
ones: \
	CMPQ AX, R12; \
	JCC  copied; \
one: \
	MOVL (from)(AX*4), SI; \
	MOVL SI, (to)(AX*4); \
	ADDQ $1, AX; \
	CMPQ AX, R12; \
	JCS  one; \
copied:

// The slab whose id is at (R11)(AX*2) is issued: its reference to (R8)(AX*8). DX is the id.
#define ISSUE_NEXT \
	MOVL (R11)(AX*2), DX; \
	MOVQ (BX)(DX*8), SI; \
	LEAQ (R10)(DX*1), R9; \
	ADDQ SI, R9; \
	ORQ  R13, SI; \
	MOVQ SI, (BX)(DX*8); \
	MOVQ R9, (R8)(AX*8)

#define SLICE_BYTES 24

// func takeBatch(pool, hot unsafe.Pointer, refs *uint64, count uint64, data *[]byte, span uint64) (issue uint64,
//     taken, mixed bool)
TEXT ·takeBatch(SB), NOSPLIT, $480-58
	MOVQ pool+0(FP), DI
	LEAQ ids-480(SP), R11
	MOVQ count+24(FP), R12
	AREA
	BEGIN(9, begin9)
	CACHE(HOT_CPUS, refused)
	MOVWLZX R10, AX
	CMPL AX, MAX(DI)
	JHI  refused
	SUBL R12, AX
	JCS  refused
	LEAQ IDS(CX)(AX*4), R13
	COPY_IDS(R13, R11, fours, ones, one, copied)
	// A sampling point that is stepped over is the next allocation's.
	MOVL R12, AX
	SHLL $16, AX
	MOVL R10, SI
	ANDL $-65536, SI
	ADDL SI, AX
	CMPL AX, SAMPLE_AT(CX)
	JMI  commit
	MOVL AX, SAMPLE_AT(CX)
commit:
	IMUL3Q $0xFFFF, R12, AX
	ADDQ AX, R10
	MOVQ R10, HEADER(CX)
end9:
	MOVQ ISSUE(CX), R13
	MOVQ R13, issue+48(FP)
	MOVB $1, taken+56(FP)
	MOVB $0, mixed+57(FP)
	ORQ  $LIVE, R13
	MOVQ WORDS(DI), BX
	MOVQ REF_BIAS(DI), R10
	MOVQ hot+8(FP), CX
	FROM_ENDS(refs+16(FP), R8, R11, AX)
	MOVQ data+32(FP), R12
	TESTQ R12, R12
	JNE  sliced
	PCALIGN $32
issued:
	ISSUE_NEXT
	CMPQ CX, -8(R8)(AX*8)
	JNE  other
counted:
	ADDQ $2, AX
	JNE  issued
	RET
other:
	MOVB $1, mixed+57(FP)
	JMP  counted
sliced:
	// A slice that begins in the pool may begin elsewhere in it: the collector looks at neither.
	MOVQ span+40(FP), R14
	MOVQ SLAB_SIZE(DI), X0
	PUNPCKLQDQ X0, X0
	PCALIGN $32
issuedSlice:
	ISSUE_NEXT
	IMULQ STRIDE(DI), DX
	MOVQ SLABS(DI), SI
	MOVQ (R12), R9
	SUBQ SI, R9
	CMPQ R9, R14
	JCC  otherSlice
	ADDQ SI, DX
	MOVQ DX, (R12)
	MOVOU X0, 8(R12)
	CMPQ CX, -8(R8)(AX*8)
	JNE  otherSlice
countedSlice:
	ADDQ $SLICE_BYTES, R12
	ADDQ $2, AX
	JNE  issuedSlice
	RET
otherSlice:
	MOVB $1, mixed+57(FP)
	JMP  countedSlice
	ABORT(9, begin9, end9)
refused:
	MOVQ $0, issue+48(FP)
	MOVB $0, taken+56(FP)
	MOVB $0, mixed+57(FP)
	RET
	FINISH

// What a run did: sequence.Refused and its neighbours.
#define RUN_REFUSED 0
#define RUN_DONE 1
#define RUN_RESTARTED 2

// Goes to `lost` where the kernel has interrupted this thread since the sequence in R8 was armed.
#define STILL(lost) \
	COMPARE_ARMED; \
	JNE  lost

// Releases in one sequence: core/src/tiers/rseq_run.h has the argument. Its registers: BX pool, R10 and R14 where
// references and ids of the caller end, SI counts up to 0 by 2 for a slab, R12 words, R11 what live words of this CPU have
// beside the generation, R13 where the ids end in the cache, R8 the sequence, X0 the header: the gate may lock it from
// another CPU meanwhile, and expects that a sequence past its load stores its own over the lock. DI is 0 until the
// header is stored, and STOSQ moves it on: so a run that is interrupted behind that store knows that it is done.
// func releaseRun(pool unsafe.Pointer, refs *uint64, ids *uint32, count uint64) (freed uint64, result Result)
TEXT ·releaseRun(SB), NOSPLIT, $0-48
	MOVQ pool+0(FP), BX
	MOVQ ids+16(FP), R14
	MOVQ count+24(FP), R12
	FROM_ENDS(refs+8(FP), R10, R14, SI)
	MOVQ WORDS(BX), R12
	XORL DI, DI
	XORL CX, CX
	AREA
	BEGIN(15, begin15)
	LOAD_CPU
	CMPL CX, RELEASE_CPUS(BX)
	JCC  refused
	MOVQ CX, R11
	SHLQ $CPU_SHIFT, R11
	ORQ  $(LIVE+BIASED), R11
	SHLQ $CACHE_SHIFT, CX
	ADDQ CACHES(BX), CX
	MOVQ HEADER(CX), AX
	MOVQ AX, X0
	MOVWLZX AX, AX
	ADDQ count+24(FP), AX
	CMPL AX, MAX(BX)
	JHI  refused
	LEAQ IDS(CX)(AX*4), R13
	JMP  next
last:
	STILL(lost)
	LOAD_CPU
	SHLQ $CACHE_SHIFT, CX
	ADDQ CACHES(BX), CX
	MOVQ SI, AX
	SARQ $1, AX
	ADDQ count+24(FP), AX
	MOVQ X0, DX
	ADDQ DX, AX
	LEAQ HEADER(CX), DI
	STOSQ
	JMP  done
	PCALIGN $32
next:
	STILL(lost)
	MOVQ (R10)(SI*8), AX
	SUBQ REF_BIAS(BX), AX
	CMPQ AX, REF_LIMIT(BX)
	JCC  last
	MOVL ID_MASK(BX), CX
	ANDL AX, CX
	SUBQ CX, AX
	MOVL CX, (R14)(SI*2)
	MOVL CX, (R13)(SI*2)
	LEAQ (AX)(R11*1), DX
	CMPQ DX, (R12)(CX*8)
	JNE  last
	ADDQ STEP(BX), AX
	MOVQ AX, (R12)(CX*8)
end15:
	// The kernel restarts nothing from here to the jumps; both lead to STILL.
	ADDQ $2, SI
	JNE  next
	JMP  last
	ABORT(15, begin15, end15)
	LEAQ (HEADER+8)(CX), AX
	CMPQ AX, DI
	JEQ  done
lost:
	MOVQ $RUN_RESTARTED, result+40(FP)
	JMP  answered
refused:
	MOVQ $RUN_REFUSED, result+40(FP)
	JMP  answered
done:
	MOVQ $RUN_DONE, result+40(FP)
answered:
	DISARM
	SARQ $1, SI
	ADDQ count+24(FP), SI
	MOVQ SI, freed+32(FP)
	RET
	FINISH

// The next reference, at R10, whose id goes to DX, rest to SI, and freed word to R11. R14: the mask of ids. R12: words.
// R8: from one generation to the next.
#define SPLIT_NEXT(refused) \
	MOVQ (R10), SI; \
	SUBQ REF_BIAS(DI), SI; \
	CMPQ SI, REF_LIMIT(DI); \
	JCC  refused; \
	MOVQ R14, DX; \
	ANDQ SI, DX; \
	CMPL DX, RESERVED(DI); \
	JCC  refused; \
	SUBQ DX, SI; \
	LEAQ (SI)(R8*1), R11

#define FREED_NEXT \
	MOVL DX, (R13); \
	ADDQ $4, R13; \
	ADDQ $REF_BYTES, R10; \
	CMPQ R10, BX

// func freeBatch(pool unsafe.Pointer, refs *uint64, ids *uint32, count uint64) (freed uint64)
TEXT ·freeBatch(SB), NOSPLIT, $0-40
	MOVQ pool+0(FP), DI
	MOVQ refs+8(FP), R10
	MOVQ ids+16(FP), R13
	MOVQ count+24(FP), BX
	SHLQ $4, BX
	ADDQ R10, BX
	MOVQ ID_MASK(DI), R14
	MOVQ WORDS(DI), R12
	AREA
	MOVQ STEP(DI), R8
next:
	LEAQ ·descriptors+(32*10)(SB), AX
biased:
	SPLIT_NEXT(done)
	ARM_AX
begin10:
	LOAD_CPU
	CMPL CX, RELEASE_CPUS(DI)
	JCC  plain
	REQUEST
	SHLQ $CPU_SHIFT, CX
	LEAQ (LIVE+BIASED)(CX)(SI*1), CX
	CMPQ CX, (R12)(DX*8)
	JNE  plain
	MOVQ R11, (R12)(DX*8)
end10:
	FREED_NEXT
	JNE  biased
done:
	SUBQ refs+8(FP), R10
	SHRQ $4, R10
	MOVQ R10, freed+32(FP)
	RET
	ABORT(10, begin10, end10)
plain:
	LEAQ LIVE(SI), AX
	LOCK
	CMPXCHGQ R11, (R12)(DX*8)
	JNE  done
	FREED_NEXT
	JNE  next
	JMP  done
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
	COPY_IDS(R11, R13, fours, ones, one, copied)
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
