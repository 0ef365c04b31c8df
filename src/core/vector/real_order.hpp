#pragma once

// PostgreSQL's order of floats: NaN equals NaN and is greater than anything else, -0 equals 0.

namespace tsext {

constexpr bool IsNan(double value) noexcept {
  return value != value;
}
constexpr bool RealLess(double left, double right) noexcept {
  return left < right || (IsNan(right) && !IsNan(left));
}
constexpr bool RealEqual(double left, double right) noexcept {
  return left == right || (IsNan(left) && IsNan(right));
}

}  // namespace tsext
