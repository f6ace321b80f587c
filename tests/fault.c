/* Preloaded by tests/test_queue_faults.py: lets single calls on files of a queue fail.
 *
 * FAULT_RULES names a file of lines "CALL PART ERRNO COUNT": the next COUNT calls of that kind on paths that contain
 * both FAULT_UNDER and PART fail with ERRNO. "*" stands for every path. What failed is appended to FAULT_LOG.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(type, name, ...)                                  \
    static type (*real)(__VA_ARGS__);                          \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int raw_open(const char *path, int flags) { return syscall(SYS_openat, AT_FDCWD, path, flags, 0600); }

static void log_fault(const char *call, const char *path, int number) {
    const char *log = getenv("FAULT_LOG");
    int fd = log ? raw_open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC) : -1;
    char line[1200];
    if (fd < 0) return;
    int size = snprintf(line, sizeof line, "%s %.1000s %d\n", call, path, number);
    syscall(SYS_write, fd, line, size);
    close(fd);
}

/* The error number that this call is to fail with; 0: it may go on. */
static int fault(const char *call, const char *path) {
    const char *rules = getenv("FAULT_RULES"), *under = getenv("FAULT_UNDER");
    if (!rules || !under || !path || !strstr(path, under)) return 0;
    int saved = errno, number = 0;
    int fd = raw_open(rules, O_RDWR | O_CLOEXEC);
    if (fd < 0) { errno = saved; return 0; }
    syscall(SYS_flock, fd, LOCK_EX);
    char text[4096], left[8192] = "", *rest = text, *line;
    ssize_t size = syscall(SYS_pread64, fd, text, sizeof text - 1, 0L);
    text[size > 0 ? size : 0] = 0;
    while ((line = strsep(&rest, "\n"))) {
        char name[32], part[256], one[400];
        int error, count;
        if (sscanf(line, "%31s %255s %d %d", name, part, &error, &count) != 4) continue;
        if (!number && count > 0 && !strcmp(name, call) && (!strcmp(part, "*") || strstr(path, part))) {
            number = error;
            count--;
        }
        snprintf(one, sizeof one, "%s %s %d %d\n", name, part, error, count);
        strcat(left, one);
    }
    if (number) {
        syscall(SYS_ftruncate, fd, 0L);
        syscall(SYS_pwrite64, fd, left, strlen(left), 0L);
        log_fault(call, path, number);
    }
    syscall(SYS_close, fd);
    errno = saved;
    return number;
}

