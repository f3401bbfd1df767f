/* The pool of threads by itself, for ThreadSanitizer: jobs of every number of parts from several
 * callers at once, while another thread changes the number of threads, jobs inside of jobs,
 * counters and exceptions that workers raise, and children of fork(). See test_thread_pool.py. */
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thread_pool.h"

#define CALLERS 4
#define PARTS 97

static _Thread_local long long counter;
static int finished; /* atomic */

static long long read_counter(void)
{
    return counter;
}

static void add_to_counter(long long n)
{
    counter += n;
}

struct job {
    int done[PARTS]; /* plain: each part is written by one thread, and read by the caller later */
    int inner;
};

static void check(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "wrong: %s\n", what);
        exit(1);
    }
}

static void part_of_inner(void *context, int part)
{
    ((int *)context)[part] += part;
}

static void part_of_job(void *context, int part)
{
    struct job *job = context;
    job->done[part]++;
    counter++;
    if (job->inner) {
        int sums[5] = {0}, k;
        fastbp_parallel(part_of_inner, sums, 5, 1);
        for (k = 0; k < 5; k++)
            check(sums[k] == k, "a job inside of another");
    }
    if (part == PARTS / 2)
        feraiseexcept(FE_DIVBYZERO);
}

static void run(int parts, int inner)
{
    struct job job;
    long long before = counter;
    int k;
    memset(&job, 0, sizeof job);
    job.inner = inner;
    feclearexcept(FE_ALL_EXCEPT);
    fastbp_parallel(part_of_job, &job, parts, 1);
    for (k = 0; k < PARTS; k++)
        check(job.done[k] == (k < parts), "each part is done once");
    check(counter - before == parts, "what workers count comes to the caller");
    check(!fetestexcept(FE_DIVBYZERO) == (parts <= PARTS / 2), "exceptions come to the caller");
}

static void *caller(void *rounds)
{
    int k;
    for (k = 0; k < *(int *)rounds; k++)
        run(k % (PARTS + 1), k % 3 == 0);
    return NULL;
}

static void *setter(void *unused)
{
    int n = 0;
    while (!__atomic_load_n(&finished, __ATOMIC_RELAXED)) {
        fastbp_set_thread_count(1 + n++ % 6);
        check(fastbp_thread_count() >= 1, "a number of threads");
        usleep(100);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t callers[CALLERS], other;
    int k, status, rounds = argc > 1 ? atoi(argv[1]) : 1000;
    fastbp_carry(read_counter, add_to_counter);
    fastbp_set_thread_count(4);
    caller(&rounds); /* alone: the pool is never busy */
    pthread_create(&other, NULL, setter, NULL);
    for (k = 0; k < CALLERS; k++)
        pthread_create(&callers[k], NULL, caller, &rounds);
    for (k = 0; k < CALLERS; k++)
        pthread_join(callers[k], NULL);
    __atomic_store_n(&finished, 1, __ATOMIC_RELAXED);
    pthread_join(other, NULL);
    fastbp_set_thread_count(4);
    for (k = 0; k < 3; k++) {
        pid_t child = fork();
        if (child == 0) {
            run(PARTS, 1);
            _exit(0);
        }
        check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "a child of fork()");
        run(PARTS, 0);
    }
    puts("right");
    return 0;
}
