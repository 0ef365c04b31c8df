#include "tsext/slice.hpp"

#include <algorithm>
#include <bit>

#include "core/vector/real_order.hpp"

namespace tsext {

namespace {

/// The rows of word `index` of a vector that a slice counts.
uint64_t ActiveWord(const Vector *vector, const Slice &slice, uint32_t index) noexcept {
  const uint32_t first = index * 64;
  if (slice.end <= first || slice.begin >= first + 64 || slice.begin >= slice.end) return 0;
  uint64_t word = ~uint64_t{0};
  if (slice.begin > first) word &= ~uint64_t{0} << (slice.begin - first);
  if (slice.end < first + 64) word &= ~uint64_t{0} >> (first + 64 - slice.end);
  if (slice.selection != nullptr) word &= slice.selection->words[index];
  if (vector != nullptr && vector->any_null) word &= ~vector->nulls[index];
  return word;
}

/// Calls visit(row) for each row of the slice that counts.
template <typename Visit>
void ForEachActive(const Vector *vector, const Slice &slice, const Visit &visit) {
  for (uint32_t index = slice.begin / 64; index * 64 < slice.end; index++) {
    for (uint64_t word = ActiveWord(vector, slice, index); word != 0; word &= word - 1)
      visit(index * 64 + static_cast<uint32_t>(std::countr_zero(word)));
  }
}

uint32_t CountActive(const Vector *vector, const Slice &slice) noexcept {
  uint32_t count = 0;
  for (uint32_t index = slice.begin / 64; index * 64 < slice.end; index++)
    count += static_cast<uint32_t>(std::popcount(ActiveWord(vector, slice, index)));
  return count;
}

double RealAt(const Vector &vector, uint32_t row) noexcept {
  return vector.type == PhysicalType::kFloat32 ? vector.floats[row] : vector.doubles[row];
}

/// Where values[row] begins something new: row 0 and rows for which begins(row) is true.
template <typename Begins>
uint32_t FindBegins(uint32_t rows, uint16_t *out, const Begins &begins) noexcept {
  uint32_t count = 0;
  for (uint32_t row = 0; row < rows; row++)
    if (row == 0 || begins(row)) out[count++] = static_cast<uint16_t>(row);
  out[count] = static_cast<uint16_t>(rows);
  return count;
}

}  // namespace

uint32_t CountRows(const Slice &slice) noexcept {
  return CountActive(nullptr, slice);
}

uint32_t CountValues(const Vector &vector, const Slice &slice) noexcept {
  return CountActive(&vector, slice);
}

int FirstRow(const Vector *vector, const Slice &slice) noexcept {
  for (uint32_t index = slice.begin / 64; index * 64 < slice.end; index++) {
    const uint64_t word = ActiveWord(vector, slice, index);
    if (word != 0) return static_cast<int>(index * 64) + std::countr_zero(word);
  }
  return -1;
}

int LastRow(const Vector *vector, const Slice &slice) noexcept {
  for (uint32_t index = (slice.end + 63) / 64; index-- > slice.begin / 64;) {
    const uint64_t word = ActiveWord(vector, slice, index);
    if (word != 0) return static_cast<int>(index * 64) + 63 - std::countl_zero(word);
  }
  return -1;
}

IntegerSummary SummarizeIntegers(const Vector &vector, const Slice &slice, uint32_t) {
  IntegerSummary summary;
  ForEachActive(&vector, slice, [&](uint32_t row) {
    const int64_t value = vector.integers[row];
    if (summary.count == 0) summary.min = summary.max = value;
    summary.count++;
    summary.min = std::min(summary.min, value);
    summary.max = std::max(summary.max, value);
    summary.sum += value;
  });
  return summary;
}

RealSummary SummarizeReals(const Vector &vector, const Slice &slice, uint32_t) {
  RealSummary summary;
  ForEachActive(&vector, slice, [&](uint32_t row) {
    const double value = RealAt(vector, row);
    if (summary.count == 0) summary.min = summary.max = value;
    summary.sum = summary.count == 0 ? value : summary.sum + value;
    summary.count++;
    if (RealLess(value, summary.min)) summary.min = value;
    if (RealLess(summary.max, value)) summary.max = value;
  });
  return summary;
}

double SumSquaredDistances(const Vector &vector, const Slice &slice, double center) {
  double sum = 0;
  ForEachActive(&vector, slice, [&](uint32_t row) {
    const double distance =
        (IsInteger(vector.type) ? static_cast<double>(vector.integers[row]) : RealAt(vector, row)) -
        center;
    sum += distance * distance;
  });
  return sum;
}

uint32_t FindRuns(const int64_t *keys, uint32_t rows, uint16_t *begins) noexcept {
  return FindBegins(rows, begins, [&](uint32_t row) { return keys[row] != keys[row - 1]; });
}

uint32_t FindRuns(const uint32_t *keys, uint32_t rows, uint16_t *begins) noexcept {
  return FindBegins(rows, begins, [&](uint32_t row) { return keys[row] != keys[row - 1]; });
}

uint32_t FindAscendingRuns(const int64_t *values, uint32_t rows, uint16_t *begins) noexcept {
  return FindBegins(rows, begins, [&](uint32_t row) { return values[row] < values[row - 1]; });
}

uint32_t MergeRuns(const uint16_t *a, uint32_t a_count, const uint16_t *b, uint32_t b_count,
                   uint16_t *out) noexcept {
  uint32_t count = 0;
  uint32_t i = 0;
  uint32_t j = 0;
  while (i < a_count && j < b_count) {
    const uint16_t left = a[i];
    const uint16_t right = b[j];
    out[count++] = std::min(left, right);
    i += left <= right ? 1U : 0U;
    j += right <= left ? 1U : 0U;
  }
  while (i < a_count) out[count++] = a[i++];
  while (j < b_count) out[count++] = b[j++];
  out[count] = std::max(a[a_count], b[b_count]);
  return count;
}

}  // namespace tsext
