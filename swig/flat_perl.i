/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Perl with 64-bit integers: UV holds a ref. */
%define APPEND_UNSIGNED(VALUE)
    if (argvi >= items)
        EXTEND(sp, argvi + 1);
    $result = sv_2mortal(newSVuv((UV)(VALUE)));
    argvi++;
%enddef
%define APPEND_SIGNED(VALUE)
    if (argvi >= items)
        EXTEND(sp, argvi + 1);
    $result = sv_2mortal(newSViv((IV)(VALUE)));
    argvi++;
%enddef
%define APPEND_POINTER(VALUE, TYPE)
    if (argvi >= items)
        EXTEND(sp, argvi + 1);
    $result = SWIG_NewPointerObj(SWIG_as_voidptr(VALUE), TYPE, 0);
    argvi++;
%enddef
%define APPEND_BYTES(BYTES, SIZE)
    if (argvi >= items)
        EXTEND(sp, argvi + 1);
    $result = sv_2mortal(newSVpvn(BYTES, (STRLEN)(SIZE)));
    argvi++;
%enddef
#define TAKE_UNSIGNED(INPUT) (uint64_t)SvUV(INPUT)
#define TAKE_BYTES(INPUT, SIZE) SvPVbyte(INPUT, SIZE)

#pragma SWIG nowarn=314 /* a field called ref is no keyword where Perl reads it */
