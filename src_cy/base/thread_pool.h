/* Independent parts of one loop on several cores: a pool of POSIX threads. Where there are none,
 * everything runs in the calling thread. Nothing here needs the GIL. */
#ifndef FASTBP_THREAD_POOL_H
#define FASTBP_THREAD_POOL_H

#define FASTBP_MAX_THREADS 16

typedef void (*fastbp_work)(void *context, int part);

/* Threads that work together, the caller among them. Until it is set: the CPUs that this process
 * may use, at most FASTBP_NUM_THREADS, or OMP_NUM_THREADS where the first is not in the
 * environment, at most FASTBP_MAX_THREADS. */
int fastbp_thread_count(void);
void fastbp_set_thread_count(int n);

/* Calls work(context, part) for every part in [0, parts), in any order, and returns when all are
 * done. A thread is woken for every `each` parts, at least one. The calls run in the caller's floating-point environment (rounding, subnormals), and the
 * exceptions that they raise are raised in the caller. While another thread uses the pool, and
 * inside `work`, the caller does all parts itself: nothing waits for the pool. */
void fastbp_parallel(fastbp_work work, void *context, int parts, int each);

/* A counter of each thread that `work` may raise: how to read it, and to add to it. What it rises
 * by in the workers is added in the caller. To be told once, before the first job. */
void fastbp_carry(long long (*read)(void), void (*add)(long long n));

#endif
