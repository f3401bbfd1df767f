# The loops of recurrent.pyx over the steps of a segment, forward and backward.


# ---- members of the batch ----------------------------------------------------------------------

# Members are independent of each other through all steps, so threads meet once and not at every
# step.
cdef struct Parts:
    const Segment *whole
    bint backward, double
    Py_ssize_t members      # of a part


cdef void by_members(const Segment *s, bint backward, floating one) noexcept nogil:
    """Run the steps, in parts of the batch on several threads where that pays."""
    cdef Parts parts
    cdef int threads = 1
    if s.mode == PANELS and <double> s.steps * s.batch * s.n * s.width >= PARALLEL:
        threads = thread_count()
    parts.whole, parts.backward, parts.double = s, backward, floating is double
    parts.members = (s.batch + threads - 1) // threads
    parts.members = (parts.members + TOGETHER - 1) // TOGETHER * TOGETHER
    if threads == 1 or parts.members >= s.batch:
        parts.members = s.batch
        some_members(&parts, 0)
    else:
        run_parallel(some_members, &parts, <int> ((s.batch + parts.members - 1) // parts.members),
                     1)


cdef void some_members(void *context, int number) noexcept nogil:
    cdef const Parts *parts = <const Parts *> context
    cdef Segment s = parts.whole[0]
    cdef Py_ssize_t lo = number * parts.members
    s.members = min(parts.members, s.batch - lo)
    if parts.double:
        move_to[double](&s, lo, 0)
        if parts.backward:
            backward_steps[double](&s, 1)
        else:
            forward_steps[double](&s, 1)
    else:
        move_to[float](&s, lo, 0)
        if parts.backward:
            backward_steps[float](&s, 1)
        else:
            forward_steps[float](&s, 1)


cdef void move_to(Segment *s, Py_ssize_t lo, floating tag) noexcept nogil:
    """Let the addresses that steps use be those of member `lo`."""
    if lo == 0:
        return
    s.h_in = <floating *> s.h_in + lo * s.n
    s.hs = <floating *> s.hs + lo * s.n
    if s.mask != NULL:
        s.mask += lo
    if s.c_in != NULL:
        s.c_in = <floating *> s.c_in + lo * s.n
    if s.saved != NULL:
        s.saved = <floating *> s.saved + lo * s.saved_width
    if s.hw != NULL:
        s.hw = <floating *> s.hw + lo * s.width
    if s.g != NULL:
        s.g = <floating *> s.g + lo * s.n
        s.G = <floating *> s.G + lo * s.g_width
        s.h_bar = <floating *> s.h_bar + lo * s.n
    if s.c_bar != NULL:
        s.c_bar = <floating *> s.c_bar + lo * s.n


# ---- forward -----------------------------------------------------------------------------------

cdef void fill_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t ld, const floating *row,
                    floating *out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):
        memcpy(out + i * ld, row, n * sizeof(floating))


cdef void forward_segment(const Segment *s, floating one) noexcept nogil:
    cdef Py_ssize_t rows = s.steps * s.batch, ld = s.n if s.cell == RNN else s.saved_width
    cdef floating *pre = <floating *> (s.hs if s.cell == RNN else s.saved)
    if s.b != NULL:
        fill_rows(rows, s.width, ld, <const floating *> s.b, pre)
    rows_product(False, rows, s.width, s.m, <const floating *> s.xs, s.m,
                 <const floating *> s.U, s.width, one if s.b != NULL else 0 * one, pre, ld,
                 <floating *> s.scratch)
    by_members(s, False, one)


