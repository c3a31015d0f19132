// The pass through a network at a slice of a member's points, block by block, and back; part of `kernel.cpp`.

#pragma once

#include "activations.hpp"
#include "workspace.hpp"

namespace {

using Activation = ACTIVATION;

// A slice of a member's points.
class Slice : Workspace {
   public:
    Slice(const Stack& net, Index number, Real* workspace)
        : Workspace(net, number, workspace), lambda_d(net.lambda_d ? net.lambda_d[m] : 0),
          tangents(lambda_d != 0 ? size.tangents : 0) {}

    // Write the loss of the member's points begin ... end - 1 and its gradient, or the network itself at each point.
    void pass(Index begin, Index end) {
        load();
        for (; begin < end; begin += net.block) {
            before = begin, n = std::min(net.block, end - begin);
            values = filled(n, ROWS), rows = (1 + tangents) * values, carried_on = size.reverse ? values : rows;
            forward();
            if (rows > carried_on) pull();
            compare();
            if (net.u) continue;
            if (rows > carried_on) push();
            back();
        }
        if (net.u) return;
        store();
        net.loss[number] = Real(mse_f + lambda_d * mse_df);
    }

   private:
    const Real lambda_d;
    const Index tangents;        // D, or P in reverse mode, or 0 for MSE_f alone
    Index before = 0, n = 0;     // the points before the block; the block's points
    Index values = 0, rows = 0;  // n padded; a matrix's rows: first of values, then of tangents
    Index carried_on = 0;        // the rows that are carried forward, and their adjoints back, in one go
    double mse_f = 0, mse_df = 0;

    // The place of the block's point i among those of all members.
    Index place(Index i) const {
        return m * net.all + (net.batch ? net.batch[m * net.points + before + i] : before + i);
    }

    // The place of an input, or in reverse mode of u' by it, in a row of the inputs.
    Real& input(Index row, Index d) const {
        const Index j = d / PANEL * PANEL;
        return inputs[j * rows + row * std::min(size.inputs - j, PANEL) + d - j];
    }

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
        if (net.u) return;
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
        const Real *top = carried(depth - 1), *w = last(edges, p);
        double mse = of_u ? mse_f : mse_df;
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
            const Real error = u + bias - labels[k], weighted = weights[k] * share / (c * c) * error;
            mse += multiply(weighted, error);
            *bar = length * factor * (2 * weighted);
            if (of_u) sum += *bar;
        }
        (of_u ? mse_f : mse_df) = mse, last_bias_bar[p] = sum;
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

}  // namespace
