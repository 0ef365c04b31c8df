// The loops of the aggregates over slices of one vector in the first-level cache. Arguments: the
// kernels' level, 1, 3 or 4, and the rows of a slice. Slices follow one another through the vector,
// so that most begin at odd addresses. Each benchmark compares with a plain loop before it takes
// the time.

#include "tsext/slice.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>

#include "tsext/kernels.hpp"

namespace tsext {
namespace {

constexpr uint32_t kAll = kSummarySum | kSummaryMin | kSummaryMax;

bool SetLevel(benchmark::State *state) {
  const auto level = static_cast<SimdLevel>(state->range(0));
  if (SetSimdLevel(level) == level) return true;
  state->SkipWithError("this CPU lacks the level");
  return false;
}

/// Whole numbers, so that sums are exact in any order.
std::unique_ptr<Vector> MakeVector(PhysicalType type) {
  auto vector = std::make_unique<Vector>(std::pmr::get_default_resource());
  vector->type = type;
  vector->count = kVectorSize;
  std::mt19937_64 random(1);
  for (uint32_t i = 0; i < kVectorSize; i++) {
    const int64_t value = static_cast<int64_t>(random() % 1000) - 500;
    if (type == PhysicalType::kFloat64)
      vector->doubles[i] = static_cast<double>(value);
    else if (type == PhysicalType::kFloat32)
      vector->floats[i] = static_cast<float>(value);
    else
      vector->integers[i] = value;
  }
  return vector;
}

/// One row in `one_in` is deselected.
Selection MakeSelection(uint64_t one_in) {
  Selection selection;
  selection.SelectFirst(kVectorSize);
  std::mt19937_64 random(2);
  for (uint32_t i = 0; i < kVectorSize; i++)
    if (random() % one_in == 0) selection.Deselect(i);
  return selection;
}

/// Times summarize(slice) over the slices of a vector.
template <typename Summarize>
void Run(benchmark::State *state, const Vector &vector, const Selection *selection, uint32_t parts,
         const Summarize &summarize) {
  if (!SetLevel(state)) return;
  const auto rows = static_cast<uint32_t>(state->range(1));
  const auto value_at = [&](uint32_t row) {
    return vector.type == PhysicalType::kFloat64   ? vector.doubles[row]
           : vector.type == PhysicalType::kFloat32 ? static_cast<double>(vector.floats[row])
                                                   : static_cast<double>(vector.integers[row]);
  };
  for (uint32_t begin = 0; begin < kVectorSize; begin += rows) {
    const uint32_t end = std::min(begin + rows, kVectorSize);
    double sum = 0, min = 1e9, max = -1e9;
    uint32_t count = 0;
    for (uint32_t row = begin; row < end; row++) {
      if (selection != nullptr && !selection->IsSelected(row)) continue;
      count++;
      sum += value_at(row);
      min = std::min(min, value_at(row));
      max = std::max(max, value_at(row));
    }
    const auto found = summarize(Slice{begin, end, selection});
    if (found.count != count || (count == 0)) {
      if (found.count != count) std::abort();
      continue;
    }
    if (((parts & kSummarySum) != 0 && static_cast<double>(found.sum) != sum) ||
        ((parts & kSummaryMin) != 0 && static_cast<double>(found.min) != min) ||
        ((parts & kSummaryMax) != 0 && static_cast<double>(found.max) != max))
      std::abort();
  }
  uint64_t slices = 0;
  for (auto _ : *state) {
    for (uint32_t begin = 0; begin < kVectorSize; begin += rows, slices++) {
      const auto found = summarize(Slice{begin, std::min(begin + rows, kVectorSize), selection});
      benchmark::DoNotOptimize(found);
    }
  }
  state->SetItemsProcessed(static_cast<int64_t>(state->iterations() * kVectorSize));
  state->counters["time/slice"] = benchmark::Counter(
      static_cast<double>(slices), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <PhysicalType kType, uint32_t kParts>
void BM_Reals(benchmark::State &state) {
  const auto vector = MakeVector(kType);
  Run(&state, *vector, nullptr, kParts,
      [&](const Slice &slice) { return SummarizeReals(*vector, slice, kParts); });
}
/// kOneIn: 1 in so many rows is deselected.
template <uint32_t kParts, uint64_t kOneIn>
void BM_MaskedDoubles(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kFloat64);
  const Selection selection = MakeSelection(kOneIn);
  Run(&state, *vector, &selection, kParts,
      [&](const Slice &slice) { return SummarizeReals(*vector, slice, kParts); });
}
template <uint32_t kParts>
void BM_Integers(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  Run(&state, *vector, nullptr, kParts,
      [&](const Slice &slice) { return SummarizeIntegers(*vector, slice, kParts); });
}
template <uint32_t kParts, uint64_t kOneIn>
void BM_MaskedIntegers(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  const Selection selection = MakeSelection(kOneIn);
  Run(&state, *vector, &selection, kParts,
      [&](const Slice &slice) { return SummarizeIntegers(*vector, slice, kParts); });
}
void BM_Count(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  const Selection selection = MakeSelection(2);
  struct Counted {
    uint32_t count;
    double sum = 0, min = 0, max = 0;
  };
  Run(&state, *vector, &selection, 0,
      [&](const Slice &slice) { return Counted{.count = CountValues(*vector, slice)}; });
}

template <typename T, uint32_t kRun, bool kAscending>
void BM_Runs(benchmark::State &state) {
  if (!SetLevel(&state)) return;
  alignas(64) static T keys[kVectorSize];
  for (uint32_t i = 0; i < kVectorSize; i++)
    keys[i] = static_cast<T>(kAscending ? i % kRun : i / kRun);
  static uint16_t begins[kVectorSize + 1];
  const auto find = [&] {
    if constexpr (kAscending)
      return FindAscendingRuns(keys, kVectorSize, begins);
    else
      return FindRuns(keys, kVectorSize, begins);
  };
  if (find() != (kVectorSize + kRun - 1) / kRun) std::abort();
  for (uint32_t i = 0; i * kRun < kVectorSize; i++)
    if (begins[i] != i * kRun) std::abort();
  for (auto _ : state) {
    benchmark::DoNotOptimize(find());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kVectorSize));
}

#define TSEXT_SLICES(name) \
  BENCHMARK(name)->ArgNames({"level", "rows"})->ArgsProduct({{1, 3, 4}, {6, 60, 360, kVectorSize}})
TSEXT_SLICES((BM_Reals<PhysicalType::kFloat64, kSummarySum>));
TSEXT_SLICES((BM_Reals<PhysicalType::kFloat64, kSummaryMin>));
TSEXT_SLICES((BM_Reals<PhysicalType::kFloat64, kSummaryMax>));
TSEXT_SLICES((BM_Reals<PhysicalType::kFloat64, kAll>));
TSEXT_SLICES((BM_Reals<PhysicalType::kFloat32, kAll>));
TSEXT_SLICES((BM_MaskedDoubles<kSummarySum, 2>));
TSEXT_SLICES((BM_MaskedDoubles<kSummarySum, 50>));
TSEXT_SLICES((BM_MaskedDoubles<kSummaryMax, 2>));
TSEXT_SLICES((BM_MaskedDoubles<kAll, 2>));
TSEXT_SLICES((BM_Integers<kSummarySum>));
TSEXT_SLICES((BM_Integers<kSummaryMin>));
TSEXT_SLICES((BM_Integers<kAll>));
TSEXT_SLICES((BM_MaskedIntegers<kSummarySum, 2>));
TSEXT_SLICES((BM_MaskedIntegers<kAll, 2>));
TSEXT_SLICES(BM_Count);

#define TSEXT_LEVELS(name) BENCHMARK(name)->ArgName("level")->Arg(1)->Arg(3)->Arg(4)
TSEXT_LEVELS((BM_Runs<int64_t, 360, false>));
TSEXT_LEVELS((BM_Runs<int64_t, 6, false>));
TSEXT_LEVELS((BM_Runs<uint32_t, 360, false>));
TSEXT_LEVELS((BM_Runs<uint32_t, 6, false>));
TSEXT_LEVELS((BM_Runs<int64_t, 360, true>));

}  // namespace
}  // namespace tsext
