#include "tsext/filter.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>

#include "tsext/bytes.hpp"

#include "core/vector/real_order.hpp"
#include "core/vector/vector_kernels.hpp"

namespace tsext {

namespace {

/// Selects the rows that are not NULL and for which passes(row) is true; it is not called for
/// NULLs.
template <typename Predicate>
void SelectWhere(const Vector &vector, const Predicate &passes, Selection &out) {
  for (uint32_t i = 0; i < Selection::kWords; i++) {
    const uint64_t nulls = vector.any_null ? vector.nulls[i] : 0;
    const uint32_t end = std::min(vector.count, (i + 1) * 64);
    uint64_t word = 0;
    for (uint32_t row = i * 64; row < end; row++) {
      const bool is_null = ((nulls >> (row % 64)) & 1) != 0;
      word |= (!is_null && passes(row) ? uint64_t{1} : uint64_t{0}) << (row % 64);
    }
    out.words[i] = word;
  }
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

namespace {

enum class Invert : bool { kNo, kYes };

template <typename VectorOrCodes>
FilterTarget TargetOf(const VectorOrCodes &vector, Selection &out, Invert invert = Invert::kNo) {
  return {.rows = vector.count,
          .invert = invert == Invert::kYes,
          .nulls = vector.any_null ? vector.nulls.data() : nullptr,
          .out = out.words.data()};
}

/// The filters over an array of doubles or floats.
template <typename T>
struct RealFilters {
  const T *values;
  void (*less)(const T *, double, const FilterTarget &);
  void (*less_equal)(const T *, double, const FilterTarget &);
  void (*equal)(const T *, double, const FilterTarget &);
  void (*nan)(const T *, const FilterTarget &);
  void (*any)(const T *, const double *, size_t, const FilterTarget &);
};

/// Calls use() with the filters for the vector's type.
template <typename Use>
void WithRealFilters(const Vector &vector, const Use &use) {
  const VectorKernels &k = CurrentVectorKernels();
  if (vector.type == PhysicalType::kFloat32) {
    use(RealFilters<float>{vector.floats, k.less_floats, k.less_equal_floats, k.equal_floats,
                           k.nan_floats, k.any_floats});
  } else {
    use(RealFilters<double>{vector.doubles, k.less_doubles, k.less_equal_doubles, k.equal_doubles,
                            k.nan_doubles, k.any_doubles});
  }
}

/// Lists up to this length are compared one by one with every value.
constexpr size_t kShortList = 12;
/// Longer ones of integers become a bitmap when they lie this close together.
constexpr uint64_t kMaxBitmapSpan = 4096;

/// Keeps those of the rows in `out` for which passes(row) is true.
template <typename Predicate>
void KeepWhere(Selection &out, const Predicate &passes) {
  for (uint32_t i = 0; i < Selection::kWords; i++) {
    uint64_t kept = 0;
    for (uint64_t word = out.words[i]; word != 0; word &= word - 1) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(word));
      kept |= (passes(i * 64 + bit) ? uint64_t{1} : uint64_t{0}) << bit;
    }
    out.words[i] = kept;
  }
}

/// True when `sorted`, not empty, has `value`. No branch that a CPU could guess wrongly.
template <typename T, typename Less, typename Equal>
bool Has(std::span<const T> sorted, T value, const Less &less, const Equal &equal) noexcept {
  const T *at = sorted.data();
  for (size_t size = sorted.size(); size > 1;) {
    const size_t half = size / 2;
    at = less(value, at[half]) ? at : at + half;
    size -= half;
  }
  return equal(*at, value);
}

}  // namespace

void FilterIntegers(const Vector &vector, Comparison comparison, int64_t constant, Selection &out) {
  const VectorKernels &kernels = CurrentVectorKernels();
  switch (comparison) {
    case Comparison::kEqual:
      return kernels.equal_integers(vector.integers, constant, TargetOf(vector, out));
    case Comparison::kNotEqual:
      return kernels.equal_integers(vector.integers, constant, TargetOf(vector, out, Invert::kYes));
    case Comparison::kLess:
      return kernels.less_integers(vector.integers, constant, TargetOf(vector, out));
    case Comparison::kGreaterEqual:
      return kernels.less_integers(vector.integers, constant, TargetOf(vector, out, Invert::kYes));
    case Comparison::kLessEqual:
      if (constant == std::numeric_limits<int64_t>::max()) return FilterNotNull(vector, out);
      return kernels.less_integers(vector.integers, constant + 1, TargetOf(vector, out));
    case Comparison::kGreater:
      if (constant == std::numeric_limits<int64_t>::max()) return out.Clear();
      return kernels.less_integers(vector.integers, constant + 1,
                                   TargetOf(vector, out, Invert::kYes));
  }
}

void FilterReals(const Vector &vector, Comparison comparison, double constant, Selection &out) {
  WithRealFilters(vector, [&](const auto &filters) {
    const FilterTarget as_is = TargetOf(vector, out);
    const FilterTarget inverted = TargetOf(vector, out, Invert::kYes);
    if (IsNan(constant)) {
      switch (comparison) {
        case Comparison::kEqual:
        case Comparison::kGreaterEqual:
          return filters.nan(filters.values, as_is);
        case Comparison::kNotEqual:
        case Comparison::kLess:
          return filters.nan(filters.values, inverted);
        case Comparison::kLessEqual:
          return FilterNotNull(vector, out);
        case Comparison::kGreater:
          return out.Clear();
      }
    }
    // A comparison of the CPU with NaN is false; its opposite is what makes NaN the greatest.
    switch (comparison) {
      case Comparison::kEqual:
        return filters.equal(filters.values, constant, as_is);
      case Comparison::kNotEqual:
        return filters.equal(filters.values, constant, inverted);
      case Comparison::kLess:
        return filters.less(filters.values, constant, as_is);
      case Comparison::kGreaterEqual:
        return filters.less(filters.values, constant, inverted);
      case Comparison::kLessEqual:
        return filters.less_equal(filters.values, constant, as_is);
      case Comparison::kGreater:
        return filters.less_equal(filters.values, constant, inverted);
    }
  });
}

void FilterIntegerRange(const Vector &vector, int64_t low, int64_t high, Selection &out) {
  if (low > high) return out.Clear();
  CurrentVectorKernels().range_integers(vector.integers, low, high, TargetOf(vector, out));
}

void FilterIntegersIn(const Vector &vector, std::span<const int64_t> sorted, Selection &out) {
  if (sorted.size() <= kShortList) {
    CurrentVectorKernels().any_integers(vector.integers, sorted.data(), sorted.size(),
                                        TargetOf(vector, out));
    return;
  }
  const int64_t low = sorted.front();
  FilterIntegerRange(vector, low, sorted.back(), out);
  const uint64_t span = static_cast<uint64_t>(sorted.back()) - static_cast<uint64_t>(low);
  if (span < kMaxBitmapSpan) {
    std::array<uint64_t, kMaxBitmapSpan / 64> bitmap{};
    const auto place = [&](int64_t value) {
      return static_cast<uint64_t>(value) - static_cast<uint64_t>(low);
    };
    for (const int64_t value : sorted)
      bitmap[place(value) / 64] |= uint64_t{1} << (place(value) % 64);
    KeepWhere(out, [&](uint32_t row) {
      const uint64_t at = place(vector.integers[row]);
      return ((bitmap[at / 64] >> (at % 64)) & 1) != 0;
    });
    return;
  }
  KeepWhere(out, [&](uint32_t row) {
    return Has(sorted, vector.integers[row], std::less<>(), std::equal_to<>());
  });
}

void FilterRealsIn(const Vector &vector, std::span<const double> sorted, Selection &out) {
  const bool has_nan = !sorted.empty() && IsNan(sorted.back());
  const std::span<const double> numbers = has_nan ? sorted.first(sorted.size() - 1) : sorted;
  WithRealFilters(vector, [&](const auto &filters) {
    if (numbers.size() <= kShortList) {
      filters.any(filters.values, numbers.data(), numbers.size(), TargetOf(vector, out));
    } else {
      FilterNotNull(vector, out);
      KeepWhere(out, [&](uint32_t row) {
        return Has(numbers, static_cast<double>(filters.values[row]), std::less<>(),
                   std::equal_to<>());
      });
    }
    if (has_nan) {
      Selection nans;
      filters.nan(filters.values, TargetOf(vector, nans));
      out.Or(nans);
    }
  });
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
    // Values of one length tend to begin alike: the last bytes tell most of them apart.
    const uint32_t size = constant.size;
    const uint32_t before = size < sizeof(uint64_t) ? size : size - uint32_t{sizeof(uint64_t)};
    const auto end_of = [&](ByteView value) {
      return before < size ? LoadUnaligned<uint64_t>(value.data + before) : 0;
    };
    const uint64_t end = end_of(constant);
    SelectWhere(
        vector,
        [&](uint32_t row) {
          const ByteView value = vector.bytes[row];
          const bool is_equal =
              value.size == size && end_of(value) == end &&
              (before == 0 || std::memcmp(value.data, constant.data, before) == 0);
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
  CurrentVectorKernels().look_up_codes(codes.codes.data(), passes.data(), passes.size(),
                                       TargetOf(codes, out));
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
