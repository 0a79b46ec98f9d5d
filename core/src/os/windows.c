/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Windows 10 and Server 2019 or newer: memory, CPUs, clocks, threads, waiting. */
#include "os/os.h"

#ifdef SLB_OS_WINDOWS

#include "os/mutex.h"
#include "os/windows_discard.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <ntsecapi.h>

/* -------------------------------------------------------------------------------------------------- memory */

SLB_PRIVATE size_t slb_os_page_size(void) {
    static _Atomic size_t known;
    size_t size = atomic_load_explicit(&known, memory_order_relaxed); /* any thread computes the same value */
    if (size == 0) {
        SYSTEM_INFO info;
        GetSystemInfo(&info);
        size = info.dwPageSize;
        atomic_store_explicit(&known, size, memory_order_relaxed);
    }
    return size;
}

SLB_PRIVATE void *slb_os_reserve(size_t size) {
    return VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
}

/* The system counts all of it against its limit at once, and backs it page by page. */
SLB_PRIVATE uint64_t slb_os_physical_memory(void) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
}

SLB_PRIVATE void *slb_os_map(size_t size) {
    return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

/* Pages that are usable already, or guards, become usable too. */
SLB_PRIVATE bool slb_os_commit(void *address, size_t size) {
    DWORD before;
    return VirtualAlloc(address, size, MEM_COMMIT, PAGE_READWRITE) != NULL &&
           VirtualProtect(address, size, PAGE_READWRITE, &before) != 0;
}

SLB_PRIVATE void slb_os_decommit(void *address, size_t size) {
    (void)VirtualFree(address, size, MEM_DECOMMIT);
}

/* `address` is what slb_os_reserve or slb_os_map answered. */
SLB_PRIVATE void slb_os_unmap(void *address, size_t size) {
    (void)size;
    if (address != NULL)
        (void)VirtualFree(address, 0, MEM_RELEASE);
}

/* Locked pages cannot be given back without unlocking them: once any are, all pages stay. */
static _Atomic uint32_t memory_is_locked;

/* A range is "away" from its decommit until its commit. If a late reader, with a stale reference, accesses it in
 * between, the fault handler stops the reader until the range is back, see slb_os_is_away. One range at a time. */
static slb_os_mutex away_mutex = SLB_OS_MUTEX_INIT;
static _Atomic uintptr_t away_from, away_to;

static bool bring_back(void *address, size_t size) {
    while (VirtualAlloc(address, size, MEM_COMMIT, PAGE_READWRITE) == NULL)
        Sleep(1); /* another process has taken the memory that this one had a moment ago */
    return true;
}

SLB_PRIVATE bool slb_os_discard(void *address, size_t size) {
    if (atomic_load_explicit(&memory_is_locked, memory_order_relaxed) != 0 || !slb_os_stop_late_readers())
        return false;
    slb_os_mutex_lock(&away_mutex);
    atomic_store(&away_from, (uintptr_t)address);
    atomic_store(&away_to, (uintptr_t)address + size);
    bool done = VirtualFree(address, size, MEM_DECOMMIT) != 0 && bring_back(address, size);
    atomic_store(&away_to, 0);
    slb_os_mutex_unlock(&away_mutex);
    return done;
}

SLB_PRIVATE bool slb_os_is_away(uintptr_t address) {
    return address < atomic_load(&away_to) && address >= atomic_load(&away_from);
}

SLB_PRIVATE bool slb_os_guard(void *address, size_t size, enum slb_guard_way *probed) {
    DWORD before;
    *probed = SLB_GUARD_PROTECT;
    return VirtualProtect(address, size, PAGE_NOACCESS, &before) != 0;
}

SLB_PRIVATE bool slb_os_unguard(void *address, size_t size, enum slb_guard_way way) {
    DWORD before;
    (void)way;
    return VirtualProtect(address, size, PAGE_READWRITE, &before) != 0;
}

/* The system locks as much as the process's smallest working set has. */
SLB_PRIVATE bool slb_os_lock_memory(void *address, size_t size) {
    if (VirtualLock(address, size) == 0)
        return false;
    atomic_store_explicit(&memory_is_locked, 1, memory_order_relaxed);
    return true;
}

SLB_PRIVATE uint64_t slb_os_lock_limit(void) {
    SIZE_T least = 0, most = 0;
    return GetProcessWorkingSetSize(GetCurrentProcess(), &least, &most) != 0 ? least : 0;
}

SLB_PRIVATE bool slb_os_no_dump(void *address, size_t size) {
    (void)address, (void)size;
    return false;
}

SLB_PRIVATE void *slb_os_heap_allocate(size_t alignment, size_t size) {
    return _aligned_malloc(size, alignment);
}

SLB_PRIVATE void slb_os_heap_free(void *memory) {
    _aligned_free(memory);
}

/* ---------------------------------------------------------------------------------------------------- CPUs */

/* Processors come in groups of at most 64. */
#define GROUP_MOST 64u

SLB_PRIVATE uint32_t slb_os_cpu_count(void) {
    WORD groups = GetActiveProcessorGroupCount();
    DWORD count = groups > 1 ? groups * GROUP_MOST : GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    if (count < 1)
        return 1;
    return count > SLB_OS_MOST_CPUS ? SLB_OS_MOST_CPUS : count;
}

SLB_PRIVATE uint32_t slb_os_cpu(void) {
    PROCESSOR_NUMBER here;
    GetCurrentProcessorNumberEx(&here);
    return here.Group * GROUP_MOST + here.Number;
}

/* With several groups, the CPUs of all groups: a thread may be moved to any group. */
SLB_PRIVATE uint32_t slb_os_usable_cpus(void) {
    DWORD_PTR usable, present;
    uint32_t configured = slb_os_cpu_count();
    if (GetActiveProcessorGroupCount() > 1 ||
        GetProcessAffinityMask(GetCurrentProcess(), &usable, &present) == 0 || usable == 0)
        return configured;
    uint32_t count = (uint32_t)__builtin_popcountll(usable);
    return count < configured ? count : configured;
}

SLB_PRIVATE uint32_t slb_os_cache_line(void) {
    return SLB_CACHE_LINE;
}

/* -------------------------------------------------------------------------------------------------- clocks */

static uint64_t scaled(uint64_t count, uint64_t per_second) {
    return count / per_second * 1000000000u + count % per_second * 1000000000u / per_second;
}

SLB_PRIVATE uint64_t slb_os_now_ns(void) {
    static _Atomic uint64_t known; /* per second; any thread finds the same */
    uint64_t per_second = atomic_load_explicit(&known, memory_order_relaxed);
    LARGE_INTEGER count;
    if (slb_unlikely(per_second == 0)) {
        (void)QueryPerformanceFrequency(&count);
        per_second = (uint64_t)count.QuadPart;
        atomic_store_explicit(&known, per_second, memory_order_relaxed);
    }
    (void)QueryPerformanceCounter(&count);
    return scaled((uint64_t)count.QuadPart, per_second);
}

SLB_PRIVATE uint64_t slb_os_coarse_ns(void) {
    return GetTickCount64() * 1000000u;
}

#define UNIX_EPOCH 116444736000000000u /* in units of 100 ns since 1601 */

SLB_PRIVATE uint64_t slb_os_wall_ns(void) {
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    uint64_t units = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (units - UNIX_EPOCH) * 100u;
}

/* ------------------------------------------------------------------------------------------------- waiting */

/* Finds a function by name, so that a program links only the usual libraries. A system without the function is older
 * than the supported ones. */
static void find_function(void *out, size_t size, const WCHAR *library, const char *name) {
    FARPROC found = GetProcAddress(GetModuleHandleW(library), name);
    memcpy(out, &found, size); /* not every compiler lets one be cast to the other */
}

typedef BOOL WINAPI wait_function(volatile void *, void *, SIZE_T, DWORD);
typedef void WINAPI wake_function(void *);
static wait_function *wait_on_address;
static wake_function *wake_by_address;

__attribute__((constructor(101))) static void find_waits(void) {
    find_function(&wait_on_address, sizeof wait_on_address, L"kernelbase.dll", "WaitOnAddress");
    find_function(&wake_by_address, sizeof wake_by_address, L"kernelbase.dll", "WakeByAddressSingle");
}

SLB_PRIVATE bool slb_os_sleep_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    uint64_t now = slb_os_now_ns();
    if (now >= deadline_ns)
        return false;
    uint64_t ms = (deadline_ns - now + 999999) / 1000000;
    (void)wait_on_address((volatile void *)word, &expected, sizeof expected,
                          ms > 0x7fffffff ? 0x7fffffff : (DWORD)ms);
    return true;
}

