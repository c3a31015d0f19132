// The loss of each member of a stack, and its gradient: `runge.sobolev.losses.loss_and_gradient` in one pass; and many
// steps of Adam (`adam.hpp`) with that gradient.
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
#include <cstdint>

#include "adam.hpp"
#include "slice.hpp"

namespace {

#ifndef _OPENMP
inline int omp_get_thread_num() { return 0; }
#endif

// Compute the loss of a slice and its gradient.
void pass(const Stack& net, Index number, Real* workspace) {
    const Index blocks = (net.points + net.block - 1) / net.block, slice = number % net.slices;
    const Index from = blocks * slice / net.slices * net.block;  // its share of the blocks
    const Index to = std::min(net.points, blocks * (slice + 1) / net.slices * net.block);
    Slice(net, number, workspace + omp_get_thread_num() * Sizes(net).all).pass(from, to);
}

}  // namespace

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
    const auto at = [&](Index k) {
        Stack now = *net;
        if (now.lambda_d) now.lambda_d += k * net->members;
        if (now.batch) now.batch += k * net->members * net->points;
        return now;
    };
    const auto finish = [&](Index k, Index m) {
        Real* gradient = net->gradient + m * slices * n;
        add_up(gradient, slices, n);
        update(*steps, double(steps->before + k + 1), steps->rates[k * net->members + m], gradient, n,
               net->theta + m * n, steps->mean + m * n, steps->square + m * n);
    };
    if (slices == 1 || threads == 1) {  // a member takes all its steps while its numbers are in the cache
#pragma omp parallel for num_threads(int(threads)) schedule(static) if (threads > 1)
        for (Index m = 0; m < net->members; ++m)
            for (Index k = 0; k < steps->count; ++k) {
                const Stack now = at(k);
                for (Index slice = 0; slice < slices; ++slice) pass(now, m * slices + slice, workspace);
                finish(k, m);
            }
        return;
    }
    for (Index k = 0; k < steps->count; ++k) {
        const Stack now = at(k);
        loss_and_gradient(&now, workspace, threads);
#pragma omp parallel for num_threads(int(threads)) schedule(static)
        for (Index m = 0; m < net->members; ++m) finish(k, m);
    }
}
