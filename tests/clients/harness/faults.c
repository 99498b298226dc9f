/*
 * Makes one call of the C library fail: LD_PRELOAD for the server under test.
 *
 * FAULT_CALL   fdatasync, fsync, pwrite64, rename, open64 (of a file that is created), ftruncate64 or unlink
 * FAULT_ERROR  number of the error
 * FAULT_AT     the n-th such call below FAULT_BELOW fails, counted from 1
 * FAULT_BELOW  a directory
 * FAULT_REPORT a file that gets the path of the call that failed
 *
 * The call that fails is not made, but for pwrite64: half of it is, as when a disk fills in the middle.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void report(const char *path) {
    const char *name = getenv("FAULT_REPORT");
    if (name == NULL) return;
    int file = REAL(open64)(name, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0) return;
    dprintf(file, "%s\n", path);
    close(file);
}

/* Whether this call of `name` on `path` is the one that fails. */
static int fails(const char *name, const char *path) {
    const char *call = getenv("FAULT_CALL"), *below = getenv("FAULT_BELOW"), *at = getenv("FAULT_AT");
    if (call == NULL || below == NULL || at == NULL || strcmp(call, name) != 0) return 0;
    if (strncmp(path, below, strlen(below)) != 0) return 0;
    if (atomic_fetch_add(&calls, 1) + 1 != atol(at)) return 0;
    report(path);
    const char *error = getenv("FAULT_ERROR");
    errno = error == NULL ? EIO : atoi(error);
    return 1;
}

static int fails_on(const char *name, int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(name, path);
}

int fdatasync(int file) { return fails_on("fdatasync", file) ? -1 : REAL(fdatasync)(file); }

int fsync(int file) { return fails_on("fsync", file) ? -1 : REAL(fsync)(file); }

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    if (fails_on("pwrite64", file)) {
        int error = errno;
        if (count > 1) REAL(pwrite64)(file, bytes, count / 2, offset);
        errno = error;
        return -1;
    }
    return REAL(pwrite64)(file, bytes, count, offset);
}

int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }

int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(unlink)(path); }

int ftruncate64(int file, off64_t length) { return fails_on("ftruncate64", file) ? -1 : REAL(ftruncate64)(file, length); }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if ((flags & O_CREAT) && fails("open64", path)) return -1;
    return REAL(open64)(path, flags, mode);
}
