// The loss of each member of a stack, and its gradient: `runge.losses.loss_and_gradient` in one pass.
//
// A member's points are passed block by block, so that all that a block needs stays in the processor's cache: h and g of
// every layer, z and z', s'(z), and the adjoints. A member whose lambda_d is 0 has no tangents. Many blocks make slices,
// which threads may take; a slice has sums of its own, and they are added in order, so that the bits do not depend on the
// threads. The formulas and names are those of `runge.network.StackedMLP`; matrices are stored by rows.
//
// `Real` and `ACTIVATION` are set by the compiler's options. All else is an argument, so that what is compiled once
// serves networks of every size.

#include <features.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>

// Loops that are marked `omp simd` call glibc's variants of these for whole vectors of numbers (libmvec, which `-lm`
// brings; that of erf since 2.35).
#define VECTORS __attribute__((simd("notinbranch"), const))
#if __GLIBC_PREREQ(2, 35)
#define ERF_VECTORS VECTORS
#else
#define ERF_VECTORS
#endif
extern "C" {
#define DECLARED(name, how) how float name##f(float) noexcept; how double name(double) noexcept;
DECLARED(exp, VECTORS)
DECLARED(log, VECTORS)
DECLARED(sin, VECTORS)
DECLARED(cos, VECTORS)
DECLARED(erf, ERF_VECTORS)
}

namespace {

#define OVERLOADED(name)                                   \
    inline float of_##name(float x) { return name##f(x); } \
    inline double of_##name(double x) { return name(x); }
OVERLOADED(exp)
OVERLOADED(log)
OVERLOADED(sin)
OVERLOADED(cos)
OVERLOADED(erf)

inline Real sigmoid(Real z) { return 1 / (1 + of_exp(-z)); }
inline Real density(Real z) { return of_exp(Real(-0.5) * z * z) * Real(0.39894228040143267794); }

// Each activation: s and s' of z, and s'' of z, s and s'.
struct tanh_ {
    static void first(Real z, Real& s, Real& s1) { s = 1 - 2 / (of_exp(2 * z) + 1), s1 = 1 - s * s; }
    static Real second(Real, Real s, Real s1) { return -2 * s * s1; }
};
struct relu_ {
    static void first(Real z, Real& s, Real& s1) { s = z < 0 ? 0 : z, s1 = z > 0 ? 1 : 0; }  // NaN stays NaN
    static Real second(Real, Real, Real) { return 0; }
};
struct gelu_ {
    static void first(Real z, Real& s, Real& s1) {
        const Real below = Real(0.5) * (1 + of_erf(z * Real(0.70710678118654752440)));
        s = z * below, s1 = below + z * density(z);
    }
    static Real second(Real z, Real, Real) { return density(z) * (2 - z * z); }
};
struct sigmoid_ {
    static void first(Real z, Real& s, Real& s1) { s = sigmoid(z), s1 = s * (1 - s); }
    static Real second(Real, Real s, Real s1) { return s1 * (1 - 2 * s); }
};
struct silu_ {
    static void first(Real z, Real& s, Real& s1) {
        const Real share = sigmoid(z);
        s = z * share, s1 = share + s * (1 - share);
    }
    static Real second(Real z, Real, Real) {
        const Real share = sigmoid(z);
        return share * (1 - share) * (2 + z * (1 - 2 * share));
    }
};
struct softplus_ {
    static void first(Real z, Real& s, Real& s1) {
        const Real size = z < 0 ? -z : z, low = of_exp(-size);
        s = (z < 0 ? 0 : z) + of_log(1 + low);
        s1 = (z < 0 ? low : Real(1)) / (1 + low);
    }
    static Real second(Real, Real, Real s1) { return s1 * (1 - s1); }
};
struct sin_ {
    static void first(Real z, Real& s, Real& s1) { s = of_sin(z), s1 = of_cos(z); }
    static Real second(Real, Real s, Real) { return -s; }
};
using Activation = ACTIVATION;

// BLAS's ?gemm, by columns.
using Gemm = void(const char*, const char*, const int*, const int*, const int*, const Real*, const Real*, const int*,
                  const Real*, const int*, const Real*, Real*, const int*);

struct Stack {
    Gemm* gemm;
    std::int64_t members, points, dimension, depth, width;
    std::int64_t block, slices;             // the points of a block; the slices of a member's points
    const Real *theta, *x, *f, *df;         // (M, P), (M, N, D), (M, N), (M, N, D)
    const Real *weight_f, *weight_df;       // (M, N) each
    const Real *input_scale, *input_shift;  // (M, D) each
    const Real *scale, *lambda_d;           // (M,) each; lambda_d is null where u' is left out
    Real *loss, *gradient;                  // (M, slices), (M, slices, P): to be added over the slices
};

// c = a b + beta c for a of rows x inner and b of inner x columns; either may be stored as its transpose.
inline void product(Gemm* gemm, bool a_transposed, bool b_transposed, int rows, int inner, int columns, const Real* a,
                    const Real* b, Real beta, Real* c) {
    const Real one = 1;
    const int a_row = a_transposed ? rows : inner, b_row = b_transposed ? inner : columns;
    gemm(b_transposed ? "T" : "N", a_transposed ? "T" : "N", &columns, &rows, &inner, &one, b, &b_row, a, &a_row, &beta,
         c, &columns);
}

// What a thread works with: for each hidden layer h and g, ((1 + D) n, width), z and z' likewise, and s'(z), (n, width);
// twice the adjoints of z and z'; the points' inputs to the first layer. In whole cache lines.
std::int64_t workspace_size(const Stack& net) {
    const std::int64_t values = net.block * net.width, all = (1 + net.dimension) * values;
    const std::int64_t needed = net.depth * (2 * all + values) + 2 * all + net.dimension * net.block, line = 64;
    return (needed + line - 1) / line * line;
}

// A slice of a member's points.
struct Slice {
    const Stack& net;
    const std::int64_t m, width, dimension, parameters;
    const Real lambda_d;
    const bool slopes;  // whether u' counts
    const Real* const theta;
    Real* const gradient;
    Real* const workspace;
    double mse_f = 0, mse_df = 0;
    std::int64_t from = 0, n = 0;             // the block's first point, counted over all members; its points
    std::int64_t values = 0, tangents = 0;    // n times the width; D, or 0
    Real *adjoint = nullptr, *spare = nullptr;  // of z and z' of the layer at hand

