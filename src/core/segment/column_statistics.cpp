#include "core/segment/column_statistics.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "core/codec/interner.hpp"

namespace tsext {

namespace {

uint32_t RowsOfVector(uint32_t vector, uint32_t count) noexcept {
  return std::min(kVectorSize, count - vector * kVectorSize);
}

/// Rows [0, 64 * words) of `column` that are NULL in word `word`; bit set = NULL.
uint64_t NullWord(const ColumnView &column, uint32_t word) noexcept {
  return column.nulls == nullptr ? 0 : column.nulls[word];
}

/// Running statistics of integers or floats; floats keep NaN apart.
template <typename T>
struct Accumulator {
  using Wide = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
  using Sum = std::conditional_t<std::is_integral_v<T>, __int128, double>;

  Wide least = std::numeric_limits<Wide>::has_infinity ? std::numeric_limits<Wide>::infinity()
                                                       : std::numeric_limits<Wide>::max();
  Wide greatest = std::numeric_limits<Wide>::has_infinity ? -std::numeric_limits<Wide>::infinity()
                                                          : std::numeric_limits<Wide>::lowest();
  uint32_t ordered = 0;  ///< values seen that are not NaN
  uint32_t nans = 0;

  void Add(T value) noexcept {
    const Wide wide = value;
    if constexpr (std::is_floating_point_v<T>) {
      if (wide != wide) {
        nans++;
        return;
      }
    }
    ordered++;
    least = wide < least ? wide : least;
    greatest = wide > greatest ? wide : greatest;
  }
  void Add(const Accumulator &other) noexcept {
    if (other.ordered > 0) {
      least = std::min(least, other.least);
      greatest = std::max(greatest, other.greatest);
    }
    ordered += other.ordered;
    nans += other.nans;
  }
  bool any() const noexcept { return ordered + nans > 0; }
  Wide Min() const noexcept { return ordered > 0 ? least : std::numeric_limits<Wide>::quiet_NaN(); }
  Wide Max() const noexcept { return nans > 0 ? std::numeric_limits<Wide>::quiet_NaN() : greatest; }
};

template <typename T>
uint64_t BitsOf(T value) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<uint32_t>(value);
  } else {
    return std::bit_cast<uint64_t>(value);
  }
}

template <typename T>
void SetValue(T value, Statistic &statistic) noexcept {
  statistic.valid = true;
  if constexpr (std::is_integral_v<T>) {
    statistic.integer = value;
  } else {
    statistic.real = value;
  }
}

template <typename T>
void SummarizeNumbers(const ColumnView &column, std::span<const T> values, ColumnSummary &out) {
  using Accumulate = Accumulator<T>;
  Accumulate total;
  typename Accumulate::Sum sum{};
  DistinctCounter distinct(out.footer.min.bytes.get_allocator().resource());
  for (uint32_t v = 0; v * kVectorSize < column.count; v++) {
    const uint32_t begin = v * kVectorSize;
    const uint32_t rows = RowsOfVector(v, column.count);
    VectorFooter &vector = out.vectors[v];
    Accumulate part;
    const auto add = [&](uint32_t row) {
      const T value = values[row];
      part.Add(value);
      sum += value;
      distinct.Add(BitsOf(value));
    };
    if (!vector.any_null) {
      for (uint32_t row = begin; row < begin + rows; row++) add(row);
    } else {
      for (uint32_t row = begin; row < begin + rows; row++)
        if (!column.IsNull(row)) add(row);
    }
    vector.has_range = part.any();
    if (vector.has_range) {
      if constexpr (std::is_integral_v<T>) {
        vector.min_integer = part.Min();
        vector.max_integer = part.Max();
      } else {
        vector.min_real = part.Min();
        vector.max_real = part.Max();
      }
    }
    total.Add(part);
  }
  ColumnFooter &footer = out.footer;
  footer.distinct_estimate = distinct.Estimate(column.count - footer.null_count);
  if (!total.any()) return;
  footer.has_nan = total.nans > 0;
  SetValue(total.Min(), footer.min);
  SetValue(total.Max(), footer.max);
  footer.has_sum = true;
  if constexpr (std::is_integral_v<T>) {
    footer.integer_sum = sum;
  } else {
    footer.real_sum = sum;
  }
}

/// Fills null_count and the vectors' null flags.
void SummarizeNulls(const ColumnView &column, ColumnSummary &out) {
  for (uint32_t v = 0; v * kVectorSize < column.count; v++) {
    const uint32_t rows = RowsOfVector(v, column.count);
    uint32_t nulls = 0;
    for (uint32_t word = 0; word < (rows + 63) / 64; word++)
      nulls +=
          static_cast<uint32_t>(std::popcount(NullWord(column, v * (kVectorSize / 64) + word)));
    out.vectors[v].any_null = nulls > 0;
    out.vectors[v].all_null = nulls == rows;
    out.footer.null_count += nulls;
  }
}

template <typename T>
void SummarizeFirstLast(const ColumnView &column, std::span<const T> values, const TimeColumn &time,
                        ColumnFooter &footer) {
  if (!time.any) return;
  uint32_t first_row = time.first_row, last_row = time.last_row;
  if (footer.null_count > 0) {
    bool any = false;
    for (uint32_t row = 0; row < column.count; row++) {
      if (column.IsNull(row) || time.values->IsNull(row)) continue;
      const int64_t at = time.values->integers[row];
      if (!any || at < time.values->integers[first_row]) first_row = row;
      if (!any || at >= time.values->integers[last_row]) last_row = row;
      any = true;
    }
    if (!any) return;
  }
  SetValue(values[first_row], footer.first);
  SetValue(values[last_row], footer.last);
  footer.first_time = time.values->integers[first_row];
  footer.last_time = time.values->integers[last_row];
}

}  // namespace

TimeColumn::TimeColumn(const ColumnView *column) : values(column) {
  if (column == nullptr) return;
  for (uint32_t row = 0; row < column->count; row++) {
    if (column->IsNull(row)) continue;
    const int64_t at = column->integers[row];
    if (!any || at < first_time) {
      first_row = row;
      first_time = at;
    }
    if (!any || at >= last_time) {
      last_row = row;
      last_time = at;
    }
    any = true;
  }
}

void SetBytes(ByteView value, Statistic &statistic) {
  const uint32_t size = std::min(value.size, Statistic::kStatisticBytes);
  statistic.valid = true;
  statistic.truncated = size < value.size;
  statistic.bytes.assign(reinterpret_cast<const char *>(value.data), size);
}

void Summarize(const ColumnView &column, const TimeColumn &time, ColumnSummary &out) {
  out.footer.type = column.type;
  out.footer.width = column.width;
  SummarizeNulls(column, out);
  if (IsInteger(column.type)) {
    SummarizeNumbers(column, column.integers, out);
    SummarizeFirstLast(column, column.integers, time, out.footer);
  } else if (column.type == PhysicalType::kFloat64) {
    SummarizeNumbers(column, column.doubles, out);
    SummarizeFirstLast(column, column.doubles, time, out.footer);
  } else if (column.type == PhysicalType::kFloat32) {
    SummarizeNumbers(column, column.floats, out);
    SummarizeFirstLast(column, column.floats, time, out.footer);
  }
}

}  // namespace tsext
