// The loss of each member of a stack, and its gradient: `runge.sobolev.losses.loss_and_gradient` in one pass; and many
// steps of Adam (`adam.hpp`) with that gradient, or with that of the likelihood (`likelihood.hpp`).
//
// A member's points are processed block by block, so that a block's data stay in the CPU's cache: h and g of every
// layer, z', s'(z) and s''(z), and the adjoints. A member whose lambda_d is 0 has no tangents. Consecutive blocks form
// a slice; slices run on different threads. Each slice has its own sums, so that the bits do not depend on the number
// of threads. The formulas and names are those of `runge.sobolev.network.StackedMLP`.
//
// With P outputs and D inputs, u' is in forward mode, with D tangents of each point, or in reverse mode if P < D: the
// adjoints of h, one for each output, are pulled back to the inputs, where they are u'. The gradient of a function of u'
// is that of a derivative of u in one direction for each output, v = dL/du', so that P tangents are carried forward, and
// their adjoints are known already. A layer then has 3 (1 + P) products of a point instead of 3 (1 + D).
//
// A matrix is stored in panels, each by rows, of some vectors' columns (or half as many, in a last panel). Rows and
// columns are padded, so that a product consists of whole tiles, which fit in the CPU's registers. A panel of z is
// activated while it is still in a near cache. OpenBLAS is slower at these sizes: it copies the matrices in each call.
//
// `Real` and `ACTIVATION` are set by compiler options. Everything else is an argument, so that one compiled file serves
// networks of every size.

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "activations.hpp"
#include "tiles.hpp"

