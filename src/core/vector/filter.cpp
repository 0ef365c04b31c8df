#include "tsext/filter.hpp"

#include <algorithm>
#include <cstring>

#include "core/vector/real_order.hpp"

namespace tsext {

namespace {

/// Selects the rows that are not NULL and for which passes(row) is true.
template <typename VectorOrCodes, typename Predicate>
void SelectWhere(const VectorOrCodes &vector, const Predicate &passes, Selection &out) {
  out.Clear();
  for (uint32_t row = 0; row < vector.count; row++)
    if (!vector.IsNull(row) && passes(row)) out.Select(row);
}

double RealAt(const Vector &vector, uint32_t row) noexcept {
  return vector.type == PhysicalType::kFloat32 ? vector.floats[row] : vector.doubles[row];
}

/// memcmp, then length.
int Compare(ByteView left, ByteView right) noexcept {
  const uint32_t common = std::min(left.size, right.size);
  const int order = common == 0 ? 0 : std::memcmp(left.data, right.data, common);
  if (order != 0) return order;
  return left.size == right.size ? 0 : left.size < right.size ? -1 : 1;
}

/// Whether a value passes, from how it lies to the constant.
constexpr bool Passes(bool is_less, bool is_equal, Comparison comparison) noexcept {
  switch (comparison) {
    case Comparison::kEqual:
      return is_equal;
    case Comparison::kNotEqual:
      return !is_equal;
    case Comparison::kLess:
      return is_less;
    case Comparison::kLessEqual:
      return is_less || is_equal;
    case Comparison::kGreater:
      return !is_less && !is_equal;
    case Comparison::kGreaterEqual:
      return !is_less;
  }
  return false;
}

}  // namespace

void FilterIntegers(const Vector &vector, Comparison comparison, int64_t constant, Selection &out) {
  SelectWhere(
      vector,
      [&](uint32_t row) {
        const int64_t value = vector.integers[row];
        return Passes(value < constant, value == constant, comparison);
      },
      out);
}

void FilterReals(const Vector &vector, Comparison comparison, double constant, Selection &out) {
  SelectWhere(
      vector,
      [&](uint32_t row) {
        const double value = RealAt(vector, row);
        return Passes(RealLess(value, constant), RealEqual(value, constant), comparison);
      },
      out);
}

void FilterIntegerRange(const Vector &vector, int64_t low, int64_t high, Selection &out) {
  SelectWhere(
      vector,
      [&](uint32_t row) { return vector.integers[row] >= low && vector.integers[row] <= high; },
      out);
}

void FilterIntegersIn(const Vector &vector, std::span<const int64_t> sorted, Selection &out) {
  SelectWhere(
      vector,
      [&](uint32_t row) {
        return std::binary_search(sorted.begin(), sorted.end(), vector.integers[row]);
      },
      out);
}

void FilterRealsIn(const Vector &vector, std::span<const double> sorted, Selection &out) {
  SelectWhere(
      vector,
      [&](uint32_t row) {
        return std::binary_search(sorted.begin(), sorted.end(), RealAt(vector, row), RealLess);
      },
      out);
}

void FilterNull(const Vector &vector, Selection &out) {
  out.SelectFirst(vector.any_null ? vector.count : 0);
  for (uint32_t i = 0; vector.any_null && i < Selection::kWords; i++)
    out.words[i] &= vector.nulls[i];
}

void FilterNotNull(const Vector &vector, Selection &out) {
  out.SelectFirst(vector.count);
  for (uint32_t i = 0; vector.any_null && i < Selection::kWords; i++)
    out.words[i] &= ~vector.nulls[i];
}

void FilterBytes(const Vector &vector, Comparison comparison, ByteView constant, Selection &out) {
  if (comparison == Comparison::kEqual || comparison == Comparison::kNotEqual) {
    const bool wanted = comparison == Comparison::kEqual;
    SelectWhere(
        vector,
        [&](uint32_t row) {
          const ByteView value = vector.bytes[row];
          const bool is_equal =
              value.size == constant.size &&
              (value.size == 0 || std::memcmp(value.data, constant.data, value.size) == 0);
          return is_equal == wanted;
        },
        out);
    return;
  }
  SelectWhere(
      vector,
      [&](uint32_t row) {
        const int order = Compare(vector.bytes[row], constant);
        return Passes(order < 0, order == 0, comparison);
      },
      out);
}

void FilterCodes(const CodeVector &codes, std::span<const uint8_t> passes, Selection &out) {
  SelectWhere(
      codes, [&](uint32_t row) { return passes[codes.codes[row]] != 0; }, out);
}

namespace {

/// Of values within [min, max].
template <typename T, typename Less>
Verdict Judge(T min, T max, Comparison comparison, T constant, const Less &less) noexcept {
  switch (comparison) {
    case Comparison::kEqual:
      if (less(constant, min) || less(max, constant)) return Verdict::kNone;
      return less(min, constant) || less(constant, max) ? Verdict::kSome : Verdict::kAll;
    case Comparison::kNotEqual:
      if (less(constant, min) || less(max, constant)) return Verdict::kAll;
      return less(min, constant) || less(constant, max) ? Verdict::kSome : Verdict::kNone;
    case Comparison::kLess:
      if (!less(min, constant)) return Verdict::kNone;
      return less(max, constant) ? Verdict::kAll : Verdict::kSome;
    case Comparison::kLessEqual:
      if (less(constant, min)) return Verdict::kNone;
      return less(constant, max) ? Verdict::kSome : Verdict::kAll;
    case Comparison::kGreater:
      if (!less(constant, max)) return Verdict::kNone;
      return less(constant, min) ? Verdict::kAll : Verdict::kSome;
    case Comparison::kGreaterEqual:
      if (less(max, constant)) return Verdict::kNone;
      return less(min, constant) ? Verdict::kSome : Verdict::kAll;
  }
  return Verdict::kSome;
}

}  // namespace

Verdict JudgeIntegers(int64_t min, int64_t max, Comparison comparison, int64_t constant) noexcept {
  return Judge(min, max, comparison, constant, [](int64_t a, int64_t b) { return a < b; });
}

Verdict JudgeReals(double min, double max, Comparison comparison, double constant) noexcept {
  return Judge(min, max, comparison, constant, RealLess);
}

}  // namespace tsext
