#include "tsext/slice.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/vector/vector_kernels.hpp"

namespace tsext {

namespace {

constexpr uint32_t kAllParts = kSummarySum | kSummaryMin | kSummaryMax;

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

RowMask MaskOf(const Vector *vector, const Slice &slice) noexcept {
  return {.begin = slice.begin,
          .end = slice.end,
          .keep = slice.selection != nullptr ? slice.selection->words.data() : nullptr,
          .drop = vector != nullptr && vector->any_null ? vector->nulls.data() : nullptr};
}

/// Infinity as a minimum is also what nothing but NaN leaves: looks which it is.
template <typename T>
[[gnu::noinline]] double TellInfinity(const T *values, const Vector &vector, const Slice &slice) {
  bool found = false;
  ForEachActive(&vector, slice, [&](uint32_t row) {
    found = found || values[row] == std::numeric_limits<T>::infinity();
  });
  return found ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

uint32_t CountRows(const Slice &slice) noexcept {
  if (slice.begin >= slice.end) return 0;
  if (slice.selection == nullptr) return slice.end - slice.begin;
  return CurrentVectorKernels().count_rows(MaskOf(nullptr, slice));
}

uint32_t CountValues(const Vector &vector, const Slice &slice) noexcept {
  if (slice.begin >= slice.end) return 0;
  if (slice.selection == nullptr && !vector.any_null) return slice.end - slice.begin;
  return CurrentVectorKernels().count_rows(MaskOf(&vector, slice));
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

// Slices are often short. Kernels write into the object that is returned: a copy of it would wait
// for its stores.

IntegerSummary SummarizeIntegers(const Vector &vector, const Slice &slice, uint32_t parts) {
  IntegerSummary summary;
  if (slice.begin >= slice.end) return summary;
  const VectorKernels &kernels = CurrentVectorKernels();
  if (slice.selection == nullptr && !vector.any_null) {
    kernels.total_integers[parts & kAllParts](vector.integers + slice.begin,
                                              slice.end - slice.begin, &summary);
  } else {
    kernels.total_masked_integers[parts & kAllParts](vector.integers, MaskOf(&vector, slice),
                                                     &summary);
    if (summary.count == 0) summary = {};
  }
  return summary;
}

RealSummary SummarizeReals(const Vector &vector, const Slice &slice, uint32_t parts) {
  RealSummary summary;
  if (slice.begin >= slice.end) return summary;
  const VectorKernels &kernels = CurrentVectorKernels();
  const bool is_float = vector.type == PhysicalType::kFloat32;
  parts &= kAllParts;
  if (slice.selection == nullptr && !vector.any_null) {
    const uint32_t count = slice.end - slice.begin;
    if (is_float)
      kernels.total_floats[parts](vector.floats + slice.begin, count, &summary);
    else
      kernels.total_doubles[parts](vector.doubles + slice.begin, count, &summary);
  } else {
    const RowMask rows = MaskOf(&vector, slice);
    if (is_float)
      kernels.total_masked_floats[parts](vector.floats, rows, &summary);
    else
      kernels.total_masked_doubles[parts](vector.doubles, rows, &summary);
    if (summary.count == 0) summary = {};
  }
  if ((parts & kSummaryMin) != 0 && summary.min == std::numeric_limits<double>::infinity()) {
    summary.min = is_float ? TellInfinity(vector.floats, vector, slice)
                           : TellInfinity(vector.doubles, vector, slice);
  }
  return summary;
}

double SumSquaredDistances(const Vector &vector, const Slice &slice, double center) {
  if (slice.begin >= slice.end) return 0;
  const VectorKernels &kernels = CurrentVectorKernels();
  const RowMask rows = MaskOf(&vector, slice);
  if (vector.type == PhysicalType::kFloat64)
    return kernels.squares_of_doubles(vector.doubles, rows, center);
  if (vector.type == PhysicalType::kFloat32)
    return kernels.squares_of_floats(vector.floats, rows, center);
  alignas(64) double doubles[kVectorSize];
  // The kernel reads whole blocks.
  const uint32_t end = std::min((slice.end + 15) / 16 * 16, kVectorSize);
  for (uint32_t row = slice.begin / 16 * 16; row < end; row++)
    doubles[row] = static_cast<double>(vector.integers[row]);
  return kernels.squares_of_doubles(doubles, rows, center);
}

uint32_t FindRuns(const int64_t *keys, uint32_t rows, uint16_t *begins) noexcept {
  return CurrentVectorKernels().runs_of_integers(keys, rows, begins);
}

uint32_t FindRuns(const uint32_t *keys, uint32_t rows, uint16_t *begins) noexcept {
  return CurrentVectorKernels().runs_of_codes(keys, rows, begins);
}

uint32_t FindAscendingRuns(const int64_t *values, uint32_t rows, uint16_t *begins) noexcept {
  return CurrentVectorKernels().ascending_runs(values, rows, begins);
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