namespace {

#ifndef _OPENMP
inline int omp_get_thread_num() { return 0; }
#endif

using Activation = ACTIVATION;

// The structs that Python fills. Each list is also exported as text, from which `kernel.py` makes its struct.
#define DECLARE(field) field;
#define DESCRIBE(field) #field ";"

// A stack of networks, their points, and the places of the results. Those that are null are not computed.
#define STACK(FIELD)                                                                                              \
    FIELD(Index members) FIELD(Index points) FIELD(Index dimension) FIELD(Index outputs) FIELD(Index depth)       \
    FIELD(Index width)                                                                                            \
    FIELD(Index block) FIELD(Index slices) /* the points in a block; the slices of a member */                    \
    FIELD(Index all)                       /* the N points of a member, of which `points` are in a mini-batch */  \
    FIELD(Real* theta)                     /* (M, W) */                                                           \
    FIELD(const Real* x) FIELD(const Real* f) FIELD(const Real* df) /* (M, N, D), (M, N, P), (M, N, P, D) */      \
    FIELD(const Real* weight_f) FIELD(const Real* weight_df)        /* (M, N, P), (M, N, P, D) */                 \
    FIELD(const Real* input_scale) FIELD(const Real* input_shift)   /* (M, D) each */                             \
    FIELD(const Real* scale) FIELD(const Real* lambda_d) /* (M,) each; lambda_d is null for MSE_f alone */        \
    FIELD(Real* of_channel)              /* (M, P, 1 + D): further weights, of the channels; or null */           \
    FIELD(Real* loss) FIELD(Real* gradient) /* (M, slices), (M, slices, W): the caller sums over the slices */    \
    FIELD(Real* channels) /* (M, slices, P, 1 + D): errors of each channel, in place of both; for `adam`: */      \
                          /* if not null, the loss is the likelihood */                                           \
    FIELD(Real* u) FIELD(Real* du) /* (M, N, P), (M, N, P, D): the network itself, in place of all of these */    \
    FIELD(const Index* batch)      /* (M, points): the points of a mini-batch; null: all */

struct Stack {
    STACK(DECLARE)
};

// Consecutive steps of Adam: K of them after others; `longest` is the clipped norm of a gradient, or infinity.
#define STEPS(FIELD)                                                                                     \
    FIELD(Index count) FIELD(Index before)                                                               \
    FIELD(double beta_1) FIELD(double beta_2) FIELD(double decay) FIELD(double longest)                  \
    FIELD(const double* rates)             /* (K, M) */                                                  \
    FIELD(Real* mean) FIELD(Real* square)  /* (M, W) each */

struct Steps {
    STEPS(DECLARE)
};

// Compute a b. In a sum the compiler would be free to add it before it is rounded.
inline Real multiply(Real a, Real b) {
    Real product = a * b;
#ifdef __aarch64__
    asm("" : "+w"(product));
#else
    asm("" : "+x"(product));
#endif
    return product;
}

// The sizes of the parts of a thread's workspace.
struct Sizes {
    bool reverse;                   // whether u' is in reverse mode
    Index tangents;                 // the tangents of a point
    Index columns, points, matrix;  // a block's matrix: its columns, its rows of values, its size
    Index inputs;                   // the columns of the inputs
    Index carried, edges;           // a layer's h and g, s'' and z', and s'; `edges`
    Index first, square;            // the W of the first layer; of another
    Index bars;                     // the adjoints of an output and its tangents
    Index adjoints;                 // the layers whose adjoints are kept
    Index parameters, all;
    explicit Sizes(const Stack& net)
        : reverse(net.outputs < net.dimension), tangents(std::min(net.outputs, net.dimension)),
          columns(filled(net.width, HALF)), points(filled(net.block, ROWS)),
          matrix((1 + tangents) * points * columns), inputs(filled(net.dimension, HALF)),
          carried(2 * matrix + points * columns), edges((net.depth + net.outputs) * columns), first(inputs * columns),
          square(columns * columns), bars(filled((1 + tangents) * points, LANES)),
          adjoints(reverse ? net.depth : 2),
          parameters((net.dimension + 1) * net.width + (net.depth - 1) * (net.width + 1) * net.width +
                     (net.width + 1) * net.outputs),
          all(2 * edges + 3 * first + 3 * (net.depth - 1) * square + net.depth * carried + adjoints * matrix +
              (1 + tangents) * points * inputs + net.outputs * bars) {}
};

// A slice of a member's points.
class Slice {
   public:
    Slice(const Stack& net, Index number, Real* workspace)
        : net(net), size(net), number(number), m(number / net.slices), width(net.width), dimension(net.dimension),
          outputs(net.outputs), depth(net.depth), parameters(size.parameters),
          lambda_d(net.lambda_d ? net.lambda_d[m] : 0), tangents(lambda_d != 0 ? size.tangents : 0),
          theta(net.theta + m * parameters), gradient(net.gradient + number * parameters), edges(workspace),
          edges_bar(edges + size.edges), matrices(edges_bar + size.edges),
          layers(matrices + 3 * size.first + 3 * (depth - 1) * size.square), adjoints(layers + depth * size.carried),
          inputs(adjoints + size.adjoints * size.matrix), bars(inputs + (1 + size.tangents) * size.points * size.inputs),
          last_bias_bar(outputs), of_channels(outputs * (1 + dimension)) {}

    // Write the loss of the member's points begin ... end - 1 and its gradient, or the errors of each channel, or the
    // network itself at each point.
    void pass(Index begin, Index end) {
        load();
        for (; begin < end; begin += net.block) {
            before = begin, n = std::min(net.block, end - begin);
            values = filled(n, ROWS), rows = (1 + tangents) * values, carried_on = size.reverse ? values : rows;
            forward();
            if (rows > carried_on) pull();
            compare();
            if (net.channels || net.u) continue;
            if (rows > carried_on) push();
            back();
        }
        if (net.u) return;
        if (net.channels) {
            std::copy(of_channels.begin(), of_channels.end(), net.channels + number * Index(of_channels.size()));
            return;
        }
        store();
        net.loss[number] = Real(mse_f + lambda_d * mse_df);
    }

   private:
    const Stack& net;
    const Sizes size;
    const Index number, m, width, dimension, outputs, depth, parameters;
    const Real lambda_d;
    const Index tangents;  // D, or P in reverse mode, or 0 for MSE_f alone
    const Real* const theta;
    Real* const gradient;
    Real *const edges, *const edges_bar;   // b of the hidden layers; the last W, by columns
    Real *const matrices;                  // for each layer but the last: W, its transpose, its gradient
    Real *const layers, *const adjoints;   // the block's hidden layers
    Real *const inputs;                    // those to the first of them; in reverse mode u', then its adjoints
    Real *const bars;                      // the adjoints of u and u'
    Index before = 0, n = 0;               // the points before the block; the block's points
    Index values = 0, rows = 0;            // n padded; a matrix's rows: first of values, then of tangents
    Index carried_on = 0;                  // the rows that are carried forward, and their adjoints back, in one go
    double mse_f = 0, mse_df = 0;
    std::vector<Real> last_bias_bar;
    std::vector<double> of_channels;

