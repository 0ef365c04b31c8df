// A full segment like the ones of a fleet of hosts: time, ten tags, ten measurements; seven series
// of a reading every ten seconds, sorted by host and time. Checks what it reads before it times it.

#include "tsext/segment.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/segment/test_columns.hpp"

namespace {

using tsext::ByteBuffer;
using tsext::ByteView;
using tsext::kMaxSegmentRows;
using tsext::Level;
using tsext::PhysicalType;

constexpr uint32_t kTags = 10, kMeasurements = 10, kColumns = 1 + kTags + kMeasurements;
constexpr uint32_t kSeriesRows = 8640;

struct Fleet {
  std::vector<int64_t> times;
  std::vector<std::string> tag_words[kTags];
  std::vector<ByteView> tag_views[kTags];
  std::vector<uint32_t> tag_codes[kTags];
  std::vector<double> measurements[kMeasurements];

  Fleet() {
    std::mt19937_64 random(42);
    const uint32_t cardinality[kTags] = {8, 3, 5, 7, 2, 2, 4, 6, 2, 3};
    for (uint32_t tag = 0; tag < kTags; tag++) {
      for (uint32_t word = 0; word < cardinality[tag]; word++)
        tag_words[tag].push_back("tag_" + std::to_string(tag) + "_value_" + std::to_string(word));
      for (const std::string &word : tag_words[tag])
        tag_views[tag].push_back(tsext::test::ViewOf(word));
    }
    std::normal_distribution<double> step(0, 1);
    double level[kMeasurements] = {};
    for (uint32_t row = 0; row < kMaxSegmentRows; row++) {
      const uint32_t host = row / kSeriesRows, tick = row % kSeriesRows;
      times.push_back(757382400000000 + int64_t{tick} * 10000000);
      for (uint32_t tag = 0; tag < kTags; tag++)
        tag_codes[tag].push_back(host * (tag + 1) % cardinality[tag]);
      for (uint32_t m = 0; m < kMeasurements; m++) {
        if (tick == 0) level[m] = static_cast<double>(random() % 100);
        level[m] = std::clamp(level[m] + step(random), 0.0, 100.0);
        measurements[m].push_back(static_cast<double>(static_cast<int>(level[m])));
      }
    }
  }

