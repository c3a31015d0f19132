// Vectors of numbers, each in a register of the CPU, and their functions; part of `kernel.cpp`.

#pragma once

using Index = std::int64_t;

#if defined __AVX512F__
constexpr Index BYTES = 64;
#elif defined __AVX__
constexpr Index BYTES = 32;
#else
constexpr Index BYTES = 16;
#endif
typedef Real Vector __attribute__((vector_size(BYTES), may_alias));
constexpr Index LANES = BYTES / sizeof(Real);  // numbers in a vector

inline Vector& at(Real* start, Index v) { return reinterpret_cast<Vector*>(start)[v]; }
inline const Vector& at(const Real* start, Index v) { return reinterpret_cast<const Vector*>(start)[v]; }

// The rows of a tile, and the columns of half a panel, which ROWS divides. A tile's sums fit in the registers, of which
// ARM has 32, as AVX-512 has, and AVX has 16.
#ifdef __aarch64__
constexpr Index ROWS = 4, HALF = 2 * LANES;
#else
constexpr Index ROWS = BYTES / sizeof(double), HALF = LANES;
#endif
constexpr Index PANEL = 2 * HALF;
static_assert(HALF % ROWS == 0);

// The C library's functions of a whole vector, by their names: those of glibc are in libmvec, which `-lm` links. Where
// the library has none, its scalar functions are called, element by element.
#define NAME_float(single, precise) single
#define NAME_double(single, precise) precise
#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define NAME JOIN(NAME_, Real)
#if defined __APPLE__
#define NAMED(name) NAME("__simd_" #name "_f4", "__simd_" #name "_d2")
#elif defined __aarch64__
#define NAMED(name) NAME("_ZGVnN4v_" #name "f", "_ZGVnN2v_" #name)
#elif defined __AVX512F__
#define NAMED(name) NAME("_ZGVeN16v_" #name "f", "_ZGVeN8v_" #name)
#elif defined __AVX2__
#define NAMED(name) NAME("_ZGVdN8v_" #name "f", "_ZGVdN4v_" #name)
#elif defined __AVX__
#define NAMED(name) NAME("_ZGVcN8v_" #name "f", "_ZGVcN4v_" #name)
#else
#define NAMED(name) NAME("_ZGVbN4v_" #name "f", "_ZGVbN2v_" #name)
#endif
#define OF_VECTORS(name) extern "C" Vector of_##name(Vector) noexcept asm(NAMED(name)) __attribute__((const));
#define OF_NUMBERS(name)                                                         \
    inline Vector of_##name(Vector x) {                                          \
        for (Index lane = 0; lane < LANES; ++lane) x[lane] = std::name(x[lane]); \
        return x;                                                                \
    }

// True if the library is macOS's, or glibc 2.x of at least these numbers.
#if defined __APPLE__
#define SINCE(on_x86, on_arm) 1
#elif !defined __GLIBC__
#define SINCE(on_x86, on_arm) 0
#elif defined __aarch64__
#define SINCE(on_x86, on_arm) __GLIBC_PREREQ(2, on_arm)
#else
#define SINCE(on_x86, on_arm) __GLIBC_PREREQ(2, on_x86)
#endif
#if SINCE(22, 38)
#define OF OF_VECTORS
#else
#define OF OF_NUMBERS
#endif
OF(exp) OF(log) OF(sin) OF(cos)
#if SINCE(35, 40)
OF_VECTORS(erf)
#else
OF_NUMBERS(erf)
#endif
