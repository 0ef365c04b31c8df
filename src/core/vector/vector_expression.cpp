#include "tsext/vector_expression.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

namespace tsext {

namespace {

struct IntegerRange {
  int64_t min, max;
};

IntegerRange RangeOf(PhysicalType type) noexcept {
  if (type == PhysicalType::kInt16) return {INT16_MIN, INT16_MAX};
  if (type == PhysicalType::kInt32) return {INT32_MIN, INT32_MAX};
  return {INT64_MIN, INT64_MAX};
}

void UniteNulls(const Vector &left, const Vector *right, Vector &out) noexcept {
  const bool right_has = right != nullptr && right->any_null;
  out.any_null = left.any_null || right_has;
  for (size_t i = 0; i < out.nulls.size(); i++)
    out.nulls[i] = (left.any_null ? left.nulls[i] : 0) | (right_has ? right->nulls[i] : 0);
}

/// Whether raises(row) for a row that counts.
template <typename Raises>
bool AnyRaises(const Vector &out, const Selection *selection, const Raises &raises) noexcept {
  for (uint32_t row = 0; row < out.count; row++)
    if ((selection == nullptr || selection->IsSelected(row)) && !out.IsNull(row) && raises(row))
      return true;
  return false;
}

// Each operation goes through all rows and looks closer only when one of them, perhaps one that
// does not count, seems to be an error.

/// combine(left, right, &result): whether the result does not fit 64 bits.
template <typename Combine>
bool CombineIntegers(PhysicalType type, const Vector &left, const Vector &right,
                     const Selection *selection, Vector &out, const Combine &combine) noexcept {
  const IntegerRange range = RangeOf(type);
  const auto raises = [&](uint32_t row, int64_t *result) {
    const bool is_wide = combine(left.integers[row], right.integers[row], result);
    return is_wide | (*result < range.min) | (*result > range.max);
  };
  bool is_suspicious = false;
  for (uint32_t row = 0; row < out.count; row++) is_suspicious |= raises(row, &out.integers[row]);
  if (!is_suspicious) return true;
  return !AnyRaises(out, selection, [&](uint32_t row) {
    int64_t result;
    return raises(row, &result);
  });
}

/// The result of what is an error is 0.
bool Divide(int64_t left, int64_t right, int64_t *result) noexcept {
  *result = 0;
  if (right == 0) return true;
  if (right == -1) return __builtin_sub_overflow(int64_t{0}, left, result);
  *result = left / right;
  return false;
}

bool ComputeIntegers(NumberOperation operation, PhysicalType type, const Vector &left,
                     const Vector &right, const Selection *selection, Vector &out) noexcept {
  switch (operation) {
    case NumberOperation::kAdd:
      return CombineIntegers(type, left, right, selection, out,
                             [](int64_t a, int64_t b, int64_t *result) {
                               return __builtin_add_overflow(a, b, result);
                             });
    case NumberOperation::kSubtract:
      return CombineIntegers(type, left, right, selection, out,
                             [](int64_t a, int64_t b, int64_t *result) {
                               return __builtin_sub_overflow(a, b, result);
                             });
    case NumberOperation::kMultiply:
      return CombineIntegers(type, left, right, selection, out,
                             [](int64_t a, int64_t b, int64_t *result) {
                               return __builtin_mul_overflow(a, b, result);
                             });
    case NumberOperation::kDivide:
      return CombineIntegers(type, left, right, selection, out, Divide);
    default:  // kNegate
      return CombineIntegers(type, left, left, selection, out,
                             [](int64_t a, int64_t, int64_t *result) {
                               return __builtin_sub_overflow(int64_t{0}, a, result);
                             });
  }
}

template <typename Real>
const Real *RealsOf(const Vector &vector) noexcept {
  if constexpr (std::is_same_v<Real, float>)
    return vector.floats;
  else
    return vector.doubles;
}
template <typename Real>
Real *RealsOf(Vector &vector) noexcept {
  return const_cast<Real *>(RealsOf<Real>(static_cast<const Vector &>(vector)));
}

/// raises(left, right, result); it holds only for results that are 0, infinite or NaN, and
/// not for 0 unless `zero_may_raise`.
template <typename Real, bool zero_may_raise, typename Combine, typename Raises>
bool CombineReals(const Vector &left, const Vector &right, const Selection *selection, Vector &out,
                  const Combine &combine, const Raises &raises) noexcept {
  const Real *a = RealsOf<Real>(left);
  const Real *b = RealsOf<Real>(right);
  Real *result = RealsOf<Real>(out);
  unsigned is_suspicious = 0;
  for (uint32_t row = 0; row < out.count; row++) {
    result[row] = combine(a[row], b[row]);
    is_suspicious |=
        static_cast<unsigned>(!(std::fabs(result[row]) <= std::numeric_limits<Real>::max()));
    if constexpr (zero_may_raise) is_suspicious |= static_cast<unsigned>(result[row] == 0);
  }
  return is_suspicious == 0 || !AnyRaises(out, selection, [&](uint32_t row) {
           return raises(a[row], b[row], result[row]);
         });
}

template <typename Real>
bool ComputeReals(NumberOperation operation, const Vector &left, const Vector &right,
                  const Selection *selection, Vector &out) noexcept {
  const auto is_overflow = [](Real a, Real b, Real result) {
    return std::isinf(result) && !std::isinf(a) && !std::isinf(b);
  };
  switch (operation) {
    case NumberOperation::kAdd:
      return CombineReals<Real, false>(
          left, right, selection, out, [](Real a, Real b) { return a + b; }, is_overflow);
    case NumberOperation::kSubtract:
      return CombineReals<Real, false>(
          left, right, selection, out, [](Real a, Real b) { return a - b; }, is_overflow);
    case NumberOperation::kMultiply:
      return CombineReals<Real, true>(
          left, right, selection, out, [](Real a, Real b) { return a * b; },
          [&](Real a, Real b, Real result) {
            return is_overflow(a, b, result) || (result == 0 && a != 0 && b != 0);
          });
    case NumberOperation::kDivide:
      return CombineReals<Real, true>(
          left, right, selection, out, [](Real a, Real b) { return a / b; },
          [](Real a, Real b, Real result) {
            return (b == 0 && !std::isnan(a)) || (std::isinf(result) && !std::isinf(a)) ||
                   (result == 0 && a != 0 && !std::isinf(b));
          });
    default: {  // kNegate
      const Real *values = RealsOf<Real>(left);
      Real *result = RealsOf<Real>(out);
      for (uint32_t row = 0; row < out.count; row++) result[row] = -values[row];
      return true;
    }
  }
}

template <typename Real>
bool RealsToIntegers(PhysicalType type, const Vector &in, const Selection *selection,
                     Vector &out) noexcept {
  const IntegerRange range = RangeOf(type);
  const auto min = static_cast<double>(range.min);
  const double end = -min;  // exact, which the greatest integer is not
  const Real *values = RealsOf<Real>(in);
  const auto fits = [&](double value) { return value >= min && value < end; };
  bool is_suspicious = false;
  for (uint32_t row = 0; row < out.count; row++) {
    const double value = std::nearbyint(static_cast<double>(values[row]));
    is_suspicious |= !fits(value);
    out.integers[row] = fits(value) ? static_cast<int64_t>(value) : 0;
  }
  return !is_suspicious || !AnyRaises(out, selection, [&](uint32_t row) {
    return !fits(std::nearbyint(static_cast<double>(values[row])));
  });
}

template <typename Real>
bool IntegersToReals(const Vector &in, Vector &out) noexcept {
  Real *result = RealsOf<Real>(out);
  for (uint32_t row = 0; row < out.count; row++) result[row] = static_cast<Real>(in.integers[row]);
  return true;
}

bool WidenReals(const Vector &in, Vector &out) noexcept {
  for (uint32_t row = 0; row < out.count; row++)
    out.doubles[row] = static_cast<double>(in.floats[row]);
  return true;
}

bool NarrowReals(const Vector &in, const Selection *selection, Vector &out) noexcept {
  for (uint32_t row = 0; row < out.count; row++)
    out.floats[row] = static_cast<float>(in.doubles[row]);
  return !AnyRaises(out, selection, [&](uint32_t row) {
    const float result = out.floats[row];
    return (std::isinf(result) && !std::isinf(in.doubles[row])) ||
           (result == 0 && in.doubles[row] != 0);
  });
}

void CopyValues(const Vector &in, Vector &out) noexcept {
  for (uint32_t row = 0; row < out.count; row++) out.integers[row] = in.integers[row];
}

bool Convert(PhysicalType type, const Vector &in, const Selection *selection,
             Vector &out) noexcept {
  if (in.type == type) {
    CopyValues(in, out);  // floats too: they share the memory
    return true;
  }
  if (IsInteger(type)) {
    if (in.type == PhysicalType::kFloat32) return RealsToIntegers<float>(type, in, selection, out);
    if (in.type == PhysicalType::kFloat64) return RealsToIntegers<double>(type, in, selection, out);
    return CombineIntegers(type, in, in, selection, out,
                           [](int64_t value, int64_t, int64_t *result) {
                             *result = value;
                             return false;
                           });
  }
  if (type == PhysicalType::kFloat32)
    return in.type == PhysicalType::kFloat64 ? NarrowReals(in, selection, out)
                                             : IntegersToReals<float>(in, out);
  return in.type == PhysicalType::kFloat32 ? WidenReals(in, out) : IntegersToReals<double>(in, out);
}

}  // namespace

bool ComputeNumbers(NumberOperation operation, PhysicalType type, const Vector &left,
                    const Vector &right, const Selection *selection, Vector &out) noexcept {
  const bool is_unary =
      operation == NumberOperation::kNegate || operation == NumberOperation::kConvert;
  out.type = type;
  out.count = left.count;
  UniteNulls(left, is_unary ? nullptr : &right, out);
  if (operation == NumberOperation::kConvert) return Convert(type, left, selection, out);
  if (type == PhysicalType::kFloat32)
    return ComputeReals<float>(operation, left, right, selection, out);
  if (type == PhysicalType::kFloat64)
    return ComputeReals<double>(operation, left, right, selection, out);
  return ComputeIntegers(operation, type, left, right, selection, out);
}

}  // namespace tsext
