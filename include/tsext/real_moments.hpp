#pragma once

// Count, sum and sum of squared distances from the mean of floats, as PostgreSQL's float8
// aggregates keep them.

#include <cstdint>

#include "tsext/slice.hpp"

namespace tsext {

/// All zero bytes are the state of no values. NaN and infinities are counted apart, so that an
/// overflow of the finite values can be told from a sum that is infinite by right.
///
/// Source: Youngs and Cramer, 1971, as PostgreSQL's float8_combine() has it.
struct RealMoments {
  enum Special : uint64_t { kNan = 1, kPositiveInfinity = 2, kNegativeInfinity = 4 };

  uint64_t count;    ///< of values, special ones included
  double sum;        ///< of the finite ones
  double squares;    ///< squared distances of the finite ones from their mean
  uint64_t special;  ///< Special flags

  /// Adds the values of a slice (float classes). with_squares: keeps `squares`, too.
  void Add(const Vector &vector, const Slice &slice, bool with_squares);
  /// One value, not NULL.
  void Add(double value, bool with_squares) noexcept;

  /// `values` finite values whose sum is known, finite too. `squares` is not kept.
  void AddSum(uint64_t values, double values_sum) noexcept {
    count += values;
    AddFinite(values, values_sum);
  }

  /// The sum by IEEE's rules: -0 when all values are.
  double Sum() const noexcept;
  /// 0 and the values, as float8_accum() starts: never -0.
  double SumFromZero() const noexcept { return Sum() + 0.0; }
  /// NaN as soon as there is a special value, as PostgreSQL has it.
  double Squares() const noexcept;
  /// The finite values alone are too large for a double. with_squares: or their squares.
  bool HasOverflown(bool with_squares) const noexcept;

 private:
  void AddFinite(uint64_t values, double values_sum) noexcept {
    sum = finite_ == 0 ? values_sum : sum + values_sum;
    finite_ += values;
  }
  void Join(uint64_t other_count, double other_sum, double other_squares,
            bool with_squares) noexcept;
  /// Finite values so far.
  uint64_t finite_;
};

}  // namespace tsext
