// Products of matrices in panels, tile by tile; part of `kernel.cpp`.

#pragma once

#include <algorithm>

#include "vectors.hpp"

namespace {

inline Index filled(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

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

// A tile of a matrix, whose sums stay in registers.
template <Index VECTORS>
struct Tile {
    Vector sum[ROWS][VECTORS];

    // The row stride of start is `row`, which is 0 if all its rows are the same.
    inline __attribute__((always_inline)) explicit Tile(const Real* start, Index row) {
#pragma GCC unroll 8
        for (Index r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
            for (Index v = 0; v < VECTORS; ++v) sum[r][v] = at(start + r * row, v);
    }

    // Add a b. The strides of a are `row` and `column`.
    inline __attribute__((always_inline)) void add(const Real* a, Index row, Index column, const Real* b, Index inner) {
        for (Index k = 0; k < inner; ++k)
#pragma GCC unroll 8
            for (Index r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
                for (Index v = 0; v < VECTORS; ++v) sum[r][v] += a[r * row + k * column] * at(b, k * VECTORS + v);
    }

    inline __attribute__((always_inline)) void store(Real* c) const {
#pragma GCC unroll 8
        for (Index r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
            for (Index v = 0; v < VECTORS; ++v) at(c, r * VECTORS + v) = sum[r][v];
    }
};

// Compute the rows `from` ... `to` - 1 of a panel of c = a b, plus `start` in those before `started`; a is rows x inner,
// b a panel of inner rows.
template <Index VECTORS>
inline void product(const Real* a, const Real* b, Index rows, Index from, Index to, Index inner, const Real* start,
                    Index started, Real* c) {
    alignas(BYTES) static const Real zero[PANEL] = {};
    const Index columns = filled(inner, HALF), wide = VECTORS * LANES;
    for (Index i = from; i < to; i += ROWS) {
        Tile<VECTORS> tile(i < started ? start : zero, 0);
        for (Index k = 0; k < inner; k += PANEL) {
            const Index row = std::min(columns - k, PANEL);
            tile.add(a + k * rows + i * row, row, 1, b + k * wide, std::min(inner - k, PANEL));
        }
        tile.store(c + i * wide);
    }
}

// Compute a panel of c += a^T b; a is rows x columns, b a panel of `rows` rows.
template <Index VECTORS>
inline void add_product_transposed(const Real* a, const Real* b, Index rows, Index columns, Real* c) {
    for (Index i = 0; i < columns; i += ROWS, c += ROWS * VECTORS * LANES) {
        const Index from = i / PANEL * PANEL, row = std::min(filled(columns, HALF) - from, PANEL);
        Tile<VECTORS> tile(c, VECTORS * LANES);
        tile.add(a + from * rows + i - from, 1, row, b, rows);
        tile.store(c);
    }
}

}  // namespace