static int fault_at(const char *call, int fd) {
    char link[64], path[4096];
    int saved = errno;
    if (!getenv("FAULT_RULES")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (size < 0) return 0;
    path[size] = 0;
    return fault(call, path);
}

/* The same of a path relative to an open folder. */
static int fault_in(const char *call, int at, const char *path) {
    char link[64], full[8192];
    int saved = errno;
    if (!getenv("FAULT_RULES") || !path) return 0;
    if (at == AT_FDCWD || path[0] == '/') return fault(call, path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t size = readlink(link, full, 4095);
    errno = saved;
    if (size < 0) return 0;
    snprintf(full + size, sizeof full - size, "/%.4000s", path);
    return fault(call, full);
}

#define FAIL(expression, value)  \
    do {                         \
        int number_ = (expression); \
        if (number_) {           \
            errno = number_;     \
            return value;        \
        }                        \
    } while (0)
#define MODE                                                 \
    va_list list;                                            \
    va_start(list, flags);                                   \
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, int) : 0; \
    va_end(list)

int open(const char *path, int flags, ...) { MODE; REAL(int, open, const char *, int, ...); FAIL(fault("open", path), -1); return real(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; REAL(int, open64, const char *, int, ...); FAIL(fault("open", path), -1); return real(path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE; REAL(int, openat, int, const char *, int, ...); FAIL(fault_in("open", at, path), -1); return real(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE; REAL(int, openat64, int, const char *, int, ...); FAIL(fault_in("open", at, path), -1); return real(at, path, flags, mode); }
ssize_t read(int fd, void *data, size_t size) { REAL(ssize_t, read, int, void *, size_t); FAIL(fault_at("read", fd), -1); return real(fd, data, size); }
ssize_t pread(int fd, void *data, size_t size, off_t at) { REAL(ssize_t, pread, int, void *, size_t, off_t); FAIL(fault_at("read", fd), -1); return real(fd, data, size, at); }
ssize_t pread64(int fd, void *data, size_t size, off64_t at) { REAL(ssize_t, pread64, int, void *, size_t, off64_t); FAIL(fault_at("read", fd), -1); return real(fd, data, size, at); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { REAL(ssize_t, pwrite, int, const void *, size_t, off_t); FAIL(fault_at("write", fd), -1); return real(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t); FAIL(fault_at("write", fd), -1); return real(fd, data, size, at); }
ssize_t write(int fd, const void *data, size_t size) { REAL(ssize_t, write, int, const void *, size_t); FAIL(fault_at("write", fd), -1); return real(fd, data, size); }
int fsync(int fd) { REAL(int, fsync, int); FAIL(fault_at("sync", fd), -1); return real(fd); }
int fdatasync(int fd) { REAL(int, fdatasync, int); FAIL(fault_at("sync", fd), -1); return real(fd); }
int ftruncate(int fd, off_t size) { REAL(int, ftruncate, int, off_t); FAIL(fault_at("truncate", fd), -1); return real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(int, ftruncate64, int, off64_t); FAIL(fault_at("truncate", fd), -1); return real(fd, size); }
int flock(int fd, int how) { REAL(int, flock, int, int); if (how != LOCK_UN) FAIL(fault_at("flock", fd), -1); return real(fd, how); }
int stat(const char *path, struct stat *found) { REAL(int, stat, const char *, struct stat *); FAIL(fault("stat", path), -1); return real(path, found); }
int stat64(const char *path, struct stat64 *found) { REAL(int, stat64, const char *, struct stat64 *); FAIL(fault("stat", path), -1); return real(path, found); }
int lstat(const char *path, struct stat *found) { REAL(int, lstat, const char *, struct stat *); FAIL(fault("stat", path), -1); return real(path, found); }
int lstat64(const char *path, struct stat64 *found) { REAL(int, lstat64, const char *, struct stat64 *); FAIL(fault("stat", path), -1); return real(path, found); }
int fstatat(int at, const char *path, struct stat *found, int flags) { REAL(int, fstatat, int, const char *, struct stat *, int); FAIL(fault_in("stat", at, path), -1); return real(at, path, found, flags); }
int fstatat64(int at, const char *path, struct stat64 *found, int flags) { REAL(int, fstatat64, int, const char *, struct stat64 *, int); FAIL(fault_in("stat", at, path), -1); return real(at, path, found, flags); }
int fstat(int fd, struct stat *found) { REAL(int, fstat, int, struct stat *); FAIL(fault_at("fstat", fd), -1); return real(fd, found); }
int fstat64(int fd, struct stat64 *found) { REAL(int, fstat64, int, struct stat64 *); FAIL(fault_at("fstat", fd), -1); return real(fd, found); }
int unlink(const char *path) { REAL(int, unlink, const char *); FAIL(fault("unlink", path), -1); return real(path); }
int unlinkat(int at, const char *path, int flags) { REAL(int, unlinkat, int, const char *, int); FAIL(fault_in("unlink", at, path), -1); return real(at, path, flags); }
int renameat(int at, const char *path, int other, const char *to) { REAL(int, renameat, int, const char *, int, const char *); FAIL(fault_in("rename", at, path), -1); return real(at, path, other, to); }
int rename(const char *path, const char *to) { REAL(int, rename, const char *, const char *); FAIL(fault("rename", path), -1); return real(path, to); }
int mkdir(const char *path, mode_t mode) { REAL(int, mkdir, const char *, mode_t); FAIL(fault("mkdir", path), -1); return real(path, mode); }
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) { REAL(void *, mmap, void *, size_t, int, int, int, off_t); if (fd >= 0) FAIL(fault_at("mmap", fd), MAP_FAILED); return real(at, size, protection, flags, fd, offset); }
void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) { REAL(void *, mmap64, void *, size_t, int, int, int, off64_t); if (fd >= 0) FAIL(fault_at("mmap", fd), MAP_FAILED); return real(at, size, protection, flags, fd, offset); }
pid_t fork(void) { REAL(pid_t, fork, void); const char *under = getenv("FAULT_UNDER"); FAIL(fault("fork", under ? under : ""), -1); return real(); }
