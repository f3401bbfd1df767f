/* The pool: workers sleep on a condition variable, a job has seats for as many of them as there
 * are threads, and caller and workers take parts from one counter until none is left. A worker that
 * wakes up late finds no seat and delays nobody. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "thread_pool.h"

#if (defined(__unix__) || defined(__APPLE__)) && (defined(__GNUC__) || defined(__clang__))

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_SIZE (1 << 20) /* some platforms give far less by default */
#define SPINS 500            /* about 10 us: the last part ends sooner than a sleeper wakes up */

struct pool {
    pthread_mutex_t mutex; /* guards all fields but `next` */
    pthread_cond_t wake;   /* there are seats */
    pthread_cond_t done;   /* nobody is active */
    int workers;           /* threads started */
    int seats;             /* workers that may still join the job */
    int active;            /* workers that joined and have not finished; also read without mutex */
    int next;              /* first part that nobody has taken; atomic */
    int parts;
    int exceptions; /* floating-point exceptions that the workers raised */
    long long counted; /* by the workers */
    fenv_t environment;
    fastbp_work work;
    void *context;
};

#define IDLE_POOL                                                                                 \
    {                                                                                             \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER,                     \
        .done = PTHREAD_COND_INITIALIZER                                                          \
    }

static struct pool pool = IDLE_POOL;
static char busy;        /* atomic: a job is running */
static int thread_count; /* atomic: 0 until decided */

static long long no_count(void)
{
    return 0;
}

static void add_nothing(long long n)
{
    (void)n;
}

static long long (*read_counter)(void) = no_count;
static void (*add_to_counter)(long long n) = add_nothing;

void fastbp_carry(long long (*read)(void), void (*add)(long long n))
{
    read_counter = read;
    add_to_counter = add;
}

static int positive_number(const char *name)
{
    const char *text = getenv(name);
    long n = text == NULL ? 0 : strtol(text, NULL, 10);
    return n < 1 ? 0 : n > FASTBP_MAX_THREADS ? FASTBP_MAX_THREADS : (int)n;
}

static int usable_cpus(void)
{
    long n;
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
#endif
    n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > FASTBP_MAX_THREADS ? FASTBP_MAX_THREADS : (int)n;
}

static int default_count(void)
{
    int n = usable_cpus(), limit = positive_number("FASTBP_NUM_THREADS");
    if (limit == 0)
        limit = positive_number("OMP_NUM_THREADS");
    if (limit == 0)
        limit = FASTBP_MAX_THREADS;
    return n < limit ? n : limit;
}

