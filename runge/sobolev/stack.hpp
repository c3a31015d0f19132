// What Python passes to `kernel.cpp`: a stack of networks with its points, and steps of Adam; part of it.

#pragma once

#include <cstdint>

#include "vectors.hpp"

namespace {

// The structs that Python fills. Each list is also exported as text, from which `library.py` makes its struct.
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
    FIELD(Real* loss) FIELD(Real* gradient) /* (M, slices), (M, slices, W): the caller sums over the slices */    \
    FIELD(Real* u) FIELD(Real* du) /* (M, N, P), (M, N, P, D): the network itself, in place of both */            \
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

}  // namespace