    Slice(const Stack& net, std::int64_t number, Real* workspace)
        : net(net), m(number / net.slices), width(net.width), dimension(net.dimension),
          parameters((dimension + 1) * width + (net.depth - 1) * (width + 1) * width + width + 1),
          lambda_d(net.lambda_d ? net.lambda_d[m] : 0), slopes(lambda_d != 0), theta(net.theta + m * parameters),
          gradient(net.gradient + number * parameters), workspace(workspace) {}

    // Where a layer's W and b begin, of the layers 0 to depth.
    std::int64_t weights(std::int64_t layer) const {
        return layer == 0 ? 0 : (dimension + 1) * width + (layer - 1) * (width + 1) * width;
    }
    std::int64_t biases(std::int64_t layer) const {
        return weights(layer) + (layer == 0 ? dimension : width) * (layer == net.depth ? 1 : width);
    }

    // Of a hidden layer: h and g, z and z', s'(z).
    Real* carried(std::int64_t layer) const {
        return workspace + layer * (2 * (1 + dimension) + 1) * net.block * width;
    }
    Real* linear(std::int64_t layer) const { return carried(layer) + (1 + dimension) * net.block * width; }
    Real* slope(std::int64_t layer) const { return carried(layer) + 2 * (1 + dimension) * net.block * width; }
    // The inputs to the first layer.
    Real* inputs() const { return linear(net.depth) + (1 + dimension) * net.block * width; }