int fastbp_thread_count(void)
{
    int expected = 0, n = __atomic_load_n(&thread_count, __ATOMIC_RELAXED);
    if (n > 0)
        return n;
    n = default_count();
    if (__atomic_compare_exchange_n(&thread_count, &expected, n, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        return n;
    return expected;
}

void fastbp_set_thread_count(int n)
{
    n = n < 1 ? 1 : n > FASTBP_MAX_THREADS ? FASTBP_MAX_THREADS : n;
    __atomic_store_n(&thread_count, n, __ATOMIC_RELAXED);
}

static void take_parts(fastbp_work work, void *context, int parts)
{
    int part;
    while ((part = __atomic_fetch_add(&pool.next, 1, __ATOMIC_RELAXED)) < parts)
        work(context, part);
}

static void *worker(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&pool.mutex);
    for (;;) {
        fastbp_work work;
        void *context;
        long long before;
        int parts;
        while (pool.seats == 0)
            pthread_cond_wait(&pool.wake, &pool.mutex);
        pool.seats--;
        __atomic_add_fetch(&pool.active, 1, __ATOMIC_RELAXED);
        work = pool.work;
        context = pool.context;
        parts = pool.parts;
        fesetenv(&pool.environment);
        pthread_mutex_unlock(&pool.mutex);
        feclearexcept(FE_ALL_EXCEPT);
        before = read_counter();
        take_parts(work, context, parts);
        pthread_mutex_lock(&pool.mutex);
        pool.exceptions |= fetestexcept(FE_ALL_EXCEPT);
        pool.counted += read_counter() - before;
        pool.seats = 0; /* no part is left */
        if (__atomic_sub_fetch(&pool.active, 1, __ATOMIC_RELAXED) == 0)
            pthread_cond_signal(&pool.done);
    }
    return NULL;
}

/* A child of fork() has none of the workers; the mutex may have been held by a thread that it does
 * not have either. */
static void after_fork_in_child(void)
{
    static const struct pool idle = IDLE_POOL;
    pool = idle;
    __atomic_clear(&busy, __ATOMIC_RELEASE);
}

/* Start workers until there are `wanted`, or the system refuses. Called with the mutex held. */
static void start_workers(int wanted)
{
    static int fork_handled;
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    if (pool.workers >= wanted)
        return;
    if (!fork_handled && pthread_atfork(NULL, NULL, after_fork_in_child) != 0)
        return;
    fork_handled = 1;
    if (pthread_attr_init(&attributes) != 0)
        return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    /* Workers inherit the mask: signals stay with the threads that Python knows. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < wanted && pthread_create(&thread, &attributes, worker, NULL) == 0)
        pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void open_job(fastbp_work work, void *context, int parts, int helpers)
{
    int k;
    pthread_mutex_lock(&pool.mutex);
    start_workers(helpers);
    pool.work = work;
    pool.context = context;
    pool.parts = parts;
    pool.exceptions = 0;
    pool.counted = 0;
    fegetenv(&pool.environment);
    __atomic_store_n(&pool.next, 0, __ATOMIC_RELAXED);
    pool.seats = helpers < pool.workers ? helpers : pool.workers;
    for (k = pool.seats; k > 0; k--)
        pthread_cond_signal(&pool.wake);
    pthread_mutex_unlock(&pool.mutex);
}

static void spin_while_active(void)
{
    int k;
    for (k = 0; k < SPINS && __atomic_load_n(&pool.active, __ATOMIC_RELAXED) > 0; k++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb"); /* "yield" takes no time */
#endif
    }
}

/* Returns the floating-point exceptions that the workers raised, and what they counted. */
static int close_job(long long *counted)
{
    int exceptions;
    pthread_mutex_lock(&pool.mutex);
    pool.seats = 0;
    pthread_mutex_unlock(&pool.mutex);
    spin_while_active();
    pthread_mutex_lock(&pool.mutex);
    while (pool.active > 0)
        pthread_cond_wait(&pool.done, &pool.mutex);
    exceptions = pool.exceptions;
    *counted = pool.counted;
    pthread_mutex_unlock(&pool.mutex);
    return exceptions;
}

void fastbp_parallel(fastbp_work work, void *context, int parts, int each)
{
    int part, exceptions, threads = fastbp_thread_count();
    long long counted;
    if (threads > parts / each)
        threads = parts / each;
    if (threads < 2 || __atomic_test_and_set(&busy, __ATOMIC_ACQUIRE)) {
        for (part = 0; part < parts; part++)
            work(context, part);
        return;
    }
    open_job(work, context, parts, threads - 1);
    take_parts(work, context, parts);
    exceptions = close_job(&counted);
    __atomic_clear(&busy, __ATOMIC_RELEASE);
    add_to_counter(counted);
    feraiseexcept(exceptions);
}

#else

int fastbp_thread_count(void)
{
    return 1;
}

void fastbp_set_thread_count(int n)
{
    (void)n;
}

void fastbp_carry(long long (*read)(void), void (*add)(long long n))
{
    (void)read;
    (void)add;
}

void fastbp_parallel(fastbp_work work, void *context, int parts, int each)
{
    int part;
    (void)each;
    for (part = 0; part < parts; part++)
        work(context, part);
}

#endif
