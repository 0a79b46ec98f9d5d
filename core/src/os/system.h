/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which system this build is for, and how its compilers spell what C11 does not: visibility, fast thread-local
 * variables. base.h includes it first, so that an unsupported build stops with a readable error. */
#ifndef SLB_OS_SYSTEM_H
#define SLB_OS_SYSTEM_H

#if defined(_MSC_VER) && !defined(__clang__)
#error "slabby: this compiler lacks what the core is written in; on Windows use mingw-w64 or clang"
#endif

#if !defined(__SIZEOF_POINTER__) || __SIZEOF_POINTER__ < 8
#error "slabby needs a 64-bit system: references and sizes have 64 bits; build for a 64-bit target"
#endif

#if defined(__linux__)
#define SLB_OS_LINUX 1
#elif defined(__APPLE__)
#define SLB_OS_DARWIN 1
#elif defined(__FreeBSD__)
#define SLB_OS_FREEBSD 1
#elif defined(_WIN32)
#define SLB_OS_WINDOWS 1
#else
#error "slabby runs on Linux, macOS, FreeBSD and Windows; for another system add a file to core/src/os"
#endif

#ifdef SLB_OS_LINUX
#define SLB_OS_NAME "Linux"
#elif defined(SLB_OS_DARWIN)
#define SLB_OS_NAME "macOS"
#elif defined(SLB_OS_FREEBSD)
#define SLB_OS_NAME "FreeBSD"
#else
#define SLB_OS_NAME "Windows"
#endif
#if defined(__x86_64__) || defined(_M_X64)
#define SLB_OS_MACHINE "x86-64"
#elif defined(__aarch64__) || defined(_M_ARM64)
#define SLB_OS_MACHINE "aarch64"
#else
#define SLB_OS_MACHINE "another 64-bit processor"
#endif

/* The system's headers show all they have. */
#ifndef _GNU_SOURCE
#if defined(SLB_AMALGAMATION) && defined(SLB_OS_LINUX) && defined(_FEATURES_H)
#error "slabby: a system header came first; define _GNU_SOURCE before it, or compile this file alone"
#endif
#define _GNU_SOURCE
#endif
#ifdef SLB_OS_WINDOWS
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00 /* Windows 10 and Server 2019 */
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#ifndef __USE_MINGW_ANSI_STDIO
#define __USE_MINGW_ANSI_STDIO 1 /* printf as C11 says */
#endif
#endif
#ifdef SLB_OS_LINUX
#include <features.h>
#endif

/* Windows exports what slabby.def lists, and hides the rest. */
#ifdef SLB_OS_WINDOWS
#define SLB_VISIBLE
#define SLB_HIDDEN
#else
#define SLB_VISIBLE __attribute__((visibility("default")))
#define SLB_HIDDEN __attribute__((visibility("hidden")))
#endif

/* initial-exec: found without a call into the dynamic linker. Only glibc keeps memory for such variables of libraries
 * that are loaded late; elsewhere loading would fail. */
#ifdef __GLIBC__
#define SLB_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) __thread
#else
#define SLB_THREAD_LOCAL __thread
#endif

/* How printf's formats are checked. */
#ifdef SLB_OS_WINDOWS
#define SLB_PRINTF(format_at, arguments_at) __attribute__((format(gnu_printf, format_at, arguments_at)))
#else
#define SLB_PRINTF(format_at, arguments_at) __attribute__((format(printf, format_at, arguments_at)))
#endif

#endif
