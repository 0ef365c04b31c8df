// The core's part of a query: opening a column of a full HOT segment, decoding its vectors and
// adding or filtering them, everything in the caches. Argument: the kernels' level, 1, 3 or 4. Each
// benchmark compares with a plain loop before it takes the time.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tsext/crc32c.hpp"
#include "tsext/filter.hpp"
#include "tsext/kernels.hpp"
#include "tsext/segment.hpp"
#include "tsext/slice.hpp"

#include "core/segment/test_columns.hpp"

namespace tsext {
namespace {

constexpr uint32_t kRows = kMaxSegmentRows;
/// Rows of a series: a reading every ten seconds for a day.
constexpr uint32_t kSeriesRows = 8640;

enum Column : uint32_t { kTime, kUsage, kDecimal, kTag };

/// A segment of seven series: times, whole numbers 0 .. 100 that walk, readings of two decimals,
/// the series' name.
struct Fleet {
  std::vector<test::OwnedColumn> columns = std::vector<test::OwnedColumn>(4);
  ByteBuffer segment;
  SegmentHead head{std::pmr::get_default_resource()};

  Fleet() {
    std::mt19937_64 random(42);
    std::normal_distribution<double> step;
    columns[kUsage].type = columns[kDecimal].type = PhysicalType::kFloat64;
    columns[kTag].type = PhysicalType::kText;
    double level = 50;
    for (uint32_t row = 0; row < kRows; row++) {
      level = std::clamp(level + step(random), 0.0, 100.0);
      columns[kTime].integers.push_back(757382400000000 + int64_t{row % kSeriesRows} * 10000000);
      columns[kUsage].doubles.push_back(std::floor(level));
      columns[kDecimal].doubles.push_back(static_cast<double>(random() % 10000) / 100);
      columns[kTag].strings.push_back("host_" + std::to_string(row / kSeriesRows));
    }
    if (!test::Write(columns, Level::kHot, 1, segment).ok() || !test::ParseHead(segment, head).ok())
      std::abort();
  }
};

Fleet &TheFleet() {
  static auto *fleet = new Fleet;
  return *fleet;
}

/// Opens a column and calls take(vector) for each of its vectors.
template <typename Take>
void ReadColumn(BlockReader &reader, Column column, Vector &vector, const Take &take) {
  const Fleet &fleet = TheFleet();
  if (!reader.Open(fleet.head, column, test::BlockOf(fleet.segment, fleet.head.columns()[column]))
           .ok())
    std::abort();
  for (uint32_t v = 0; v < fleet.head.vector_count(); v++) {
    if (!reader.Read(v, vector).ok()) std::abort();
    take(vector);
  }
}

struct Reading {
  BlockReader reader{std::pmr::get_default_resource()};
  std::unique_ptr<Vector> vector = std::make_unique<Vector>(std::pmr::get_default_resource());
};

/// Times run(), which gives `expected`, over the rows of a segment.
template <typename T, typename Query>
void Time(benchmark::State *state, T expected, const Query &query) {
  const auto level = static_cast<SimdLevel>(state->range(0));
  if (SetSimdLevel(level) != level) {
    state->SkipWithError("this CPU lacks the level");
    return;
  }
  if (query() != expected) std::abort();
  for (auto _ : *state) benchmark::DoNotOptimize(query());
  state->SetItemsProcessed(static_cast<int64_t>(state->iterations() * kRows));
}

void BM_Checksum(benchmark::State &state) {
  const Fleet &fleet = TheFleet();
  const ByteSpan block = test::BlockOf(fleet.segment, fleet.head.columns()[kUsage]);
  Time(&state, fleet.head.columns()[kUsage].checksum, [&] { return Crc32c(block); });
  state.counters["bytes"] = static_cast<double>(block.size());
}

template <Column kColumn>
void BM_Open(benchmark::State &state) {
  const Fleet &fleet = TheFleet();
  Reading reading;
  Time(&state, true, [&] {
    return reading.reader
        .Open(fleet.head, kColumn, test::BlockOf(fleet.segment, fleet.head.columns()[kColumn]))
        .ok();
  });
  state.SetLabel(reading.reader.EncodingName());
}

template <Column kColumn>
void BM_Read(benchmark::State &state) {
  Reading reading;
  uint64_t rows = 0;
  Time(&state, uint64_t{kRows}, [&] {
    rows = 0;
    ReadColumn(reading.reader, kColumn, *reading.vector,
               [&](const Vector &vector) { rows += vector.count; });
    return rows;
  });
  state.SetLabel(reading.reader.EncodingName());
}

void BM_ReadCodes(benchmark::State &state) {
  const Fleet &fleet = TheFleet();
  Reading reading;
  auto codes = std::make_unique<CodeVector>();
  Time(&state, uint64_t{kRows}, [&] {
    if (!reading.reader
             .Open(fleet.head, kTag, test::BlockOf(fleet.segment, fleet.head.columns()[kTag]))
             .ok())
      std::abort();
    uint64_t rows = 0;
    for (uint32_t v = 0; v < fleet.head.vector_count(); v++) {
      if (!reading.reader.ReadCodes(v, *codes).ok()) std::abort();
      rows += codes->count;
    }
    return rows;
  });
}

/// SELECT sum(v)
template <Column kColumn>
void BM_SumOfColumn(benchmark::State &state) {
  Reading reading;
  // By hundredths: the lanes add in another order than a loop would.
  int64_t expected = 0;
  for (const double value : TheFleet().columns[kColumn].doubles)
    expected += std::lround(value * 100);
  Time(&state, expected, [&] {
    double sum = 0;
    ReadColumn(reading.reader, kColumn, *reading.vector, [&](const Vector &vector) {
      sum += SummarizeReals(vector, {0, vector.count, nullptr}, kSummarySum).sum;
    });
    return std::lround(sum * 100);
  });
}

/// SELECT count(*) WHERE v > c
template <Column kColumn>
void BM_CountAbove(benchmark::State &state) {
  Reading reading;
  uint64_t expected = 0;
  for (const double value : TheFleet().columns[kColumn].doubles) expected += value > 90 ? 1 : 0;
  Time(&state, expected, [&] {
    uint64_t count = 0;
    Selection selection;
    ReadColumn(reading.reader, kColumn, *reading.vector, [&](const Vector &vector) {
      FilterReals(vector, Comparison::kGreater, 90, selection);
      count += CountRows({0, vector.count, &selection});
    });
    return count;
  });
}

#define TSEXT_LEVELS(name) BENCHMARK(name)->ArgName("level")->Arg(1)->Arg(3)->Arg(4)
TSEXT_LEVELS(BM_Checksum);
TSEXT_LEVELS(BM_Open<kTime>);
TSEXT_LEVELS(BM_Open<kUsage>);
TSEXT_LEVELS(BM_Open<kDecimal>);
TSEXT_LEVELS(BM_Open<kTag>);
TSEXT_LEVELS(BM_Read<kTime>);
TSEXT_LEVELS(BM_Read<kUsage>);
TSEXT_LEVELS(BM_Read<kDecimal>);
TSEXT_LEVELS(BM_Read<kTag>);
TSEXT_LEVELS(BM_ReadCodes);
TSEXT_LEVELS(BM_SumOfColumn<kUsage>);
TSEXT_LEVELS(BM_SumOfColumn<kDecimal>);
TSEXT_LEVELS(BM_CountAbove<kUsage>);
TSEXT_LEVELS(BM_CountAbove<kDecimal>);

}  // namespace
}  // namespace tsext
