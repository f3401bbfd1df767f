/* Two operations of arithmetic in one pass: what cheap arithmetic costs is reading and writing.
 *
 * Rounding is that of two loops: FBP_HOLD keeps every compiler from contracting a product with a sum.
 * No include guard: kernels_level.h includes this once per real format and instruction set. */
#ifdef FBP_PAIRS

#define FN(name) FBP_CAT3(name, SUFFIX, FBP_LEVEL)
#define V FN(pair_vector)
#define WIDTH ((intptr_t)(FBP_VECTOR / sizeof(T)))

typedef T V __attribute__((vector_size(FBP_VECTOR), aligned(sizeof(T)), may_alias));

/* A number that is the same for all elements is read again and again from a short copy. With any other
 * stride the loop of single elements takes all. */
#define PAIR(NAME, FIRST, SECOND)                                                                 \
    static void FN(NAME)(char **args, const intptr_t *dimensions, const intptr_t *steps,          \
                         void *data)                                                              \
    {                                                                                             \
        T same[3][2 * FBP_VECTOR / sizeof(T)];                                                    \
        const char *x[3];                                                                         \
        char *y = args[3];                                                                        \
        intptr_t n = dimensions[0], move[3], i = steps[3] == sizeof(T) ? 0 : n;                   \
        int k;                                                                                    \
        (void)data;                                                                               \
        for (k = 0; k < 3; k++) {                                                                 \
            x[k] = args[k], move[k] = steps[k];                                                   \
            if (steps[k] == 0 && n > 0) {                                                         \
                const T value = *(const T *)args[k];                                              \
                intptr_t j;                                                                       \
                for (j = 0; j < 2 * WIDTH; j++)                                                   \
                    same[k][j] = value;                                                           \
                x[k] = (const char *)same[k];                                                     \
            } else if (steps[k] != sizeof(T)) {                                                   \
                i = n;                                                                            \
            }                                                                                     \
        }                                                                                         \
        if (i == 0) {                                                                             \
            for (; i + 2 * WIDTH <= n; i += 2 * WIDTH) {                                          \
                PAIR_VALUE(V, FIRST, SECOND, x[0], x[1], x[2], y);                                \
                PAIR_VALUE(V, FIRST, SECOND, x[0] + FBP_VECTOR, x[1] + FBP_VECTOR,                \
                           x[2] + FBP_VECTOR, y + FBP_VECTOR);                                    \
                x[0] += 2 * WIDTH * move[0], x[1] += 2 * WIDTH * move[1];                         \
                x[2] += 2 * WIDTH * move[2], y += 2 * FBP_VECTOR;                                 \
            }                                                                                     \
            for (; i + WIDTH <= n; i += WIDTH) {                                                  \
                PAIR_VALUE(V, FIRST, SECOND, x[0], x[1], x[2], y);                                \
                x[0] += WIDTH * move[0], x[1] += WIDTH * move[1], x[2] += WIDTH * move[2];        \
                y += FBP_VECTOR;                                                                  \
            }                                                                                     \
        } else {                                                                                  \
            i = 0;                                                                                \
        }                                                                                         \
        for (; i < n; i++) {                                                                      \
            PAIR_VALUE(T, FIRST, SECOND, x[0], x[1], x[2], y);                                    \
            x[0] += move[0], x[1] += move[1], x[2] += move[2], y += steps[3];                     \
        }                                                                                         \
    }

#define PAIR_VALUE(TYPE, FIRST, SECOND, X, Y, Z, TO)                                              \
    do {                                                                                          \
        const TYPE a = *(const TYPE *)(X), b = *(const TYPE *)(Y), c = *(const TYPE *)(Z);        \
        TYPE t = FIRST;                                                                           \
        FBP_HOLD(t);                                                                              \
        *(TYPE *)(TO) = SECOND;                                                                   \
    } while (0)

#define PAIRS_OF(FIRST, VALUE)                                                                    \
    PAIR(FIRST##_add, VALUE, t + c)                                                               \
    PAIR(FIRST##_subtract, VALUE, t - c)                                                          \
    PAIR(FIRST##_subtract_from, VALUE, c - t)                                                     \
    PAIR(FIRST##_multiply, VALUE, t * c)

PAIRS_OF(add, a + b)
PAIRS_OF(subtract, a - b)
PAIRS_OF(multiply, a * b)

#undef FN
#undef V
#undef WIDTH
#undef PAIR
#undef PAIR_VALUE
#undef PAIRS_OF

#endif
