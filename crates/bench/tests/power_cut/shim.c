/* Records what is on the disk while a program writes, and ends the program at a chosen call, as a power cut
 * would. For tests on Linux, loaded with LD_PRELOAD.
 *
 * SHIM_ROOT is the folder that is watched, SHIM_DISK one that takes the record, SHIM_CUT the number of the
 * call at which the program ends (0: never), SHIM_COUNT a file that takes the number of calls.
 *
 * A file has on the disk what it had at its last fsync, a folder the names that it had at its own. The record:
 * DISK/f<inode> is the content of a file, DISK/d<inode> the names of a folder, a line "f|d <inode> <name>"
 * each. What is not there was never on the disk. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long calls;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below_root(const char *path) {
    const char *root = getenv("SHIM_ROOT");
    char whole[PATH_MAX];
    if (!root) return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        if (snprintf(whole, sizeof whole, "%s/%s", here, path) >= (int)sizeof whole) return 0;
        path = whole;
    }
    return strncmp(path, root, strlen(root)) == 0;
}

static int fd_below_root(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below_root(path);
}

/* Counts a call that changes something; at the chosen one the power is cut before it. */
static void count(void) {
    const char *cut = getenv("SHIM_CUT");
    long at = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (cut && atol(cut) == at) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static void record_path(char kind, ino_t inode, char *path, size_t size) {
    snprintf(path, size, "%s/%c%lu", getenv("SHIM_DISK"), kind, (unsigned long)inode);
}

/* The record of a file or folder is replaced as a whole: the power may be cut by another thread. */
static void record(int fd) {
    struct stat facts;
    char path[PATH_MAX], part[PATH_MAX + 8], line[PATH_MAX];
    if (!getenv("SHIM_DISK") || fstat(fd, &facts)) return;
    pthread_mutex_lock(&mutex);
    record_path(S_ISDIR(facts.st_mode) ? 'd' : 'f', facts.st_ino, path, sizeof path);
    snprintf(part, sizeof part, "%s.part", path);
    int out = REAL(open)(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (S_ISDIR(facts.st_mode)) {
        snprintf(line, sizeof line, "/proc/self/fd/%d", fd);
        DIR *folder = opendir(line);
        struct dirent *entry;
        while (folder && (entry = readdir(folder))) {
            if (entry->d_name[0] == '.') continue;
            int n = snprintf(line, sizeof line, "%c %lu %s\n", entry->d_type == DT_DIR ? 'd' : 'f',
                             (unsigned long)entry->d_ino, entry->d_name);
            if (REAL(write)(out, line, n) != n) abort();
        }
        if (folder) closedir(folder);
    } else {
        char bytes[65536];
        snprintf(line, sizeof line, "/proc/self/fd/%d", fd);
        int in = REAL(open)(line, O_RDONLY);
        ssize_t n;
        while ((n = read(in, bytes, sizeof bytes)) > 0)
            if (REAL(write)(out, bytes, n) != n) abort();
        close(in);
    }
    close(out);
    if (REAL(rename)(part, path)) abort();
    pthread_mutex_unlock(&mutex);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    if (fd > 2 && fd_below_root(fd)) count();
    return REAL(write)(fd, bytes, n);
}

/* Keeps a file that loses its name, so that no other takes its inode, by which the record knows it. */
static void keep(const char *path) {
    if (REAL(open)(path, O_RDONLY | O_CLOEXEC) < 0 && errno != ENOENT) abort();
}

int rename(const char *from, const char *to) {
    if (below_root(to)) {
        count();
        keep(to);
    }
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    if (below_root(path)) {
        count();
        keep(path);
    }
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    if (below_root(path)) count();
    return REAL(mkdir)(path, mode);
}

static int synced(int fd, int (*real)(int)) {
    if (!fd_below_root(fd)) return real(fd);
    count();
    record(fd);
    return 0;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("SHIM_COUNT");
    if (!path) return;
    FILE *file = fopen(path, "w");
    if (!file) return;
    fprintf(file, "%ld", calls);
    fclose(file);
}