    // The place of the block's point i among those of all members.
    Index place(Index i) const {
        return m * net.all + (net.batch ? net.batch[m * net.points + before + i] : before + i);
    }

    // The offsets of W and b of layers 0 to depth in theta.
    Index weights(Index layer) const {
        return layer == 0 ? 0 : (dimension + 1) * width + (layer - 1) * (width + 1) * width;
    }
    Index biases(Index layer) const {
        return weights(layer) + (layer == 0 ? dimension : width) * (layer == depth ? outputs : width);
    }

    // The same parameters, padded, in the workspace.
    Real* bias(Real* in, Index layer) const { return in + layer * size.columns; }
    Real* last(Real* in, Index p) const { return bias(in, depth + p); }
    Real* bars_of(Index p) const { return bars + p * size.bars; }
    Index fan_in(Index layer) const { return layer == 0 ? dimension : width; }
    Index extent(Index layer) const { return layer == 0 ? size.first : size.square; }
    Real* matrix(Index layer) const {
        return matrices + (layer == 0 ? 0 : 3 * size.first + 3 * (layer - 1) * size.square);
    }
    Real* transposed(Index layer) const { return matrix(layer) + extent(layer); }
    Real* matrix_bar(Index layer) const { return transposed(layer) + extent(layer); }

    // The results of a hidden layer: h and g; s''(z) and z'; s'(z). What layer 0 has from layer -1 are the inputs.
    Real* carried(Index layer) const { return layer < 0 ? inputs : layers + layer * size.carried; }
    Real* linear(Index layer) const { return carried(layer) + size.matrix; }
    Real* slope(Index layer) const { return linear(layer) + size.matrix; }
    // The adjoints of h and g, then of z and z'.
    Real* adjoint(Index layer) const { return adjoints + layer % size.adjoints * size.matrix; }

    // Call f for each panel of some columns with its first one and its number of vectors.
    template <typename Function>
    static void panels(Index columns, Function f) {
        Index j = 0;
        for (; j + PANEL <= columns; j += PANEL) f(j, std::integral_constant<Index, PANEL / LANES>());
        if (j < columns) f(j, std::integral_constant<Index, HALF / LANES>());
    }
    template <typename Function>
    void panels(Function f) const {
        panels(size.columns, f);
    }

    // The place of an input, or in reverse mode of u' by it, in a row of the inputs.
    Real& input(Index row, Index d) const {
        const Index j = d / PANEL * PANEL;
        return inputs[j * rows + row * std::min(size.inputs - j, PANEL) + d - j];
    }

    void load() {
        std::fill(edges, edges + 2 * size.edges, Real(0));
        for (Index layer = 0; layer < depth; ++layer) std::copy_n(theta + biases(layer), width, bias(edges, layer));
        for (Index p = 0; p < outputs; ++p)
            for (Index i = 0; i < width; ++i) last(edges, p)[i] = theta[weights(depth) + i * outputs + p];
        for (Index layer = 0; layer < depth; ++layer) {
            const Real* w = theta + weights(layer);
            const Index inner = fan_in(layer);
            std::fill(matrix(layer), matrix(layer) + 3 * extent(layer), Real(0));
            panels([&](Index j, auto vectors) {
                const Index row = vectors * LANES, some = std::min(width - j, row);
                for (Index i = 0; i < inner; ++i)
                    std::copy_n(w + i * width + j, some, matrix(layer) + j * inner + i * row);
            });
            panels(filled(inner, HALF), [&](Index j, auto vectors) {
                const Index row = vectors * LANES, some = std::min(inner - j, row);
                for (Index i = 0; i < width; ++i)
                    for (Index k = 0; k < some; ++k)
                        transposed(layer)[j * width + i * row + k] = w[(j + k) * width + i];
            });
        }
    }

