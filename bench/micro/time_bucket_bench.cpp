#include "tsext/time_bucket.hpp"

#include <benchmark/benchmark.h>

#include <cstdlib>

namespace {

constexpr int64_t kDay = 86'400'000'000;
constexpr int64_t kStart = 8901 * kDay;  // 2024-05-15
constexpr int64_t kStep = 10'000'000;

void FixedBucketOneMinute(benchmark::State &state) {
  if (tsext::FixedBucket(kStart + 61'000'000, 60'000'000, 0) != kStart + 60'000'000) std::abort();
  int64_t time = kStart;
  for (auto _ : state) benchmark::DoNotOptimize(tsext::FixedBucket(time += kStep, 60'000'000, 0));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(FixedBucketOneMinute);

void MonthBucketOneMonth(benchmark::State &state) {
  if (tsext::MonthBucket(kStart, 1, 0, 0, kDay) != kStart - 14 * kDay) std::abort();
  int64_t time = kStart;
  for (auto _ : state) benchmark::DoNotOptimize(tsext::MonthBucket(time += kStep, 1, 0, 0, kDay));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(MonthBucketOneMonth);

}  // namespace
