// Steps of Adam and AdamW, with the formulas of `runge.optimizers.Adam`; part of `kernel.cpp`.

#pragma once

#include <cmath>

#include "stack.hpp"

namespace {

constexpr double EPSILON = 1e-8;

// Add the numbers of the other slices to those of the first.
void add_up(Real* parts, Index slices, Index n) {
    for (Index slice = 1; slice < slices; ++slice)
#pragma omp simd
        for (Index i = 0; i < n; ++i) parts[i] += parts[slice * n + i];
}

// Take a member's step number `step`, counted from 1, with its gradient of n numbers, which is clipped.
void update(const Steps& steps, double step, double rate, Real* g, Index n, Real* theta, Real* mean, Real* square) {
    double size = 0;
    if (steps.longest < HUGE_VAL) {
#pragma omp simd reduction(+ : size)
        for (Index i = 0; i < n; ++i) size += double(g[i]) * double(g[i]);
        size = std::sqrt(size);
    }
    const Real factor = Real(size > steps.longest ? steps.longest / size : size == size ? 1 : size);  // NaN stays NaN
    const Real old_1 = Real(steps.beta_1), new_1 = Real(1 - steps.beta_1);
    const Real old_2 = Real(steps.beta_2), new_2 = Real(1 - steps.beta_2);
    const Real length = Real(rate / (1 - std::pow(steps.beta_1, step))), kept = Real(1 - rate * steps.decay);
    const Real root = Real(std::sqrt(1 - std::pow(steps.beta_2, step))), epsilon = Real(EPSILON);
#pragma omp simd
    for (Index i = 0; i < n; ++i) {
        const Real now = factor * g[i];
        mean[i] = old_1 * mean[i] + new_1 * now;
        square[i] = old_2 * square[i] + new_2 * now * now;
        theta[i] = kept * theta[i] - length * mean[i] / (std::sqrt(square[i]) / root + epsilon);
    }
}

}  // namespace