    void store() const {
        for (Index layer = 0; layer < depth; ++layer)
            std::copy_n(bias(edges_bar, layer), width, gradient + biases(layer));
        for (Index p = 0; p < outputs; ++p) {
            for (Index i = 0; i < width; ++i) gradient[weights(depth) + i * outputs + p] = last(edges_bar, p)[i];
            gradient[biases(depth) + p] = last_bias_bar[p];
        }
        for (Index layer = 0; layer < depth; ++layer)
            panels([&](Index j, auto vectors) {
                for (Index i = 0; i < fan_in(layer); ++i)
                    std::copy_n(panel_bar(layer, j) + i * vectors * LANES, std::min(width - j, vectors * LANES),
                                gradient + weights(layer) + i * width + j);
            });
    }

    // A panel of the gradient of W, whose rows are padded.
    Real* panel_bar(Index layer, Index j) const { return matrix_bar(layer) + j * filled(fan_in(layer), HALF); }

    void forward() {
        const Real *scales = net.input_scale + m * dimension, *shifts = net.input_shift + m * dimension;
        for (Index i = 0; i < values; ++i) {
            const Real* x = net.x + place(std::min(i, n - 1)) * dimension;  // repeats the last
            for (Index d = 0; d < dimension; ++d) input(i, d) = shifts[d] + x[d] * scales[d];
        }
        for (Index layer = 0; layer < depth; ++layer)
            panels([&](Index j, auto vectors) {
                const Real* w = matrix(layer) + j * fan_in(layer);
                Real* z = linear(layer) + j * rows;
                product<vectors>(carried(layer - 1), w, rows, 0, layer == 0 ? values : carried_on, fan_in(layer),
                                 bias(edges, layer) + j, values, z);
                // The tangents of the first layer are the same at all points, so each is stored once.
                if (layer == 0 && rows == carried_on)
                    for (Index d = 0; d < tangents; ++d)
                        for (Index v = 0; v < vectors; ++v)
                            at(z, (values + d) * vectors + v) = scales[d] * at(w, d * vectors + v);
                activate<vectors>(layer, j);
            });
    }

    // z' of input d at point i is in row values + d next_tangent + i next_point, and in the first layer without i.
    Index next_tangent(Index layer) const { return layer == 0 ? 1 : values; }
    static Index next_point(Index layer) { return layer == 0 ? 0 : 1; }

    // Compute a panel of h and g, s' and s'' from one of z and z'.
    template <Index VECTORS>
    void activate(Index layer, Index j) {
        Real *z = linear(layer) + j * rows, *h = carried(layer) + j * rows, *s1 = slope(layer) + j * values;
        const Index count = values * VECTORS;
        for (Index k = 0; k < count; ++k) {
            Vector first, second;
            Activation::at(at(z, k), at(h, k), first, second);
            at(s1, k) = first, at(z, k) = second;
        }
        const Index across = next_tangent(layer), along = next_point(layer), ahead = carried_on / values - 1;
        for (Index d = 0; d < ahead; ++d)
            for (Index i = 0; i < values; ++i)
                for (Index v = 0; v < VECTORS; ++v)
                    at(h, ((1 + d) * values + i) * VECTORS + v) =
                        at(s1, i * VECTORS + v) * at(z, (values + d * across + i * along) * VECTORS + v);
    }

    // Reverse mode: compute the adjoints a of h, of which there are P for each point, in place of z', and those of z,
    // a s', down to u'.
    void pull() {
        for (Index layer = depth - 1; layer >= 0; --layer)
            panels([&](Index j, auto vectors) {
                Real *a = linear(layer) + j * rows, *eps = adjoint(layer) + j * rows;
                const Real* s1 = slope(layer) + j * values;
                if (layer < depth - 1)
                    product<vectors>(adjoint(layer + 1), transposed(layer + 1) + j * width, rows, values, rows, width,
                                     nullptr, 0, a);
                for (Index p = 0; p < outputs; ++p)
                    for (Index i = 0; i < values; ++i)
                        for (Index v = 0; v < vectors; ++v) {
                            const Index k = ((1 + p) * values + i) * vectors + v;
                            if (layer == depth - 1) at(a, k) = at(last(edges, p) + j, v);
                            at(eps, k) = at(s1, i * vectors + v) * at(a, k);
                        }
            });
        panels(size.inputs, [&](Index j, auto vectors) {
            product<vectors>(adjoint(0), transposed(0) + j * width, rows, values, rows, width, nullptr, 0,
                             inputs + j * rows);
        });
    }

