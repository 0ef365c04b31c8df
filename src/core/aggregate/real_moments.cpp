#include "tsext/real_moments.hpp"

#include <cmath>
#include <limits>

namespace tsext {

namespace {

double ValueAt(const Vector &vector, uint32_t row) noexcept {
  return vector.type == PhysicalType::kFloat32 ? static_cast<double>(vector.floats[row])
                                               : vector.doubles[row];
}

}  // namespace

void RealMoments::Join(uint64_t other_count, double other_sum, double other_squares,
                       bool with_squares) noexcept {
  if (with_squares) {
    if (finite_ == 0) {
      squares = other_squares;
    } else {
      const auto count_a = static_cast<double>(finite_);
      const auto count_b = static_cast<double>(other_count);
      const double distance = sum / count_a - other_sum / count_b;
      squares += other_squares + count_a * count_b * distance * distance / (count_a + count_b);
    }
  }
  AddFinite(other_count, other_sum);
}

void RealMoments::Add(double value, bool with_squares) noexcept {
  count++;
  if (std::isfinite(value)) {
    Join(1, value, 0, with_squares);
  } else if (std::isnan(value)) {
    special |= kNan;
  } else {
    special |= value > 0 ? kPositiveInfinity : kNegativeInfinity;
  }
}

void RealMoments::Add(const Vector &vector, const Slice &slice, bool with_squares) {
  const RealSummary summary = SummarizeReals(vector, slice, kSummarySum);
  if (summary.count == 0) return;
  if (!std::isfinite(summary.sum)) {
    // Special values, or sums that are too large in the order the lanes have them.
    for (uint32_t row = slice.begin; row < slice.end; row++) {
      if (slice.selection != nullptr && !slice.selection->IsSelected(row)) continue;
      if (!vector.IsNull(row)) Add(ValueAt(vector, row), with_squares);
    }
    return;
  }
  count += summary.count;
  double other_squares = 0;
  if (with_squares && summary.count > 1)
    other_squares = SumSquaredDistances(vector, slice, summary.sum / summary.count);
  Join(summary.count, summary.sum, other_squares, with_squares);
}

double RealMoments::Sum() const noexcept {
  constexpr uint64_t kBoth = kPositiveInfinity | kNegativeInfinity;
  if ((special & kNan) != 0 || (special & kBoth) == kBoth)
    return std::numeric_limits<double>::quiet_NaN();
  if ((special & kPositiveInfinity) != 0) return std::numeric_limits<double>::infinity();
  if ((special & kNegativeInfinity) != 0) return -std::numeric_limits<double>::infinity();
  return sum;
}

double RealMoments::Squares() const noexcept {
  return special != 0 ? std::numeric_limits<double>::quiet_NaN() : squares;
}

bool RealMoments::HasOverflown(bool with_squares) const noexcept {
  if (!std::isfinite(sum)) return true;
  return with_squares && special == 0 && !std::isfinite(squares);
}

}  // namespace tsext
