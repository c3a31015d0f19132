// The weights of the channels in the loss of `runge.sobolev.likelihood`; part of `kernel.cpp`.

#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "stack.hpp"

namespace {

constexpr double ZERO = 1e-6;  // relative to the others of its output, of a partial derivative that is 0

// A channel's number of known labels, and how much a partial derivative changes the output over the points.
struct Labels {
    double known = 0, size = 0;
};

// Count the labels of each channel of a member's points, (P, 1 + D).
std::vector<Labels> labels_of(const Stack& net, Index m) {
    const Index dimension = net.dimension, outputs = net.outputs;
    std::vector<Labels> all(outputs * (1 + dimension));
    const double none = std::numeric_limits<double>::infinity();
    std::vector<double> lower(dimension, none), upper(dimension, -none);
    for (Index i = 0; i < net.points; ++i) {
        const Index point = m * net.all + (net.batch ? net.batch[m * net.points + i] : i);
        for (Index d = 0; d < dimension; ++d) {
            lower[d] = std::min(lower[d], double(net.x[point * dimension + d]));
            upper[d] = std::max(upper[d], double(net.x[point * dimension + d]));
        }
        for (Index p = 0; p < outputs; ++p) {
            const Index k = point * outputs + p;
            Labels* channel = &all[p * (1 + dimension)];
            channel[0].known += net.weight_f[k] > 0;
            for (Index d = 0; d < dimension; ++d)
                if (net.weight_df[k * dimension + d] > 0) {
                    Labels& one = channel[1 + d];
                    one.known += 1;
                    one.size = std::max(one.size, double(std::abs(net.df[k * dimension + d])));
                }
        }
    }
    for (Index p = 0; p < outputs; ++p)
        for (Index d = 0; d < dimension; ++d)
            all[p * (1 + dimension) + 1 + d].size *= upper[d] - lower[d];
    return all;
}

// Write the weights of a member's channels, (P, 1 + D), from its errors: nu_c / (2 s_c^2), or 0 where nothing is left to
// fit, and where lambda_d is 0, so that no errors of derivatives are computed. `channels` is its scratch space.
void weigh(const Stack& net, Index m, const std::vector<Labels>& labels, Real* of_channel) {
    const Index in_output = 1 + net.dimension, all = net.outputs * in_output;
    Real *errors = net.channels + m * net.slices * all, *weights = of_channel + m * all;
    add_up(errors, net.slices, all);
    std::vector<char> is_zero(all);
    double count = 0, sum = 0, others = 0;
    for (Index c = 0; c < all; ++c) {
        double largest = 0;
        for (Index d = 1; d < in_output; ++d)
            largest = std::max(largest, labels[c / in_output * in_output + d].size);
        is_zero[c] = c % in_output > 0 && labels[c].size <= ZERO * largest;
        count += labels[c].known;
        if (labels[c].known > 0 && !is_zero[c]) sum += errors[c], others += 1;
    }
    const double mean = std::max(1.0, count / double(all));
    for (Index c = 0; c < all; ++c) {
        const double nu = labels[c].known / mean;
        const double variance = errors[c] != 0 && is_zero[c] && others > 0 ? sum / others : errors[c];
        weights[c] = nu == 0 || variance == 0 ? Real(0) : Real(nu / (2 * variance));
    }
}

}  // namespace
