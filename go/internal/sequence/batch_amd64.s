// SPDX-License-Identifier: GPL-3.0-or-later

//go:build linux && !slabby_noseq && !slabby_nopin

#include "textflag.h"
#include "macros_amd64.h"

// Many slabs a call. The ids go through an array of the caller, IDS_MOST long: what is refused or restarted leaves the
// references as they were. A reference is {hot, number}.

#define REF_BYTES 16

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

// func takeBatch(pool, hot unsafe.Pointer, refs *uint64, ids *uint32, count uint64) (issue uint64, taken, mixed bool)
TEXT ·takeBatch(SB), NOSPLIT, $0-50
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
	COPY_IDS(R13, R11, fours, ones, one, copied)
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
	MOVB $0, mixed+49(FP)
	ORQ  $LIVE, R13
	MOVQ WORDS(DI), BX
	MOVQ REF_BIAS(DI), R10
	MOVQ hot+8(FP), CX
	MOVQ refs+16(FP), R8
	LEAQ (R11)(R12*4), R12
issued:
	MOVL (R11), DX
	MOVQ (BX)(DX*8), SI
	LEAQ (R10)(DX*1), R9
	ADDQ SI, R9
	ORQ  R13, SI
	MOVQ SI, (BX)(DX*8)
	MOVQ R9, (R8)
	CMPQ CX, -8(R8)
	JNE  other
counted:
	ADDQ $REF_BYTES, R8
	ADDQ $4, R11
	CMPQ R11, R12
	JNE  issued
	RET
other:
	MOVB $1, mixed+49(FP)
	JMP  counted
	ABORT(9, begin9, end9)
refused:
	MOVQ $0, issue+40(FP)
	MOVB $0, taken+48(FP)
	MOVB $0, mixed+49(FP)
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
	JMP  next
biased:
	SPLIT_NEXT(done)
	MOVQ AX, 8(R9)
begin10:
	MOVL 4(R9), CX
	CMPL CX, RELEASE_CPUS(DI)
	JCC  plain
	SHLQ $CPU_SHIFT, CX
	LEAQ (LIVE+BIASED)(CX)(SI*1), CX
	CMPQ CX, (R12)(DX*8)
	JNE  unbiased
	MOVQ R11, (R12)(DX*8)
end10:
	FREED_NEXT
	JNE  biased
done:
	SUBQ refs+8(FP), R10
	SHRQ $4, R10
	MOVQ R10, freed+32(FP)
	RET
unbiased:
	NOTE_PLAIN(AX, plain)
	JMP  plain
	ABORT(10, begin10, end10)
plain:
	LEAQ LIVE(SI), AX
	LOCK
	CMPXCHGQ R11, (R12)(DX*8)
	JNE  done
	FREED_NEXT
	JEQ  done
next:
	LEAQ ·descriptors+(32*10)(SB), AX
	MOVL 4(R9), CX
	MOVQ EXPECTS_PLAIN(DI), R8
	BTQ  CX, R8
	MOVQ STEP(DI), R8
	JCC  biased
	SPLIT_NEXT(done)
	JMP  plain
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