    // Reverse mode: carry one tangent of each output forward, in the direction of the adjoints of u', so that the sum
    // over these and u' is its derivative. In place of s'' is then what it adds to the adjoints of z.
    void push() {
        for (Index layer = 0; layer < depth; ++layer)
            panels([&](Index j, auto vectors) {
                Real *z = linear(layer) + j * rows, *g = carried(layer) + j * rows;
                const Real* s1 = slope(layer) + j * values;
                product<vectors>(carried(layer - 1), matrix(layer) + j * fan_in(layer), rows, values, rows,
                                 fan_in(layer), nullptr, 0, g);
                for (Index i = 0; i < values; ++i)
                    for (Index v = 0; v < vectors; ++v) {
                        Vector bent = {};
                        for (Index p = 0; p < outputs; ++p) {
                            const Index k = ((1 + p) * values + i) * vectors + v;
                            bent += at(g, k) * at(z, k);
                            at(g, k) *= at(s1, i * vectors + v);
                        }
                        at(z, i * vectors + v) *= bent;
                    }
                for (Index p = 0; layer == depth - 1 && p < outputs; ++p)
                    for (Index v = 0; v < vectors; ++v) {
                        Vector sum = at(last(edges_bar, p) + j, v);
                        for (Index i = 0; i < values; ++i) sum += at(g, ((1 + p) * values + i) * vectors + v);
                        at(last(edges_bar, p) + j, v) = sum;
                    }
            });
    }

    // Compute the last layer, the errors, and their adjoints.
    void compare() {
        for (Index p = 0; p < outputs; ++p)
            for (Index channel = 0; channel <= (tangents > 0 ? dimension : 0); ++channel) compare(p, channel);
        if (net.channels || net.u) return;
        Index p = 0;
        for (; p + 4 <= outputs; p += 4) spread<4>(p);
        for (; p < outputs; ++p) spread<1>(p);
    }

    // Compute the part of some outputs, from the first on, in the adjoints of the last hidden layer and of the last W.
    template <Index OUTPUTS>
    void spread(Index from) {
        const Real *top = carried(depth - 1), *bar = bars_of(from);
        Real* bars_above = adjoint(depth - 1);
        panels([&](Index j, auto vectors) {
            for (Index v = 0; v < vectors; ++v) {
                Vector column[OUTPUTS], sum[OUTPUTS];
                for (Index p = 0; p < OUTPUTS; ++p)
                    column[p] = at(last(edges, from + p) + j, v), sum[p] = at(last(edges_bar, from + p) + j, v);
                for (Index row = 0; row < carried_on; ++row) {
                    const Vector h = at(top + j * rows, row * vectors + v);
                    Vector& adjoined = at(bars_above + j * rows, row * vectors + v);
                    Vector here = from == 0 ? Vector{} : adjoined;
#pragma GCC unroll 4
                    for (Index p = 0; p < OUTPUTS; ++p) {
                        const Real one = bar[p * size.bars + row];
                        sum[p] += one * h;
                        here = from + p == 0 ? one * column[p] : here + one * column[p];
                    }
                    adjoined = here;
                }
                for (Index p = 0; p < OUTPUTS; ++p) at(last(edges_bar, from + p) + j, v) = sum[p];
            }
        });
    }