cdef void forward_steps(const Segment *s, floating one) noexcept nogil:
    cdef Py_ssize_t n = s.n, size = s.batch * n, i, t
    cdef Py_ssize_t ld = n if s.cell == RNN else s.saved_width
    cdef floating *pre = <floating *> (s.hs if s.cell == RNN else s.saved)
    cdef floating *hs = <floating *> s.hs
    cdef floating *gates
    cdef const floating *h = <const floating *> s.h_in
    cdef const floating *c = <const floating *> s.c_in
    cdef Py_ssize_t c_step = n
    for i in range(s.steps):
        t = s.steps - 1 - i if s.reverse else i
        gates = pre + t * s.batch * ld
        if s.cell == GRU:
            step_product(s, s.width, n, h, n, <const floating *> s.W, 0 * one,
                         <floating *> s.hw, s.width)
        else:
            step_product(s, s.width, n, h, n, <const floating *> s.W, one, gates, ld)
        forward_pass(s, gates, h, c, c_step, hs + t * size)
        if s.mask != NULL:
            carry(s, s.mask + t * s.batch, gates, h, c, c_step, hs + t * size)
        h = hs + t * size
        if s.cell == LSTM:
            c = gates + 4 * n
            c_step = ld


cdef inline void forward_pass(
    const Segment *s, floating *gates, const floating *h_prev, const floating *c_prev,
    Py_ssize_t c_step, floating *h,
) noexcept nogil:
    cdef Py_ssize_t n = s.n, ld = s.saved_width, r
    if s.cell == RNN:
        if floating is double:
            recurrent_d.activate(s.kind, s.members * n, h)
        else:
            recurrent_f.activate(s.kind, s.members * n, h)
        return
    for r in range(s.members):
        if s.cell == LSTM:
            if floating is double:
                recurrent_d.lstm(n, gates + r * ld, c_prev + r * c_step, h + r * n)
            else:
                recurrent_f.lstm(n, gates + r * ld, c_prev + r * c_step, h + r * n)
        elif floating is double:
            recurrent_d.gru(n, gates + r * ld, <floating *> s.hw + r * s.width,
                            <const floating *> s.c, h_prev + r * n, h + r * n)
        else:
            recurrent_f.gru(n, gates + r * ld, <floating *> s.hw + r * s.width,
                            <const floating *> s.c, h_prev + r * n, h + r * n)


cdef void carry(
    const Segment *s, const char *mask, floating *gates, const floating *h_prev,
    const floating *c_prev, Py_ssize_t c_step, floating *h,
) noexcept nogil:
    """Keep the state of the members that this step does not concern."""
    cdef Py_ssize_t n = s.n, r
    for r in range(s.members):
        if not mask[r]:
            memcpy(h + r * n, h_prev + r * n, n * sizeof(floating))
            if s.cell == LSTM:
                memcpy(gates + r * s.saved_width + 4 * n, c_prev + r * c_step,
                       n * sizeof(floating))


# ---- backward ----------------------------------------------------------------------------------

cdef void backward_segment(const Segment *s, floating one) noexcept nogil:
    by_members(s, True, one)
    weight_segment(s, one)


cdef void backward_steps(const Segment *s, floating one) noexcept nogil:
    cdef Py_ssize_t n = s.n, size = s.batch * n, ld = s.saved_width, i, t, before, c_step
    cdef floating *hs = <floating *> s.hs
    cdef floating *saved = <floating *> s.saved
    cdef floating *G
    cdef const floating *h_prev
    cdef const floating *c_prev
    cdef bint direct = s.cell == GRU or s.mask != NULL
    for i in range(s.steps - 1, -1, -1):
        t = s.steps - 1 - i if s.reverse else i
        before = t + 1 if s.reverse else t - 1
        h_prev = hs + before * size
        c_prev, c_step = saved + before * s.batch * ld + 4 * n, ld
        if i == 0:
            h_prev = <const floating *> s.h_in
            c_prev, c_step = <const floating *> s.c_in, n
        G = <floating *> s.G + t * s.batch * s.g_width
        backward_pass(s, t, h_prev, c_prev, c_step, G)
        if s.truncate > 0 and s.first + i > 0 and (s.first + i) % s.truncate == 0:
            memset(s.h_bar, 0, s.members * n * sizeof(floating))
            if s.cell == LSTM:
                memset(s.c_bar, 0, s.members * n * sizeof(floating))
            continue
        step_product(s, n, s.width, G, s.g_width, <const floating *> s.Wt,
                     one if direct else 0 * one, <floating *> s.h_bar, n)