  std::vector<tsext::SegmentColumn> Columns() const {
    std::vector<tsext::SegmentColumn> columns(kColumns);
    for (uint32_t c = 0; c < kColumns; c++) {
      columns[c].attribute = static_cast<int16_t>(c + 1);
      tsext::ColumnView &view = columns[c].values;
      view.count = kMaxSegmentRows;
      if (c == 0) {
        view.integers = times;
      } else if (c <= kTags) {
        view.type = PhysicalType::kText;
        view.codes = tag_codes[c - 1];
        view.dictionary = tag_views[c - 1];
      } else {
        view.type = PhysicalType::kFloat64;
        view.doubles = measurements[c - 1 - kTags];
      }
    }
    return columns;
  }
};

const Fleet &TheFleet() {
  static const Fleet *fleet = new Fleet;
  return *fleet;
}

/// Writes columns [begin, end) of the fleet.
ByteBuffer WriteFleet(Level level, uint32_t begin = 0, uint32_t end = kColumns) {
  const std::vector<tsext::SegmentColumn> columns = TheFleet().Columns();
  tsext::SegmentInput input;
  input.attribute_count = kColumns;
  input.time_attribute = begin == 0 ? 1 : 0;
  input.level = level;
  input.columns = std::span(columns).subspan(begin, end - begin);
  ByteBuffer out;
  if (!tsext::WriteSegment(input, out).ok()) std::abort();
  return out;
}

bool IsRight(const ByteBuffer &segment) {
  tsext::SegmentHead head(std::pmr::get_default_resource());
  if (!tsext::test::ParseHead(segment, head).ok()) return false;
  tsext::BlockReader reader(std::pmr::get_default_resource());
  auto vector = std::make_unique<tsext::Vector>(std::pmr::get_default_resource());
  const Fleet &fleet = TheFleet();
  for (uint32_t c = 0; c < kColumns; c++) {
    if (!reader.Open(head, c, tsext::test::BlockOf(segment, head.columns()[c])).ok()) return false;
    for (uint32_t row = 0; row < kMaxSegmentRows; row++) {
      const uint32_t i = row % tsext::kVectorSize;
      if (i == 0 && !reader.Read(row / tsext::kVectorSize, *vector).ok()) return false;
      if (c == 0       ? vector->integers[i] != fleet.times[row]
          : c <= kTags ? tsext::test::TextOf(vector->bytes[i]) !=
                             fleet.tag_words[c - 1][fleet.tag_codes[c - 1][row]]
                       : vector->doubles[i] != fleet.measurements[c - 1 - kTags][row])
        return false;
    }
  }
  return true;
}

void Write(benchmark::State &state, Level level, uint32_t begin, uint32_t end) {
  const ByteBuffer segment = WriteFleet(level);
  if (!IsRight(segment)) {
    state.SkipWithError("wrong values");
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize(WriteFleet(level, begin, end));
  uint64_t head_size = 0;
  if (!tsext::SegmentHead::HeadSize(std::span(segment).first(32), head_size).ok()) std::abort();
  state.SetItemsProcessed(state.iterations() * kMaxSegmentRows * (end - begin));
  state.counters["bytes/row"] = static_cast<double>(segment.size()) / kMaxSegmentRows;
  state.counters["head bytes/row"] = static_cast<double>(head_size) / kMaxSegmentRows;
}

void BM_WriteHot(benchmark::State &state) {
  Write(state, Level::kHot, 0, kColumns);
}
void BM_WriteCold(benchmark::State &state) {
  Write(state, Level::kCold, 0, kColumns);
}
void BM_WriteHotTags(benchmark::State &state) {
  Write(state, Level::kHot, 1, 1 + kTags);
}
void BM_WriteHotMeasurements(benchmark::State &state) {
  Write(state, Level::kHot, 1 + kTags, kColumns);
}

void BM_ParseHead(benchmark::State &state) {
  const ByteBuffer segment = WriteFleet(Level::kHot);
  for (auto _ : state) {
    tsext::SegmentHead head(std::pmr::get_default_resource());
    if (!tsext::test::ParseHead(segment, head).ok()) std::abort();
    benchmark::DoNotOptimize(head.row_count());
  }
}

void Read(benchmark::State &state, Level level, uint32_t begin, uint32_t end) {
  const ByteBuffer segment = WriteFleet(level);
  if (!IsRight(segment)) {
    state.SkipWithError("wrong values");
    return;
  }
  tsext::SegmentHead head(std::pmr::get_default_resource());
  if (!tsext::test::ParseHead(segment, head).ok()) std::abort();
  tsext::BlockReader reader(std::pmr::get_default_resource());
  auto vector = std::make_unique<tsext::Vector>(std::pmr::get_default_resource());
  for (auto _ : state) {
    for (uint32_t c = begin; c < end; c++) {
      if (!reader.Open(head, c, tsext::test::BlockOf(segment, head.columns()[c])).ok())
        std::abort();
      for (uint32_t v = 0; v < head.vector_count(); v++)
        if (!reader.Read(v, *vector).ok()) std::abort();
    }
  }
  state.SetItemsProcessed(state.iterations() * kMaxSegmentRows * (end - begin));
}

void BM_ReadHot(benchmark::State &state) {
  Read(state, Level::kHot, 0, kColumns);
}
void BM_ReadHotTags(benchmark::State &state) {
  Read(state, Level::kHot, 1, 1 + kTags);
}
void BM_ReadHotMeasurements(benchmark::State &state) {
  Read(state, Level::kHot, 1 + kTags, kColumns);
}
void BM_ReadCold(benchmark::State &state) {
  Read(state, Level::kCold, 0, kColumns);
}

BENCHMARK(BM_WriteHot);
BENCHMARK(BM_WriteHotTags);
BENCHMARK(BM_WriteHotMeasurements);
BENCHMARK(BM_WriteCold);
BENCHMARK(BM_ParseHead);
BENCHMARK(BM_ReadHot);
BENCHMARK(BM_ReadHotTags);
BENCHMARK(BM_ReadHotMeasurements);
BENCHMARK(BM_ReadCold);

}  // namespace