    // Add the errors of u, channel 0, or of u' by an input to the loss, and write their adjoints; or write u or u'.
    void compare(Index p, Index channel) {
        const bool of_u = channel == 0;
        const Real *labels = of_u ? net.f : net.df, *weights = of_u ? net.weight_f : net.weight_df;
        const Index stride = of_u ? outputs : outputs * dimension, offset = of_u ? p : p * dimension + channel - 1;
        const Real bias = of_u ? theta[biases(depth) + p] : 0, factor = of_u ? 1 : lambda_d;
        const Real share = Real(double(net.all) / double(net.points)), c = of_u ? 1 : net.scale[m];
        const Index of_all = p * (1 + dimension) + channel;
        const Real whole = net.of_channel ? net.of_channel[m * outputs * (1 + dimension) + of_all] : 1;
        const Real *top = carried(depth - 1), *w = last(edges, p);
        double mse = of_u ? mse_f : mse_df, own = of_channels[of_all];
        const bool pulled = !of_u && size.reverse;
        const Real length = pulled ? net.input_scale[m * dimension + channel - 1] : 1;
        Real *bar = pulled ? &input((1 + p) * values, channel - 1) : bars_of(p) + channel * values;
        const Index next = pulled ? &input(1, channel - 1) - &input(0, channel - 1) : 1;
        Real sum = last_bias_bar[p];
        for (Index i = 0; i < values; ++i, bar += next) {
            const Index row = channel * values + i;
            Real u = 0;
            if (pulled) {
                u = length * *bar;
            } else {
                Vector sums = {};
                panels([&](Index j, auto vectors) {
                    for (Index v = 0; v < vectors; ++v) sums += at(top + j * rows, row * vectors + v) * at(w + j, v);
                });
                for (Index lane = 0; lane < LANES; ++lane) u += sums[lane];
            }
            *bar = 0;
            if (i >= n) continue;
            const Index k = place(i) * stride + offset;
            if (net.u) {
                (of_u ? net.u : net.du)[k] = u + bias;
                continue;
            }
            const Real error = u + bias - labels[k], weighted = weights[k] * share * whole / (c * c) * error;
            const Real square = multiply(weighted, error);
            mse += square, own += square;
            *bar = length * factor * (2 * weighted);
            if (of_u) sum += *bar;
        }
        (of_u ? mse_f : mse_df) = mse, of_channels[of_all] = own, last_bias_bar[p] = sum;
    }

    void back() {
        panels([&](Index j, auto vectors) { differentiate<vectors>(depth - 1, j); });
        for (Index layer = depth - 1; layer > 0; --layer) {
            panels([&](Index j, auto vectors) {
                add_product_transposed<vectors>(carried(layer - 1), adjoint(layer) + j * rows, rows, width,
                                                panel_bar(layer, j));
            });
            panels([&](Index j, auto vectors) {
                product<vectors>(adjoint(layer), transposed(layer) + j * width, rows, 0, carried_on, width, nullptr, 0,
                                 adjoint(layer - 1) + j * rows);
                differentiate<vectors>(layer - 1, j);
            });
        }
        panels([&](Index j, auto vectors) {
            const Real* delta = adjoint(0) + j * rows;
            if (size.reverse) return add_product_transposed<vectors>(inputs, delta, rows, dimension, panel_bar(0, j));
            for (Index d = 0; d < dimension; ++d) {
                const Real dx = net.input_scale[m * dimension + d];
                const Real* x = &input(0, d);
                const Index next = &input(1, d) - x;
                for (Index v = 0; v < vectors; ++v) {
                    Vector sum = at(panel_bar(0, j), d * vectors + v);
                    for (Index i = 0; i < values; ++i) {
                        sum += x[i * next] * at(delta, i * vectors + v);
                        if (tangents > 0) sum += dx * at(delta, ((1 + d) * values + i) * vectors + v);
                    }
                    at(panel_bar(0, j), d * vectors + v) = sum;
                }
            }
        });
    }

