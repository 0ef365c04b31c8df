// Bytes a second of the line protocol reader: with all tags read, and with all series known, as the
// router reads them.

#include "tsext/line_protocol.hpp"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using namespace tsext;

constexpr int kLines = 5000;
constexpr int64_t kStart = 1'700'000'000'000'000'000;

template <typename... Values>
void Append(std::string *text, const char *format, Values... values) {
  char buffer[512];
  const int size = std::snprintf(buffer, sizeof buffer, format, values...);
  text->append(buffer, static_cast<size_t>(size));
}

/// As TSBS's cpu-only use case: ten tags, ten fields, 100 hosts in turn.
std::string CpuLines(bool floats) {
  static constexpr const char *kFields[] = {"user",    "system", "idle",  "nice",       "iowait",
                                            "softirq", "steal",  "guest", "guest_nice", "irq"};
  std::string text;
  uint32_t random = 1;
  for (int i = 0; i < kLines; i++) {
    Append(&text,
           "cpu,hostname=host_%d,region=eu-central-1,datacenter=eu-central-1a,rack=6,"
           "os=Ubuntu15.10,arch=x86,team=SF,service=19,service_version=1,"
           "service_environment=test",
           i % 100);
    char separator = ' ';
    for (const char *field : kFields) {
      random = random * 1664525 + 1013904223;
      Append(&text, "%cusage_%s=%u", separator, field, random % 100);
      if (floats)
        Append(&text, ".%u", random >> 22);
      else
        text += 'i';
      separator = ',';
    }
    Append(&text, " %lld\n", static_cast<long long>(kStart + i / 100 * 10'000'000'000));
  }
  return text;
}

std::string SmallLines() {
  std::string text;
  for (int i = 0; i < kLines; i++)
    Append(&text, "temperature,room=r%d value=%d.5 %lld\n", i % 100, i % 40,
           static_cast<long long>(kStart + i * 1'000'000LL));
  return text;
}

void Read(benchmark::State &state, const std::string &text, SeriesLookup lookup) {
  LineReader reader(std::pmr::new_delete_resource());
  LinePoint point;
  for (auto _ : state) {
    reader.Start(text, TimePrecision::kNanosecond, lookup);
    int good = 0;
    while (reader.Next(&point)) good += point.error == LineError::kNone ? 1 : 0;
    if (good != kLines) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
  state.SetItemsProcessed(state.iterations() * kLines);
}

SeriesLookup AllKnown() {
  SeriesLookup lookup;
  lookup.find = [](void *, std::string_view series) {
    return const_cast<void *>(static_cast<const void *>(series.data()));
  };
  return lookup;
}

void LineProtocolCpuInts(benchmark::State &state) {
  Read(state, CpuLines(false), {});
}
BENCHMARK(LineProtocolCpuInts);

void LineProtocolCpuFloats(benchmark::State &state) {
  Read(state, CpuLines(true), {});
}
BENCHMARK(LineProtocolCpuFloats);

void LineProtocolCpuKnown(benchmark::State &state) {
  Read(state, CpuLines(true), AllKnown());
}
BENCHMARK(LineProtocolCpuKnown);

void LineProtocolSmall(benchmark::State &state) {
  Read(state, SmallLines(), {});
}
BENCHMARK(LineProtocolSmall);

void LineProtocolSmallKnown(benchmark::State &state) {
  Read(state, SmallLines(), AllKnown());
}
BENCHMARK(LineProtocolSmallKnown);

}  // namespace
