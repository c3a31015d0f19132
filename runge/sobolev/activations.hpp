// The activations: s(z), s'(z) and s''(z); part of `kernel.cpp`.

#pragma once

#include "vectors.hpp"

namespace {

inline Vector sigmoid(Vector z) { return 1 / (1 + of_exp(-z)); }

// The differences 1 - s^2 and 1 - s would have the round-off of 1, however small they are.

struct tanh_ {
    static void at(Vector z, Vector& s, Vector& s1, Vector& s2) {
        const Vector e = of_exp(z < 0 ? 2 * z : -2 * z), share = 1 / (1 + e), size = (1 - e) * share;
        s = z < 0 ? -size : size, s1 = 4 * e * share * share, s2 = -2 * s * s1;
    }
};
struct relu_ {
    static void at(Vector z, Vector& s, Vector& s1, Vector& s2) {
        s = z < 0 ? 0 : z, s1 = z > 0 ? Real(1) : Real(0), s2 = Vector{};  // keeps NaN
    }
};
struct gelu_ {
    static void at(Vector z, Vector& s, Vector& s1, Vector& s2) {
        const Vector below = Real(0.5) * (1 + of_erf(z * Real(0.70710678118654752440)));
        const Vector density = of_exp(Real(-0.5) * z * z) * Real(0.39894228040143267794);
        s = z * below, s1 = below + z * density, s2 = density * (2 - z * z);
    }
};
struct sigmoid_ {
    static void at(Vector z, Vector& s, Vector& s1, Vector& s2) {
        const Vector e = of_exp(z < 0 ? z : -z), share = 1 / (1 + e);
        s = z < 0 ? e * share : share, s1 = e * share * share, s2 = s1 * (1 - 2 * s);
    }
};
struct silu_ {
    static void at(Vector z, Vector& s, Vector& s1, Vector& s2) {
        const Vector share = sigmoid(z), slope = share * (1 - share);
        s = z * share, s1 = share + z * slope, s2 = slope * (2 + z * (1 - 2 * share));
    }
};
struct softplus_ {
    static void at(Vector z, Vector& s, Vector& s1, Vector& s2) {
        const Vector low = of_exp(z < 0 ? z : -z);
        s = (z < 0 ? 0 : z) + of_log(1 + low), s1 = (z < 0 ? low : Real(1)) / (1 + low), s2 = s1 * (1 - s1);
    }
};
struct sin_ {
    static void at(Vector z, Vector& s, Vector& s1, Vector& s2) { s = of_sin(z), s1 = of_cos(z), s2 = -s; }
};

}  // namespace