cdef inline void backward_pass(
    const Segment *s, Py_ssize_t t, const floating *h_prev, const floating *c_prev,
    Py_ssize_t c_step, floating *G,
) noexcept nogil:
    cdef Py_ssize_t n = s.n, r, ld = s.saved_width, k
    cdef floating *h_bar = <floating *> s.h_bar
    cdef floating *c_bar = <floating *> s.c_bar
    cdef const floating *h = <const floating *> s.hs + t * s.batch * n
    cdef const floating *g = <const floating *> s.g + t * s.batch * n
    cdef const floating *gates = <const floating *> s.saved + t * s.batch * ld
    if s.cell == RNN and s.mask == NULL:
        if floating is double:
            recurrent_d.activate_vjp(s.kind, s.members * n, h, g, h_bar, G)
        else:
            recurrent_f.activate_vjp(s.kind, s.members * n, h, g, h_bar, G)
        return
    for r in range(s.members):
        if s.mask != NULL and not s.mask[t * s.batch + r]:
            memset(G, 0, s.g_width * sizeof(floating))
            for k in range(n):
                h_bar[k] += g[k]
        elif s.cell == RNN:
            if floating is double:
                recurrent_d.activate_vjp(s.kind, n, h, g, h_bar, G)
            else:
                recurrent_f.activate_vjp(s.kind, n, h, g, h_bar, G)
            memset(h_bar, 0, n * sizeof(floating))
        elif s.cell == LSTM:
            if floating is double:
                recurrent_d.lstm_vjp(n, gates, c_prev, g, h_bar, c_bar, G)
            else:
                recurrent_f.lstm_vjp(n, gates, c_prev, g, h_bar, c_bar, G)
            if s.mask != NULL:
                memset(h_bar, 0, n * sizeof(floating))
        elif floating is double:
            recurrent_d.gru_vjp(n, gates, h_prev, g, h_bar, G)
        else:
            recurrent_f.gru_vjp(n, gates, h_prev, g, h_bar, G)
        G += s.g_width
        h_bar += n
        h += n
        g += n
        h_prev += n
        gates += ld
        if s.cell == LSTM:
            c_bar += n
            c_prev += c_step


cdef void weight_segment(const Segment *s, floating one) noexcept nogil:
    """The cotangents of weights, biases and inputs, from those before the activations."""
    cdef Py_ssize_t n = s.n, width = s.width, ldg = s.g_width, rows = s.steps * s.batch
    # The state before step 0 is not among hs; the others stand one element earlier (or later).
    cdef Py_ssize_t own = (s.steps - 1) * s.batch if s.reverse else 0
    cdef Py_ssize_t later = 0 if s.reverse else s.batch
    cdef Py_ssize_t states = s.batch if s.reverse else 0
    # gru: G has the columns of h_n, r, z, n, of which W meets the first three, U the others.
    cdef floating *G = <floating *> s.G
    cdef floating *GU = G + n if s.cell == GRU else G
    if s.steps <= 0:
        return
    if s.W_bar != NULL:
        inner_product(n, width, s.batch, <const floating *> s.h_in, n, G + own * ldg, ldg,
                      <floating *> s.W_bar, width, <floating *> s.scratch)
        inner_product(n, width, rows - s.batch, <const floating *> s.hs + states * n, n,
                      G + later * ldg, ldg, <floating *> s.W_bar, width, <floating *> s.scratch)
    if s.U_bar != NULL:
        inner_product(s.m, width, rows, <const floating *> s.xs, s.m, GU, ldg,
                      <floating *> s.U_bar, width, <floating *> s.scratch)
    if s.xs_bar != NULL:
        rows_product(True, rows, s.m, width, GU, ldg, <const floating *> s.U, width, 0 * one,
                     <floating *> s.xs_bar, s.m, <floating *> s.scratch)
    if s.b_bar != NULL:
        add_rows(rows, width, ldg, GU, <floating *> s.b_bar)
    if s.bias_bar != NULL:
        add_rows(rows, n, ldg, G, <floating *> s.bias_bar)


cdef inline void add_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t ld, const floating *x,
                          floating *out) noexcept nogil:
    if floating is double:
        recurrent_d.add_rows(rows, n, ld, x, out)
    else:
        recurrent_f.add_rows(rows, n, ld, x, out)
