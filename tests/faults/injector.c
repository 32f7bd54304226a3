/* Injects a fault at the k-th write, rename or unlink below a folder, over all processes that share a control file.

   LD_PRELOAD=injector.so, FAULT_CONTROL=<file of three 64-bit numbers: armed, count, action>, FAULT_ROOT=<folder>.
   While `armed` is k > 0, each call below the folder adds one to `count`; the k-th is answered by `action`:
   0 none (only counts), 1 SIGKILL to the process, 28 ENOSPC, 5 EIO. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct control { int64_t armed, count, action; };
static struct control *control;
static char root[PATH_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULT_CONTROL"), *folder = getenv("FAULT_ROOT");
    if (!path || !folder || !realpath(folder, root)) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) control = map;
}

static int fails(const char *path) {
    if (!control || control->armed <= 0 || strncmp(path, root, strlen(root)) != 0) return 0;
    int64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (number != control->armed || control->action == 0) return 0;
    if (control->action == 1) kill(getpid(), SIGKILL);
    errno = (int)control->action;
    return 1;
}

static int fails_at(int folder, const char *path) {
    char whole[PATH_MAX * 2], link[64];
    if (!control || control->armed <= 0) return 0;
    if (path[0] == '/') return fails(path);
    if (folder == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t size = readlink(link, whole, PATH_MAX - 1);
        if (size < 0) return 0;
        whole[size] = 0;
    }
    strncat(whole, "/", sizeof whole - strlen(whole) - 1);
    strncat(whole, path, sizeof whole - strlen(whole) - 1);
    return fails(whole);
}

static int fails_on(int file) {
    char whole[PATH_MAX], link[64];
    if (!control || control->armed <= 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, whole, sizeof whole - 1);
    if (size < 0) return 0;
    whole[size] = 0;
    return fails(whole);
}

#define NEXT(name) static __typeof__(name) *next; if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) { NEXT(write); return fails_on(file) ? -1 : next(file, data, size); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) { NEXT(pwrite64); return fails_on(file) ? -1 : next(file, data, size, at); }
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { NEXT(pwrite); return fails_on(file) ? -1 : next(file, data, size, at); }
ssize_t writev(int file, const struct iovec *parts, int count) { NEXT(writev); return fails_on(file) ? -1 : next(file, parts, count); }
ssize_t sendfile(int to, int from, off_t *at, size_t size) { NEXT(sendfile); return fails_on(to) ? -1 : next(to, from, at, size); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { NEXT(sendfile64); return fails_on(to) ? -1 : next(to, from, at, size); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    NEXT(copy_file_range);
    return fails_on(to) ? -1 : next(from, a, to, b, size, flags);
}
int ftruncate64(int file, off64_t size) { NEXT(ftruncate64); return fails_on(file) ? -1 : next(file, size); }
int fdatasync(int file) { NEXT(fdatasync); return fails_on(file) ? -1 : next(file); }
int fsync(int file) { NEXT(fsync); return fails_on(file) ? -1 : next(file); }
int rename(const char *from, const char *to) { NEXT(rename); return fails_at(AT_FDCWD, to) ? -1 : next(from, to); }
int renameat(int a, const char *from, int b, const char *to) { NEXT(renameat); return fails_at(b, to) ? -1 : next(a, from, b, to); }
int unlink(const char *path) { NEXT(unlink); return fails_at(AT_FDCWD, path) ? -1 : next(path); }
int unlinkat(int folder, const char *path, int flags) { NEXT(unlinkat); return fails_at(folder, path) ? -1 : next(folder, path, flags); }
int link(const char *from, const char *to) { NEXT(link); return fails_at(AT_FDCWD, to) ? -1 : next(from, to); }
int symlink(const char *to, const char *path) { NEXT(symlink); return fails_at(AT_FDCWD, path) ? -1 : next(to, path); }
int rmdir(const char *path) { NEXT(rmdir); return fails_at(AT_FDCWD, path) ? -1 : next(path); }
int mkdir(const char *path, mode_t mode) { NEXT(mkdir); return fails_at(AT_FDCWD, path) ? -1 : next(path, mode); }