SLB_PRIVATE void slb_os_wake_one(_Atomic uint32_t *word) {
    wake_by_address((void *)word);
}

SLB_PRIVATE void slb_os_mutex_lock(slb_os_mutex *mutex) {
    AcquireSRWLockExclusive((SRWLOCK *)mutex);
}

SLB_PRIVATE void slb_os_mutex_unlock(slb_os_mutex *mutex) {
    ReleaseSRWLockExclusive((SRWLOCK *)mutex);
}

/* An event that stays set until it is reset. Only 32 bits of a HANDLE are significant. */
SLB_PRIVATE int slb_os_notifier_create(void) {
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    return event == NULL ? -ENOMEM : (int)(intptr_t)event;
}

static HANDLE handle_of(int notifier) {
    return (HANDLE)(intptr_t)notifier;
}

SLB_PRIVATE void slb_os_notifier_signal(int notifier) {
    (void)SetEvent(handle_of(notifier));
}

SLB_PRIVATE void slb_os_notifier_clear(int notifier) {
    (void)ResetEvent(handle_of(notifier));
}

SLB_PRIVATE void slb_os_notifier_renew(int notifier) {
    (void)notifier; /* there is no fork */
}

SLB_PRIVATE void slb_os_notifier_destroy(int notifier) {
    (void)CloseHandle(handle_of(notifier));
}

