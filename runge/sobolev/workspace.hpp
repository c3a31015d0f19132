// A thread's workspace: the parameters of a member in panels, its hidden layers, and their adjoints; part of
// `kernel.cpp`.

#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "stack.hpp"
#include "tiles.hpp"

namespace {

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

// The numbers of a slice of a member's points.
class Workspace {
   protected:
    Workspace(const Stack& net, Index number, Real* workspace)
        : net(net), size(net), number(number), m(number / net.slices), width(net.width), dimension(net.dimension),
          outputs(net.outputs), depth(net.depth), parameters(size.parameters),
          theta(net.theta + m * parameters), gradient(net.gradient + number * parameters), edges(workspace),
          edges_bar(edges + size.edges), matrices(edges_bar + size.edges),
          layers(matrices + 3 * size.first + 3 * (depth - 1) * size.square), adjoints(layers + depth * size.carried),
          inputs(adjoints + size.adjoints * size.matrix), bars(inputs + (1 + size.tangents) * size.points * size.inputs),
          last_bias_bar(outputs) {}

    const Stack& net;
    const Sizes size;
    const Index number, m, width, dimension, outputs, depth, parameters;
    const Real* const theta;
    Real* const gradient;
    Real *const edges, *const edges_bar;  // b of the hidden layers; the last W, by columns
    Real *const matrices;                 // for each layer but the last: W, its transpose, its gradient
    Real *const layers, *const adjoints;  // the block's hidden layers
    Real *const inputs;                   // those to the first of them; in reverse mode u', then its adjoints
    Real *const bars;                     // the adjoints of u and u'
    std::vector<Real> last_bias_bar;

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
};

}  // namespace
