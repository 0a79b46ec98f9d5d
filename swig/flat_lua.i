/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lua 5.3 and later: whole numbers have 64 bits and wrap; a ref above 2^63 shows as a negative one. */
%define APPEND_UNSIGNED(VALUE)
    lua_pushinteger(L, (lua_Integer)(VALUE));
    SWIG_arg++;
%enddef
%define APPEND_SIGNED(VALUE)
    lua_pushinteger(L, (lua_Integer)(VALUE));
    SWIG_arg++;
%enddef
%define APPEND_POINTER(VALUE, TYPE)
    SWIG_NewPointerObj(L, (void *)(VALUE), TYPE, 0);
    SWIG_arg++;
%enddef
%define APPEND_BYTES(BYTES, SIZE)
    lua_pushlstring(L, BYTES, (size_t)(SIZE));
    SWIG_arg++;
%enddef
#define TAKE_UNSIGNED(INPUT) (uint64_t)luaL_checkinteger(L, INPUT)
#define TAKE_BYTES(INPUT, SIZE) luaL_checklstring(L, INPUT, &SIZE)

/* SWIG's own maps for Lua go through a double. */
%typemap(in, checkfn="lua_isinteger") int32_t, uint32_t, int64_t, uint64_t, slabby_ref, slabby_status {
    $1 = ($1_ltype)lua_tointeger(L, $input);
}
%typemap(out) int32_t, uint32_t, int64_t, uint64_t, slabby_ref, slabby_status {
    lua_pushinteger(L, (lua_Integer)$1);
    SWIG_arg++;
}

#pragma SWIG nowarn=321 /* the record `error` is slabby.error, not the basic function */
