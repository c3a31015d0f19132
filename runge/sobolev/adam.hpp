// Steps of Adam and AdamW, part of `kernel.cpp`.
//
// They equal those of `torch.optim.Adam(fused=True)` on a CPU, bit for bit, so that a run may change between
// the two. Each operation is in the order of torch's C++ file, and is fused with the next one where its compiler does so
// (torch 2.13 on x86). Other versions of torch may differ in last bits.

namespace {

// Compute a b + c with one rounding.
inline Real multiply_add(Real a, Real b, Real c) {
#if defined __FMA__ || defined __ARM_FEATURE_FMA
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

// Consecutive steps.
struct Steps {
    Index count, before;  // these steps, K; those before them
    double beta_1, beta_2, epsilon, decay, longest;  // `longest`: the clipped norm of a gradient; infinity: no limit
    const double* rates;  // (K, M)
    Real *mean, *square;  // (M, W) each
};

// How many numbers one of torch's vectors holds. It fuses the operations differently for the last numbers, which do
// not fill a vector.
constexpr Index TORCH_LANES = 32 / sizeof(Real);

// Compute the Euclidean norm. GCC reads the attribute, and clang the pragma.
__attribute__((optimize("fp-contract=off"))) Real norm(const Real* g, Index n) {
#pragma clang fp contract(off)
    Real sums[TORCH_LANES] = {}, sum = 0;
    Index i = 0;
    for (; i + TORCH_LANES <= n; i += TORCH_LANES)
        for (Index lane = 0; lane < TORCH_LANES; ++lane) sums[lane] += g[i + lane] * g[i + lane];
    for (Index lane = 0; lane < TORCH_LANES; ++lane) sum += sums[lane];
    // As torch's loop: four at a time without fusing, and the rest fused.
    for (; i < n / 4 * 4; ++i) sum += g[i] * g[i];
    for (; i < n; ++i) sum = multiply_add(g[i], g[i], sum);
    return std::sqrt(sum);
}

// Add the gradients of the slices to that of the first, as torch's `sum` does.
void add_up(Real* parts, Index slices, Index n) {
    if (slices == 1) return;
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        Real whole = 0, group = 0;
        for (Index slice = 0; slice < slices; ++slice) {
            if (slice % 16 == 0) whole += group, group = 0;
            group += parts[slice * n + i];
        }
        parts[i] = group + whole;
    }
}

// Take a member's step number `step`, counted from 1, with its gradient of n numbers, which is clipped.
void update(const Steps& steps, double step, double rate, Real* g, Index n, Real* theta, Real* mean, Real* square) {
    const Real length = Real(-rate / (1 - std::pow(steps.beta_1, step)));
    const Real root = Real(std::sqrt(1 - std::pow(steps.beta_2, step))), epsilon = Real(steps.epsilon);
    const Real new_1 = Real(1 - steps.beta_1), new_2 = Real(1 - steps.beta_2), old_2 = Real(steps.beta_2);
    const bool from_mean = new_1 < Real(0.5);  // torch's `lerp` begins at the end that is nearer
    const Real part = from_mean ? new_1 : new_1 - 1;
    if (steps.longest < HUGE_VAL) {
        const Real longest = Real(steps.longest), size = norm(g, n);
        const Real factor = 1 / (size < longest ? longest : size) * longest;
#pragma omp simd
        for (Index i = 0; i < n; ++i) g[i] *= factor;
    }
    if (steps.decay != 0) {
        const Real kept = Real(1 - rate * steps.decay);
#pragma omp simd
        for (Index i = 0; i < n; ++i) theta[i] *= kept;
    }
    const Index vectors = n / TORCH_LANES * TORCH_LANES;
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const Real now = g[i], old_mean = mean[i], old_square = square[i];
        const Real new_mean = multiply_add(part, now - old_mean, from_mean ? old_mean : now);
        const Real new_square = i < vectors ? multiply_add(new_2 * now, now, old_square * old_2)
                                            : multiply_add(old_square, old_2, new_2 * now * now);
        theta[i] += length * new_mean / (std::sqrt(new_square) / root + epsilon);
        mean[i] = new_mean, square[i] = new_square;
    }
}

}  // namespace