    // Turn a panel of the adjoints of h and g into one of delta and epsilon, the adjoints of z and z'.
    template <Index VECTORS>
    void differentiate(Index layer, Index j) {
        const Real *s1 = slope(layer) + j * values, *z = linear(layer) + j * rows;
        const Index across = next_tangent(layer), along = next_point(layer), ahead = carried_on / values - 1;
        const bool pulled = rows > carried_on;
        Real* delta = adjoint(layer) + j * rows;
        for (Index v = 0; v < VECTORS; ++v) {
            Vector sum = at(bias(edges_bar, layer) + j, v);
            for (Index i = 0; i < values; ++i) {
                Vector& here = at(delta, i * VECTORS + v);
                Vector first = at(s1, i * VECTORS + v), bent = {};
                here *= first;
                for (Index d = 0; d < ahead; ++d) {
                    Vector& eps = at(delta, ((1 + d) * values + i) * VECTORS + v);
                    bent += eps * at(z, (values + d * across + i * along) * VECTORS + v);
                    eps *= first;
                }
                if (pulled)
                    here += at(z, i * VECTORS + v);
                else if (ahead > 0)
                    here += bent * at(z, i * VECTORS + v);  // z now holds s''(z)
                sum += here;
            }
            at(bias(edges_bar, layer) + j, v) = sum;
        }
    }
};

// Compute the loss of a slice and its gradient, or the errors of each channel.
void pass(const Stack& net, Index number, Real* workspace) {
    const Index blocks = (net.points + net.block - 1) / net.block, slice = number % net.slices;
    const Index from = blocks * slice / net.slices * net.block;  // its share of the blocks
    const Index to = std::min(net.points, blocks * (slice + 1) / net.slices * net.block);
    Slice(net, number, workspace + omp_get_thread_num() * Sizes(net).all).pass(from, to);
}

}  // namespace

#include "adam.hpp"
#include "likelihood.hpp"

extern "C" const char* fields_of_stack() { return STACK(DESCRIBE); }
extern "C" const char* fields_of_steps() { return STEPS(DESCRIBE); }

extern "C" std::int64_t workspace_of_a_thread(const Stack* net) { return Sizes(*net).all; }

extern "C" void loss_and_gradient(const Stack* net, Real* workspace, std::int64_t threads) {
#pragma omp parallel for num_threads(int(threads)) schedule(static) if (threads > 1)
    for (Index number = 0; number < net->members * net->slices; ++number) pass(*net, number, workspace);
}

// Take steps of Adam. `lambda_d` is (K, M), `batch` (K, M, points).
extern "C" void adam(const Stack* net, const Steps* steps, Real* workspace, std::int64_t threads) {
    const Index slices = net->slices, n = Sizes(*net).parameters;
    const auto at = [&](Index k, Real* channels) {
        Stack now = *net;
        if (now.lambda_d) now.lambda_d += k * net->members;
        if (now.batch) now.batch += k * net->members * net->points;
        now.channels = channels;
        if (channels) now.of_channel = nullptr;
        return now;
    };
    const auto finish = [&](Index k, Index m) {
        Real* gradient = net->gradient + m * slices * n;
        add_up(gradient, slices, n);
        update(*steps, double(steps->before + k + 1), steps->rates[k * net->members + m], gradient, n,
               net->theta + m * n, steps->mean + m * n, steps->square + m * n);
    };
    std::vector<std::vector<Labels>> labels(net->members);
    // A member's errors come before its gradient, if they weigh the channels by the labels: of a mini-batch those of the
    // step, and otherwise counted once.
    const auto weigh_channels = [&](const Stack& errors, Index k, Index m) {
        if (k == 0 || net->batch) labels[m] = labels_of(errors, m);
        weigh(errors, m, labels[m], net->of_channel);
    };
    if (slices == 1 || threads == 1) {  // a member takes all its steps while its numbers are in the cache
#pragma omp parallel for num_threads(int(threads)) schedule(static) if (threads > 1)
        for (Index m = 0; m < net->members; ++m)
            for (Index k = 0; k < steps->count; ++k) {
                const auto all = [&](const Stack& now) {
                    for (Index slice = 0; slice < slices; ++slice) pass(now, m * slices + slice, workspace);
                };
                if (net->channels) {
                    const Stack errors = at(k, net->channels);
                    all(errors);
                    weigh_channels(errors, k, m);
                }
                all(at(k, nullptr));
                finish(k, m);
            }
        return;
    }
    for (Index k = 0; k < steps->count; ++k) {
        const Stack errors = at(k, net->channels), now = at(k, nullptr);
        if (net->channels) {
            loss_and_gradient(&errors, workspace, threads);
#pragma omp parallel for num_threads(int(threads)) schedule(static)
            for (Index m = 0; m < net->members; ++m) weigh_channels(errors, k, m);
        }
        loss_and_gradient(&now, workspace, threads);
#pragma omp parallel for num_threads(int(threads)) schedule(static)
        for (Index m = 0; m < net->members; ++m) finish(k, m);
    }
}
