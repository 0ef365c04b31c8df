// Filters over one vector in the first-level cache. Argument: the kernels' level, 1, 3 or 4.
// Each benchmark compares with a plain loop before it takes the time.

#include "tsext/filter.hpp"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tsext/kernels.hpp"

namespace tsext {
namespace {

/// False when this CPU lacks the level of the benchmark's argument.
bool SetLevel(benchmark::State *state) {
  const auto level = static_cast<SimdLevel>(state->range(0));
  if (SetSimdLevel(level) == level) return true;
  state->SkipWithError("this CPU lacks the level");
  return false;
}

/// Numbers 0 .. 99 as integers, doubles or floats.
std::unique_ptr<Vector> MakeVector(PhysicalType type) {
  auto vector = std::make_unique<Vector>(std::pmr::get_default_resource());
  vector->type = type;
  vector->count = kVectorSize;
  std::mt19937_64 random(1);
  for (uint32_t i = 0; i < kVectorSize; i++) {
    const auto value = static_cast<int64_t>(random() % 100);
    if (type == PhysicalType::kFloat64)
      vector->doubles[i] = static_cast<double>(value);
    else if (type == PhysicalType::kFloat32)
      vector->floats[i] = static_cast<float>(value);
    else
      vector->integers[i] = value;
  }
  return vector;
}

/// Times filter(out) once it has selected exactly the rows of which expected(row) is true.
template <typename Filter, typename Expected>
void Run(benchmark::State *state, const Filter &filter, const Expected &expected) {
  if (!SetLevel(state)) return;
  Selection out;
  filter(out);
  for (uint32_t row = 0; row < kVectorSize; row++)
    if (out.IsSelected(row) != expected(row)) std::abort();
  for (auto _ : *state) {
    filter(out);
    benchmark::DoNotOptimize(out);
  }
  state->SetItemsProcessed(static_cast<int64_t>(state->iterations() * kVectorSize));
}

void BM_FilterIntegers(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  Run(
      &state, [&](Selection &out) { FilterIntegers(*vector, Comparison::kGreater, 90, out); },
      [&](uint32_t row) { return vector->integers[row] > 90; });
}
void BM_FilterIntegersWithNulls(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  vector->any_null = true;
  vector->nulls.fill(0x1111);
  Run(
      &state, [&](Selection &out) { FilterIntegers(*vector, Comparison::kEqual, 90, out); },
      [&](uint32_t row) { return vector->integers[row] == 90 && !vector->IsNull(row); });
}
void BM_FilterIntegerRange(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  Run(
      &state, [&](Selection &out) { FilterIntegerRange(*vector, 20, 30, out); },
      [&](uint32_t row) { return vector->integers[row] >= 20 && vector->integers[row] <= 30; });
}
void BM_FilterDoubles(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kFloat64);
  Run(
      &state, [&](Selection &out) { FilterReals(*vector, Comparison::kGreater, 90, out); },
      [&](uint32_t row) { return vector->doubles[row] > 90; });
}
void BM_FilterFloats(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kFloat32);
  Run(
      &state, [&](Selection &out) { FilterReals(*vector, Comparison::kGreater, 90, out); },
      [&](uint32_t row) { return vector->floats[row] > 90; });
}

template <size_t kSize, int64_t kDistance>
void BM_FilterIntegersIn(benchmark::State &state) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  std::vector<int64_t> list(kSize);
  for (size_t i = 0; i < kSize; i++) list[i] = static_cast<int64_t>(i) * kDistance;
  Run(
      &state, [&](Selection &out) { FilterIntegersIn(*vector, list, out); },
      [&](uint32_t row) {
        const int64_t value = vector->integers[row];
        return value % kDistance == 0 && value / kDistance < static_cast<int64_t>(kSize);
      });
}

void FilterWords(benchmark::State *state, Comparison comparison) {
  const auto vector = MakeVector(PhysicalType::kInt64);
  std::vector<std::string> words;
  for (int i = 0; i < 100; i++) words.push_back("a server named " + std::to_string(i * 1000));
  const auto view = [](const std::string &word) {
    return ByteView{reinterpret_cast<const std::byte *>(word.data()),
                    static_cast<uint32_t>(word.size())};
  };
  vector->type = PhysicalType::kText;
  std::vector<size_t> numbers;
  for (uint32_t i = 0; i < kVectorSize; i++) {
    numbers.push_back(static_cast<size_t>(vector->integers[i]));
    vector->bytes[i] = view(words[numbers.back()]);
  }
  Run(
      state, [&](Selection &out) { FilterBytes(*vector, comparison, view(words[50]), out); },
      [&](uint32_t row) {
        return comparison == Comparison::kEqual ? numbers[row] == 50
                                                : words[numbers[row]] < words[50];
      });
}
void BM_FilterBytesEqual(benchmark::State &state) {
  FilterWords(&state, Comparison::kEqual);
}
void BM_FilterBytesLess(benchmark::State &state) {
  FilterWords(&state, Comparison::kLess);
}

/// A run of `kRun` equal codes, then another.
template <uint32_t kEntries, uint32_t kRun>
void BM_FilterCodes(benchmark::State &state) {
  auto codes = std::make_unique<CodeVector>();
  codes->count = kVectorSize;
  std::mt19937_64 random(1);
  std::vector<uint8_t> passes(kEntries);
  for (uint8_t &entry : passes) entry = random() % 2;
  for (uint32_t i = 0; i < kVectorSize; i++)
    codes->codes[i] =
        i % kRun == 0 ? static_cast<uint32_t>(random() % kEntries) : codes->codes[i - 1];
  Run(
      &state, [&](Selection &out) { FilterCodes(*codes, passes, out); },
      [&](uint32_t row) { return passes[codes->codes[row]] != 0; });
}

#define TSEXT_LEVELS(name) BENCHMARK(name)->ArgName("level")->Arg(1)->Arg(3)->Arg(4)
TSEXT_LEVELS(BM_FilterIntegers);
TSEXT_LEVELS(BM_FilterIntegersWithNulls);
TSEXT_LEVELS(BM_FilterIntegerRange);
TSEXT_LEVELS(BM_FilterDoubles);
TSEXT_LEVELS(BM_FilterFloats);
TSEXT_LEVELS((BM_FilterIntegersIn<4, 3>));
TSEXT_LEVELS((BM_FilterIntegersIn<40, 2>));
TSEXT_LEVELS((BM_FilterIntegersIn<5000, 2>));
TSEXT_LEVELS(BM_FilterBytesEqual);
TSEXT_LEVELS(BM_FilterBytesLess);
TSEXT_LEVELS((BM_FilterCodes<10, 1>));
TSEXT_LEVELS((BM_FilterCodes<1000, 1>));
TSEXT_LEVELS((BM_FilterCodes<1000, 700>));

}  // namespace
}  // namespace tsext
