/* Gives the processes of one container a wall clock of their own: loaded before the C library, it adds an offset to what
 * that says of the time, and takes it off the deadlines that it is given. Containers share the kernel's clock.
 *
 * The offset is in a file of eight bytes that every process maps: nanoseconds, in the byte order of the machine. Setting
 * it takes effect at the next look of everybody. The monotonic clock is not touched, nor are the kernel's own stamps.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define OFFSET_PATH "/dev/shm/clock-offset"
#define SECOND 1000000000LL

static const int64_t right = 0;
static const int64_t *offset_ns = &right;
static int (*look)(clockid_t, struct timespec *);

__attribute__((constructor(101))) static void begin(void)
{
    look = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int file = open(OFFSET_PATH, O_RDONLY | O_CLOEXEC);
    if (file < 0) { /* the very first process, which is root's */
        file = open(OFFSET_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (file < 0)
            return;
    }
    /* another one may have made it just now, and not yet given it its size: the same size again harms nobody */
    if (lseek(file, 0, SEEK_END) < (off_t)sizeof *offset_ns && truncate(OFFSET_PATH, sizeof *offset_ns) != 0) {
        close(file);
        return;
    }
    void *map = mmap(NULL, sizeof *offset_ns, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED)
        offset_ns = map;
}

static struct timespec moved(struct timespec time, int64_t by_ns)
{
    int64_t nanoseconds = time.tv_nsec + by_ns % SECOND;
    int64_t carry = nanoseconds < 0 ? -1 : nanoseconds / SECOND;
    return (struct timespec){time.tv_sec + by_ns / SECOND + carry, nanoseconds - carry * SECOND};
}

static int64_t offset(void)
{
    return __atomic_load_n(offset_ns, __ATOMIC_RELAXED);
}

static int of_the_wall(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

/* -- looks at the clock ------------------------------------------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int failed = look ? look(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
    if (!failed && of_the_wall(clock))
        *time = moved(*time, offset());
    return failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    if (zone)
        *(struct timezone *)zone = (struct timezone){0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *time, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}

/* -- waits until a moment of the wall clock ----------------------------------------------------------------------- */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What the kernel must be told; nothing for a moment that is no valid one, which the C library refuses. */
static struct timespec kernels(const struct timespec *moment)
{
    return moment->tv_nsec < 0 || moment->tv_nsec >= SECOND ? *moment : moved(*moment, -offset());
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *moment, struct timespec *left)
{
    if (!(flags & TIMER_ABSTIME) || !of_the_wall(clock))
        return REAL(clock_nanosleep)(clock, flags, moment, left);
    struct timespec real = kernels(moment);
    return REAL(clock_nanosleep)(clock, flags, &real, left);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict moment)
{
    /* bit 1 says that it was made for the monotonic clock: glibc, nptl/pthread_cond_common.c */
    struct timespec real = condition->__data.__wrefs & 2 ? *moment : kernels(moment);
    return REAL(pthread_cond_timedwait)(condition, mutex, &real);
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
                           const struct timespec *restrict moment)
{
    struct timespec real = of_the_wall(clock) ? kernels(moment) : *moment;
    return REAL(pthread_cond_clockwait)(condition, mutex, clock, &real);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict moment)
{
    struct timespec real = kernels(moment);
    return REAL(pthread_mutex_timedlock)(mutex, &real);
}

int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict moment)
{
    struct timespec real = kernels(moment);
    return REAL(pthread_rwlock_timedrdlock)(lock, &real);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict moment)
{
    struct timespec real = kernels(moment);
    return REAL(pthread_rwlock_timedwrlock)(lock, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict moment)
{
    struct timespec real = kernels(moment);
    return REAL(sem_timedwait)(semaphore, &real);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict moment)
{
    struct timespec real = of_the_wall(clock) ? kernels(moment) : *moment;
    return REAL(sem_clockwait)(semaphore, clock, &real);
}