    // The loss of the member's points begin ... end - 1, and its gradient.
    Real pass(std::int64_t begin, std::int64_t end) {
        std::fill(gradient, gradient + parameters, Real(0));
        tangents = slopes ? dimension : 0;
        for (; begin < end; begin += net.block) {
            from = m * net.points + begin, n = std::min(net.block, end - begin), values = n * width;
            adjoint = carried(net.depth), spare = linear(net.depth);
            forward();
            compare();
            back();
        }
        return Real(mse_f + lambda_d * mse_df);
    }

    void forward() {
        // The first layer's tangents are the same at all points: they stand once, not n times.
        const Real *w = theta + weights(0), *b = theta + biases(0);
        const Real *scales = net.input_scale + m * dimension, *shifts = net.input_shift + m * dimension;
        for (std::int64_t i = 0; i < n; ++i) {
            Real* z = linear(0) + i * width;
            std::copy(b, b + width, z);
            for (std::int64_t d = 0; d < dimension; ++d) {
                const Real x = shifts[d] + net.x[(from + i) * dimension + d] * scales[d];
                inputs()[i * dimension + d] = x;
                const Real* row = w + d * width;
#pragma omp simd
                for (std::int64_t j = 0; j < width; ++j) z[j] += x * row[j];
            }
        }
        for (std::int64_t d = 0; d < tangents; ++d)
            for (std::int64_t j = 0; j < width; ++j) linear(0)[values + d * width + j] = scales[d] * w[d * width + j];
        for (std::int64_t layer = 0; layer < net.depth; ++layer) {
            if (layer > 0) {
                product(net.gemm, false, false, int((1 + tangents) * n), int(width), int(width), carried(layer - 1),
                        theta + weights(layer), 0, linear(layer));
                b = theta + biases(layer);
                for (std::int64_t i = 0; i < n; ++i) {
                    Real* z = linear(layer) + i * width;
#pragma omp simd
                    for (std::int64_t j = 0; j < width; ++j) z[j] += b[j];
                }
            }
            Real *z = linear(layer), *h = carried(layer), *s1 = slope(layer);
#pragma omp simd
            for (std::int64_t k = 0; k < values; ++k) Activation::first(z[k], h[k], s1[k]);
            for (std::int64_t d = 0; d < tangents; ++d) {
                Real* g = h + (1 + d) * values;
                if (layer == 0) {
                    const Real* dz = z + values + d * width;
                    for (std::int64_t i = 0; i < n; ++i)
#pragma omp simd
                        for (std::int64_t j = 0; j < width; ++j) g[i * width + j] = s1[i * width + j] * dz[j];
                } else {
                    const Real* dz = z + (1 + d) * values;
#pragma omp simd
                    for (std::int64_t k = 0; k < values; ++k) g[k] = s1[k] * dz[k];
                }
            }
        }
    }

    // The last layer, the errors, and their adjoints.
    void compare() {
        const Real *w = theta + weights(net.depth), *b = theta + biases(net.depth);
        Real *w_bar = gradient + weights(net.depth), *b_bar = gradient + biases(net.depth);
        const Real squared_scale = net.scale[m] * net.scale[m];
        for (std::int64_t k = 0; k < 1 + tangents; ++k)
            for (std::int64_t i = 0; i < n; ++i) {
                const Real* row = carried(net.depth - 1) + k * values + i * width;
                const std::int64_t point = from + i;
                Real sum = 0;
#pragma omp simd reduction(+ : sum)
                for (std::int64_t j = 0; j < width; ++j) sum += row[j] * w[j];
                Real bar;
                if (k == 0) {
                    const Real error = sum + b[0] - net.f[point], weighted = net.weight_f[point] * error;
                    mse_f += weighted * error;
                    bar = 2 * weighted;
                    b_bar[0] += bar;
                } else {
                    const Real error = sum - net.df[point * dimension + k - 1];
                    const Real weighted = net.weight_df[point] / squared_scale * error;
                    mse_df += weighted * error;
                    bar = lambda_d * (2 * weighted);
                }
                Real* back = adjoint + k * values + i * width;
#pragma omp simd
                for (std::int64_t j = 0; j < width; ++j) {
                    w_bar[j] += row[j] * bar;
                    back[j] = bar * w[j];
                }
            }
    }