/* ------------------------------------------------------------------------------------------------- threads */

SLB_PRIVATE uint64_t slb_os_thread(void) {
    return GetCurrentThreadId();
}

SLB_PRIVATE uint64_t slb_os_thread_mark(void) {
    static SLB_THREAD_LOCAL char mark;
    return (uintptr_t)&mark;
}

SLB_PRIVATE void slb_os_forget_thread(void) {
}

SLB_PRIVATE uint32_t slb_os_process(void) {
    return GetCurrentProcessId();
}

SLB_PRIVATE bool slb_os_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    (void)before, (void)parent, (void)child;
    return true;
}

static DWORD WINAPI run_body(void *body) {
    void *(*function)(void *) = *(void *(**)(void *))body;
    free(body);
    (void)function(NULL);
    return 0;
}

#define OWN_STACK (1u << 20) /* enough for a caller's logger */

SLB_PRIVATE bool slb_os_start_thread(void *(*body)(void *)) {
    void *(**holder)(void *) = malloc(sizeof body);
    if (holder == NULL)
        return false;
    *holder = body;
    HANDLE thread =
        CreateThread(NULL, OWN_STACK, run_body, (void *)holder, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (thread == NULL) {
        free((void *)holder);
        return false;
    }
    (void)CloseHandle(thread);
    return true;
}

SLB_PRIVATE void slb_os_name_thread(const char *name) {
    WCHAR wide[16] = {0};
    HRESULT(WINAPI * describe)(HANDLE, const WCHAR *);
    find_function(&describe, sizeof describe, L"kernel32.dll", "SetThreadDescription");
    for (size_t i = 0; i < 15 && name[i] != '\0'; i++)
        wide[i] = (WCHAR)name[i];
    if (describe != NULL)
        (void)describe(GetCurrentThread(), wide);
}

/* No handler interrupts a thread here. */
SLB_PRIVATE void slb_os_without_signals(void (*work)(void *), void *argument) {
    work(argument);
}

/* Threads are not cancelled here. */
SLB_PRIVATE int slb_os_hold_cancellation(void) {
    return 0;
}

SLB_PRIVATE void slb_os_allow_cancellation(int held) {
    (void)held;
}

SLB_PRIVATE void slb_os_sleep(uint64_t ns) {
    Sleep((DWORD)((ns + 999999) / 1000000));
}

SLB_PRIVATE void slb_os_wait_a_little(uint32_t attempt) {
    if (attempt < 32)
        slb_os_pause();
    else if (attempt < 4096)
        (void)SwitchToThread();
    else /* a thread of higher priority must not starve the one it waits for */
        Sleep(1);
}

SLB_PRIVATE const char *slb_os_environment(const char *name) {
    return getenv(name);
}

SLB_PRIVATE uint64_t slb_os_unique(void) {
    uint64_t value = 0;
    if (!RtlGenRandom(&value, sizeof value))
        value = slb_os_wall_ns() * 1000000007u ^ (uint64_t)(uintptr_t)&value ^ slb_os_process();
    return value == 0 ? 1 : value;
}

#endif
