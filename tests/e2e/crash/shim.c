// Preloaded into the real server: makes its disk slow, dead or failing, kills it at a named point of
// a commit, and moves the wall clock it sees. Driven through a file of int64 words shared with the
// test (CREDBROKER_SHIM names it); all words 0: nothing happens.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The same order as SHIM_WORDS in server_process.py.
struct Words {
  volatile int64_t clock_shift_ns;  // added to the wall clock
  volatile int64_t sync_delay_ms;   // before each sync of the store
  volatile int64_t write_delay_ms;  // before each write of the store
  volatile int64_t hang;            // while 1, syncs and writes of the store wait
  volatile int64_t sync_errno;      // syncs of the store fail with it
  volatile int64_t write_errno;     // writes of the store fail with it
  volatile int64_t kill_point;      // enum Point
  volatile int64_t kill_countdown;  // dies when the point is met for the n-th time
  volatile int64_t syncs;           // counts
  volatile int64_t writes;
  volatile int64_t clock_reads;
};

enum Point {
  kNowhere,
  kReceived,         // bytes of a call were read: before begin
  kBeforeWrite,      // before a write to the write-ahead log: after begin
  kTornWrite,        // in the middle of that write
  kBeforeSync,       // all is written, nothing is synced: before commit
  kAfterSync,        // the commit is durable, nobody knows: after commit
  kBeforeReply,      // the same, at the next bytes sent to a caller: before ack
  kAfterReply,       // those bytes are sent: after ack
  kCheckpointWrite,  // before a write to the database file
};

static struct Words nothing;
static struct Words* words = &nothing;

__attribute__((constructor)) static void Attach(void) {
  const char* path = getenv("CREDBROKER_SHIM");
  const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = mmap(NULL, sizeof(struct Words), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) words = mapped;
}

#define REAL(name)                                    \
  static __typeof__(name)* real;                      \
  if (real == NULL) real = (__typeof__(name)*)dlsym(RTLD_NEXT, #name)

static void SleepMs(int64_t ms) {
  const struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static int Due(enum Point point) {
  if (words->kill_point != (int64_t)point) return 0;
  return __sync_sub_and_fetch(&words->kill_countdown, 1) == 0;
}
static void DieIfDue(enum Point point) {
  if (Due(point)) kill(getpid(), SIGKILL);
}

enum File { kOther, kDatabase, kLog };
static enum File FileOf(int fd) {
  char link[32], path[512];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof(path) - 1);
  if (size <= 0) return kOther;
  path[size] = '\0';
  const char* suffix = strstr(path, ".db");
  if (suffix == NULL) return kOther;
  if (strcmp(suffix, ".db") == 0) return kDatabase;
  return strcmp(suffix, ".db-wal") == 0 ? kLog : kOther;
}

static void Delay(int64_t ms) {
  while (words->hang) SleepMs(10);
  // In pieces, so that the end of a slow time ends it for those who wait too.
  for (; ms > 0 && (words->sync_delay_ms | words->write_delay_ms) != 0; ms -= 50) {
    SleepMs(ms < 50 ? ms : 50);
  }
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  REAL(pwrite64);
  const enum File file = FileOf(fd);
  if (file == kOther) return real(fd, bytes, size, at);
  __sync_add_and_fetch(&words->writes, 1);
  Delay(words->write_delay_ms);
  if (words->write_errno) {
    errno = (int)words->write_errno;
    return -1;
  }
  if (file == kDatabase) DieIfDue(kCheckpointWrite);
  if (file == kLog) {
    DieIfDue(kBeforeWrite);
    if (Due(kTornWrite)) {
      real(fd, bytes, size / 2, at);
      kill(getpid(), SIGKILL);
    }
  }
  return real(fd, bytes, size, at);
}

static int Sync(int fd, int (*real)(int)) {
  const enum File file = FileOf(fd);
  if (file == kOther) return real(fd);
  __sync_add_and_fetch(&words->syncs, 1);
  Delay(words->sync_delay_ms);
  if (words->sync_errno) {
    errno = (int)words->sync_errno;
    return -1;
  }
  if (file == kLog) DieIfDue(kBeforeSync);
  const int result = real(fd);
  if (file == kLog) {
    DieIfDue(kAfterSync);
    // Armed for the next reply: the countdown was for syncs.
    if (words->kill_point == kBeforeReply || words->kill_point == kAfterReply) {
      __sync_sub_and_fetch(&words->kill_countdown, 1);
    }
  }
  return result;
}
int fsync(int fd) {
  REAL(fsync);
  return Sync(fd, real);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return Sync(fd, real);
}

ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  REAL(sendmsg);
  if (words->kill_point == kBeforeReply && words->kill_countdown <= 0) kill(getpid(), SIGKILL);
  const ssize_t sent = real(fd, message, flags);
  if (words->kill_point == kAfterReply && words->kill_countdown <= 0) kill(getpid(), SIGKILL);
  return sent;
}

ssize_t recvmsg(int fd, struct msghdr* message, int flags) {
  REAL(recvmsg);
  const ssize_t size = real(fd, message, flags);
  if (size > 0) DieIfDue(kReceived);
  return size;
}

// --- the wall clock ---

static void Shift(struct timespec* t) {
  __sync_add_and_fetch(&words->clock_reads, 1);
  const int64_t shift = words->clock_shift_ns;
  int64_t nanos = t->tv_nsec + shift % 1000000000;
  t->tv_sec += shift / 1000000000;
  if (nanos < 0) nanos += 1000000000, --t->tv_sec;
  if (nanos >= 1000000000) nanos -= 1000000000, ++t->tv_sec;
  t->tv_nsec = nanos;
}

int clock_gettime(clockid_t clock, struct timespec* t) {
  REAL(clock_gettime);
  const int result = real(clock, t);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) Shift(t);
  return result;
}
int gettimeofday(struct timeval* restrict tv, void* restrict zone) {
  (void)zone;
  struct timespec t;
  if (clock_gettime(CLOCK_REALTIME, &t) != 0) return -1;
  tv->tv_sec = t.tv_sec;
  tv->tv_usec = t.tv_nsec / 1000;
  return 0;
}
time_t time(time_t* out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out != NULL) *out = t.tv_sec;
  return t.tv_sec;
}

static int Before(const struct timespec* a, const struct timespec* b) {
  return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

// abseil waits until a wall-clock time with a futex; a stepped clock ends or prolongs such a wait,
// so it is made in slices against the clock the server sees.
long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (real == NULL) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  if (number != SYS_futex || (a[1] & FUTEX_CLOCK_REALTIME) == 0 || a[3] == 0) {
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
  const struct timespec until = *(const struct timespec*)a[3];
  static int (*wall)(clockid_t, struct timespec*);
  if (wall == NULL) wall = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  while (1) {
    struct timespec seen, slice;
    clock_gettime(CLOCK_REALTIME, &seen);
    if (!Before(&seen, &until)) {
      errno = ETIMEDOUT;
      return -1;
    }
    wall(CLOCK_REALTIME, &slice);
    int64_t left = (until.tv_sec - seen.tv_sec) * 1000 + (until.tv_nsec - seen.tv_nsec) / 1000000;
    if (left < 1) left = 1;
    if (left > 50) left = 50;
    slice.tv_nsec += left * 1000000;
    if (slice.tv_nsec >= 1000000000) slice.tv_nsec -= 1000000000, ++slice.tv_sec;
    const long result = real(number, a[0], a[1], a[2], (long)&slice, a[4], a[5]);
    if (result == 0 || errno != ETIMEDOUT) return result;
  }
}
