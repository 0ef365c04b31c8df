// The codecs of the bytes classes: log lines, numerics, UUIDs. Checks what it decodes before it
// times it; "ratio" is raw bytes over encoded bytes.

#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/codec/fixed_codec.hpp"
#include "core/codec/interner.hpp"
#include "core/codec/numeric_codec.hpp"
#include "core/codec/string_codec.hpp"
#include "core/segment/test_columns.hpp"

namespace {

using namespace tsext;

struct Strings {
  std::vector<std::string> texts;
  std::vector<ByteView> views;
  size_t raw_size = 0;

  void Add(std::string text) {
    raw_size += text.size();
    texts.push_back(std::move(text));
  }
  void Finish() {
    for (const std::string &text : texts) views.push_back(test::ViewOf(text));
  }
};

Strings LogLines() {
  std::mt19937_64 random(1);
  Strings strings;
  for (uint32_t row = 0; row < kMaxSegmentRows; row++) {
    std::string line = "GET /api/v1/devices/";
    line.append(std::to_string(random() % 100000)).append("/readings?limit=100 HTTP/1.1 status=");
    line.append(random() % 50 == 0 ? "500" : "200").append(" duration_ms=");
    strings.Add(line.append(std::to_string(random() % 900)));
  }
  strings.Finish();
  return strings;
}

Strings FewWords() {
  std::mt19937_64 random(2);
  Strings strings;
  for (uint32_t row = 0; row < kMaxSegmentRows; row++)
    strings.Add("sensor-" + std::to_string(random() % 300));
  strings.Finish();
  return strings;
}

Strings Prices() {
  std::mt19937_64 random(3);
  Strings strings;
  int64_t cents = 1000000;
  for (uint32_t row = 0; row < kMaxSegmentRows; row++) {
    cents += static_cast<int64_t>(random() % 21) - 10;
    const std::string digits = std::to_string(cents);
    std::string text = digits.substr(0, digits.size() - 2);
    text.append(1, '.').append(digits, digits.size() - 2);
    strings.Add(test::NumericBytes(text));
  }
  strings.Finish();
  return strings;
}

Strings TimeUuids() {
  std::mt19937_64 random(4);
  Strings strings;
  for (uint32_t row = 0; row < kMaxSegmentRows; row++) {
    std::string uuid(16, '\0');
    const uint64_t words[2] = {random(), random()};
    std::memcpy(uuid.data(), words, 16);
    const uint64_t time = 1700000000000 + row * 3;
    for (uint32_t i = 0; i < 6; i++) uuid[i] = static_cast<char>(time >> (8 * (5 - i)));
    uuid[6] = static_cast<char>(0x70 | (uuid[6] & 0x0F));
    strings.Add(uuid);
  }
  strings.Finish();
  return strings;
}

/// Encodes by `encode` and decodes by `stream`, or one of both.
template <typename Encode>
void Run(benchmark::State &state, const Strings &strings, const Encode &encode, BytesStream *stream,
         bool decodes) {
  ByteBuffer bytes;
  encode(bytes);
  std::vector<ByteView> views(kVectorSize);
  std::vector<std::byte> arena;
  const auto read = [&](bool check) {
    if (!stream->Open(bytes, kMaxSegmentRows).ok()) return false;
    for (uint32_t v = 0; v < kMaxVectorsPerSegment; v++) {
      uint64_t size = 0;
      if (!stream->ArenaSize(v, size).ok()) return false;
      if (arena.size() < size) arena.resize(size);
      if (!stream->Decode(v, views.data(), arena.data()).ok()) return false;
      for (uint32_t i = 0; check && i < kVectorSize; i++)
        if (CompareBytes(views[i], strings.views[v * kVectorSize + i]) != 0) return false;
    }
    return true;
  };
  if (!read(true)) {
    state.SkipWithError("wrong values");
    return;
  }
  for (auto _ : state) {
    if (decodes) {
      read(false);
    } else {
      ByteBuffer out;
      encode(out);
      benchmark::DoNotOptimize(out.data());
    }
  }
  state.SetItemsProcessed(state.iterations() * kMaxSegmentRows);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(strings.raw_size));
  state.counters["ratio"] =
      static_cast<double>(strings.raw_size) / static_cast<double>(bytes.size());
}

void BM_Frames(benchmark::State &state, Level level, bool decodes) {
  static const Strings strings = LogLines();
  FramesStream stream(std::pmr::get_default_resource());
  Run(
      state, strings,
      [&](ByteBuffer &out) {
        if (!EncodeFrames(strings.views, level, out).ok()) std::abort();
      },
      &stream, decodes);
}

void BM_Dictionary(benchmark::State &state, bool decodes) {
  static const Strings strings = FewWords();
  DictionaryStream stream(std::pmr::get_default_resource());
  Run(
      state, strings,
      [&](ByteBuffer &out) {
        InternedColumn interned(std::pmr::get_default_resource());
        if (!Intern(strings.views, kMaxSegmentRows / 4, interned, nullptr)) std::abort();
        if (!EncodeDictionary(interned.distinct, interned.codes, Level::kHot, out).ok())
          std::abort();
      },
      &stream, decodes);
}

void BM_Numeric(benchmark::State &state, bool decodes) {
  static const Strings strings = Prices();
  NumericStream stream(std::pmr::get_default_resource());
  Run(
      state, strings,
      [&](ByteBuffer &out) {
        if (!EncodeNumerics(strings.views, Level::kHot, out)) std::abort();
      },
      &stream, decodes);
}

void BM_TimeUuid(benchmark::State &state, bool decodes) {
  static const Strings strings = TimeUuids();
  TimeUuidStream stream(std::pmr::get_default_resource());
  Run(
      state, strings, [&](ByteBuffer &out) { EncodeTimeUuids(strings.views, Level::kHot, out); },
      &stream, decodes);
}

BENCHMARK_CAPTURE(BM_Frames, encode_hot, Level::kHot, false);
BENCHMARK_CAPTURE(BM_Frames, encode_cold, Level::kCold, false);
BENCHMARK_CAPTURE(BM_Frames, decode_hot, Level::kHot, true);
BENCHMARK_CAPTURE(BM_Dictionary, encode, false);
BENCHMARK_CAPTURE(BM_Dictionary, decode, true);
BENCHMARK_CAPTURE(BM_Numeric, encode, false);
BENCHMARK_CAPTURE(BM_Numeric, decode, true);
BENCHMARK_CAPTURE(BM_TimeUuid, encode, false);
BENCHMARK_CAPTURE(BM_TimeUuid, decode, true);

}  // namespace
