#pragma once

// Predicates over vectors: `column operator constant`. NULL is never true. Floats compare as
// PostgreSQL's do: NaN equals NaN and is greater than anything else, -0 equals 0.

#include <cstdint>
#include <span>

#include "tsext/selection.hpp"
#include "tsext/types.hpp"
#include "tsext/vector.hpp"

namespace tsext {

enum class Comparison : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

/// Each of these sets `out` to the rows of `vector` for which the predicate is true.
///
/// Integer classes; kFloat32 and kFloat64 (a float column is compared after widening to double).
void FilterIntegers(const Vector &vector, Comparison comparison, int64_t constant, Selection &out);
void FilterReals(const Vector &vector, Comparison comparison, double constant, Selection &out);
/// low <= value <= high.
void FilterIntegerRange(const Vector &vector, int64_t low, int64_t high, Selection &out);
/// value is one of `sorted` (ascending, no duplicates; reals: NaN last, -0 as 0).
void FilterIntegersIn(const Vector &vector, std::span<const int64_t> sorted, Selection &out);
void FilterRealsIn(const Vector &vector, std::span<const double> sorted, Selection &out);
/// Rows that are NULL; rows that are not.
void FilterNull(const Vector &vector, Selection &out);
void FilterNotNull(const Vector &vector, Selection &out);
/// Bytes classes: comparison of the bytes (memcmp, then length); kEqual and kNotEqual are a few
/// times faster than the others.
void FilterBytes(const Vector &vector, Comparison comparison, ByteView constant, Selection &out);
/// Dictionary codes: passes[code] != 0 says whether a value passes (one entry a dictionary entry).
void FilterCodes(const CodeVector &codes, std::span<const uint8_t> passes, Selection &out);

/// What a vector's (or segment's) minimum and maximum say of a predicate before any row is seen.
enum class Verdict : uint8_t { kNone, kSome, kAll };
/// Of the values that are not NULL, all within [min, max]; kAll speaks of them alone.
Verdict JudgeIntegers(int64_t min, int64_t max, Comparison comparison, int64_t constant) noexcept;
Verdict JudgeReals(double min, double max, Comparison comparison, double constant) noexcept;

}  // namespace tsext