    // `adjoint` holds delta W^T and epsilon W^T, and becomes delta and epsilon, layer after layer.
    void back() {
        for (std::int64_t layer = net.depth - 1;; --layer) {
            const Real *z = linear(layer), *h = carried(layer), *s1 = slope(layer);
            Real* b_bar = gradient + biases(layer);
            for (std::int64_t i = 0; i < n; ++i) {
                const std::int64_t at = i * width;
                Real* delta = adjoint + at;
                if (tangents == 0) {
#pragma omp simd
                    for (std::int64_t j = 0; j < width; ++j) {
                        delta[j] *= s1[at + j];
                        b_bar[j] += delta[j];
                    }
                } else if (tangents == 1) {
                    const Real* dz = z + values + (layer == 0 ? 0 : at);
                    Real* eps = delta + values;
#pragma omp simd
                    for (std::int64_t j = 0; j < width; ++j) {
                        const Real s2 = Activation::second(z[at + j], h[at + j], s1[at + j]);
                        delta[j] = delta[j] * s1[at + j] + s2 * (dz[j] * eps[j]);
                        eps[j] *= s1[at + j];
                        b_bar[j] += delta[j];
                    }
                } else {
                    Real* sum = spare;
                    std::fill(sum, sum + width, Real(0));
                    for (std::int64_t d = 0; d < tangents; ++d) {
                        const Real* dz = z + values + (layer == 0 ? d * width : d * values + at);
                        Real* eps = delta + (1 + d) * values;
#pragma omp simd
                        for (std::int64_t j = 0; j < width; ++j) {
                            sum[j] += dz[j] * eps[j];
                            eps[j] *= s1[at + j];
                        }
                    }
#pragma omp simd
                    for (std::int64_t j = 0; j < width; ++j) {
                        const Real s2 = Activation::second(z[at + j], h[at + j], s1[at + j]);
                        delta[j] = delta[j] * s1[at + j] + s2 * sum[j];
                        b_bar[j] += delta[j];
                    }
                }
            }
            if (layer == 0) break;
            product(net.gemm, true, false, int(width), int((1 + tangents) * n), int(width), carried(layer - 1), adjoint,
                    1, gradient + weights(layer));
            product(net.gemm, false, true, int((1 + tangents) * n), int(width), int(width), adjoint,
                    theta + weights(layer), 0, spare);
            std::swap(adjoint, spare);
        }
        for (std::int64_t d = 0; d < dimension; ++d) {
            Real* bar = gradient + d * width;
            for (std::int64_t i = 0; i < n; ++i) {
                const Real x = inputs()[i * dimension + d], dx = net.input_scale[m * dimension + d];
                const Real *delta = adjoint + i * width, *eps = delta + (1 + d) * values;
                if (slopes) {
#pragma omp simd
                    for (std::int64_t j = 0; j < width; ++j) bar[j] += x * delta[j] + dx * eps[j];
                } else {
#pragma omp simd
                    for (std::int64_t j = 0; j < width; ++j) bar[j] += x * delta[j];
                }
            }
        }
    }
};

}  // namespace

extern "C" std::int64_t workspace_of_a_thread(const Stack* net) { return workspace_size(*net); }

extern "C" void loss_and_gradient(const Stack* net, Real* workspace, std::int64_t threads) {
    const std::int64_t slices = net->members * net->slices, size = workspace_size(*net);
    const std::int64_t blocks = (net->points + net->block - 1) / net->block;
#pragma omp parallel for num_threads(int(threads)) schedule(static) if (threads > 1)
    for (std::int64_t number = 0; number < slices; ++number) {
        const std::int64_t slice = number % net->slices;  // its share of the blocks
        const std::int64_t from = blocks * slice / net->slices * net->block;
        const std::int64_t to = std::min(net->points, blocks * (slice + 1) / net->slices * net->block);
        net->loss[number] = Slice(*net, number, workspace + omp_get_thread_num() * size).pass(from, to);
    }
}
