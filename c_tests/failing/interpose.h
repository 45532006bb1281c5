/* Functions of the C library that fail when told to. Defined in the program, they take the place of the C library's for
 * the shared library as well. */
#ifndef INTERPOSE_H
#define INTERPOSE_H

#include "../check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What kinds of calls are counted and fail. */
enum { NOTHING, ALLOCATIONS, SYSTEM_CALLS };

/* What a failing system call has still done. */
enum { BEFORE, PARTIAL, AFTER };

/* How calls fail; `at` is the number of the first that does. */
static struct {
    _Atomic int kind;
    _Atomic long calls, hits;
    long at;
    int sticky, error, effect;
    /* Only calls that the system interrupts count. */
    int interruptible_only;
} fault;

static uintptr_t thread_exit_registration;

/* Counts a call, and says whether it is to fail. */
static int fails(int kind) {
    if (atomic_load(&fault.kind) != kind)
        return 0;
    long number = atomic_fetch_add(&fault.calls, 1);
    int hit = number == fault.at || (fault.sticky && number > fault.at);
    if (hit) {
        atomic_fetch_add(&fault.hits, 1);
        errno = kind == ALLOCATIONS ? ENOMEM : fault.error;
    }
    return hit;
}

static void arm(int kind, long at, int sticky, int error, int effect) {
    fault.calls = fault.hits = 0;
    fault.at = at;
    fault.sticky = sticky;
    fault.error = error;
    fault.effect = effect;
    fault.interruptible_only = error == EINTR;
    atomic_store(&fault.kind, kind);
}

static void disarm(void) {
    atomic_store(&fault.kind, NOTHING);
}

/* Says which fault ended the process. */
static void tell_and_die(int signal_number) {
    char text[160];
    int length = snprintf(text, sizeof text, "signal %d; fault %ld, sticky %d, error %d, effect %d\n", signal_number, fault.at,
                          fault.sticky, fault.error, fault.effect);
    syscall(SYS_write, 2, text, (size_t)length);
    _exit(3);
}

__attribute__((constructor)) static void prepare(void) {
    signal(SIGABRT, tell_and_die);
    signal(SIGSEGV, tell_and_die);
    signal(SIGBUS, tell_and_die);
    thread_exit_registration = (uintptr_t)dlsym(RTLD_DEFAULT, "__cxa_thread_atexit_impl");
}

/* Memory. */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    return fails(ALLOCATIONS) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    /* The C library ends the process if it has no memory for what a thread does at its end: nobody can help that. */
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    if (caller - thread_exit_registration < 1024)
        return __libc_calloc(count, size);
    return fails(ALLOCATIONS) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    return fails(ALLOCATIONS) ? NULL : __libc_realloc(block, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    if (fails(ALLOCATIONS))
        return ENOMEM;
    *block = __libc_memalign(alignment, size);
    return *block == NULL ? ENOMEM : 0;
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    if (fails(ALLOCATIONS) || (file >= 0 && !fault.interruptible_only && fails(SYSTEM_CALLS)))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return mmap(address, length, protection, flags, file, offset);
}

/* Files. A call is made with fewer bytes or none before it fails, as the fault says. */

static int is_real_failure(void) {
    return fails(SYSTEM_CALLS);
}

/* Fails `call` as told; a call that cannot do a part does nothing then. */
#define FAIL_OR(call, interruptible)                                                          \
    do {                                                                                      \
        if ((!fault.interruptible_only || (interruptible)) && is_real_failure()) {            \
            int error = errno;                                                                \
            if (fault.effect == AFTER)                                                        \
                (void)(call);                                                                 \
            errno = error;                                                                    \
            return -1;                                                                        \
        }                                                                                     \
        return call;                                                                          \
    } while (0)

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    if (is_real_failure())
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t pread64(int file, void *bytes, size_t length, off_t offset) {
    FAIL_OR(syscall(SYS_pread64, file, bytes, length, offset), 1);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off_t offset) {
    if (is_real_failure()) {
        int error = errno;
        size_t part = fault.effect == AFTER ? length : fault.effect == PARTIAL ? length / 2 : 0;
        if (part > 0)
            syscall(SYS_pwrite64, file, bytes, part, offset);
        errno = error;
        return -1;
    }
    /* A short write is no failure. */
    size_t part = atomic_load(&fault.kind) == SYSTEM_CALLS && length > 1 ? length / 2 + 1 : length;
    return syscall(SYS_pwrite64, file, bytes, part, offset);
}

int ftruncate64(int file, off_t length) {
    FAIL_OR((int)syscall(SYS_ftruncate, file, length), 1);
}

int fdatasync(int file) {
    FAIL_OR((int)syscall(SYS_fdatasync, file), 1);
}

int fsync(int file) {
    FAIL_OR((int)syscall(SYS_fsync, file), 1);
}

int rename(const char *from, const char *to) {
    FAIL_OR((int)syscall(SYS_rename, from, to), 0);
}

int unlink(const char *path) {
    FAIL_OR((int)syscall(SYS_unlink, path), 0);
}

int mkdir(const char *path, mode_t mode) {
    FAIL_OR((int)syscall(SYS_mkdir, path, mode), 0);
}

int flock(int file, int operation) {
    if (is_real_failure())
        return -1;
    return (int)syscall(SYS_flock, file, operation);
}

#endif
