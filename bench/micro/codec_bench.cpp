// Speed of the codecs for numbers, beside what they are measured against: adding plain doubles from
// memory, Gorilla's XOR codec, zstd -3 of the raw bytes. Argument: the kernels' level, 1, 3 or 4.
// Each benchmark checks that what it decodes is what was encoded before it takes the time.

#include <benchmark/benchmark.h>
#include <zstd.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <numeric>
#include <random>
#include <vector>

#include "tsext/float_codec.hpp"
#include "tsext/integer_codec.hpp"
#include "tsext/kernels.hpp"

#include "core/codec/kernel_table.hpp"

namespace tsext {
namespace {

constexpr uint32_t kRows = kMaxSegmentRows;
constexpr uint32_t kVectors = kRows / kVectorSize;

void Require(bool condition) {
  if (!condition) std::abort();
}

/// False when this CPU lacks the level of the benchmark's argument.
bool SetLevel(benchmark::State *state) {
  const auto level = static_cast<SimdLevel>(state->range(0));
  if (SetSimdLevel(level) == level) return true;
  state->SkipWithError("this CPU lacks the level");
  return false;
}

void CountValues(benchmark::State *state, uint64_t values_per_round) {
  state->SetItemsProcessed(static_cast<int64_t>(state->iterations() * values_per_round));
}

/// Codes of ten bits, drawn evenly.
std::vector<int64_t> TenBitIntegers() {
  std::mt19937_64 random(1);
  std::vector<int64_t> values(kRows);
  for (int64_t &value : values) value = 1000 + static_cast<int64_t>(random() % 1024);
  return values;
}

/// A counter whose steps take ten bits.
std::vector<int64_t> TenBitSteps() {
  std::vector<int64_t> values = TenBitIntegers();
  std::partial_sum(values.begin(), values.end(), values.begin());
  return values;
}

/// Evenly drawn, one decimal, ten bits each; a share of them with all digits: ALP's exceptions.
std::vector<double> Decimals(double exceptions) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform;
  std::vector<double> values(kRows);
  for (double &value : values) {
    value = static_cast<double>(random() % 1024) / 10;
    if (uniform(random) < exceptions) value = std::sqrt(value + 2);
  }
  return values;
}

/// A sensor: a slow walk with read-out noise, two decimals.
std::vector<double> Sensor() {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  std::vector<double> values(kRows);
  double level = 50;
  for (double &value : values) {
    level += 0.05 * normal(random);
    value = std::round((level + 0.02 * normal(random)) * 100) / 100;
  }
  return values;
}

ByteSpan Span(const ByteBuffer &buffer) {
  return {buffer.data(), buffer.size()};
}

void DecodeIntegers(benchmark::State &state, const std::vector<int64_t> &values, Level level) {
  if (!SetLevel(&state)) return;
  ByteBuffer bytes(std::pmr::new_delete_resource());
  EncodeIntegers(values, level, bytes);
  IntegerStream stream(std::pmr::new_delete_resource());
  Require(stream.Open(Span(bytes), kRows).ok());
  std::vector<int64_t> out(kRows);
  for (uint32_t i = 0; i < kVectors; i++) {
    Require(stream.Decode(i, out.data() + i * kVectorSize).ok());
  }
  Require(out == values);
  for (auto _ : state) {
    for (uint32_t i = 0; i < kVectors; i++) {
      benchmark::DoNotOptimize(stream.Decode(i, out.data()).ok());
      benchmark::ClobberMemory();
    }
  }
  CountValues(&state, kRows);
  state.SetLabel(stream.EncodingName());
}

void ForDecode(benchmark::State &state) {
  DecodeIntegers(state, TenBitIntegers(), Level::kHot);
}
BENCHMARK(ForDecode)->Arg(1)->Arg(3)->Arg(4);

void DeltaForDecode(benchmark::State &state) {
  DecodeIntegers(state, TenBitSteps(), Level::kHot);
}
BENCHMARK(DeltaForDecode)->Arg(1)->Arg(3)->Arg(4);

void DecodeDoubles(benchmark::State &state, const std::vector<double> &values, Level level) {
  if (!SetLevel(&state)) return;
  ByteBuffer bytes(std::pmr::new_delete_resource());
  EncodeDoubles(values, level, bytes);
  std::vector<double> out(kRows);
  {
    FloatStream<double> stream(std::pmr::new_delete_resource());
    Require(stream.Open(Span(bytes), kRows).ok());
    for (uint32_t i = 0; i < kVectors; i++) {
      Require(stream.Decode(i, out.data() + i * kVectorSize).ok());
    }
    Require(std::memcmp(out.data(), values.data(), kRows * sizeof(double)) == 0);
    state.SetLabel(stream.EncodingName());
  }
  for (auto _ : state) {
    // Opened anew: a COLD stream keeps what it has decompressed.
    FloatStream<double> stream(std::pmr::new_delete_resource());
    Require(stream.Open(Span(bytes), kRows).ok());
    for (uint32_t i = 0; i < kVectors; i++) {
      benchmark::DoNotOptimize(stream.Decode(i, out.data()).ok());
      benchmark::ClobberMemory();
    }
  }
  CountValues(&state, kRows);
}

void AlpDecode(benchmark::State &state) {
  DecodeDoubles(state, Decimals(0), Level::kHot);
}
BENCHMARK(AlpDecode)->Arg(1)->Arg(3)->Arg(4);

void AlpDecodeTwoPercentExceptions(benchmark::State &state) {
  DecodeDoubles(state, Decimals(0.02), Level::kHot);
}
BENCHMARK(AlpDecodeTwoPercentExceptions)->Arg(1)->Arg(3)->Arg(4);

void ColdDecode(benchmark::State &state) {
  DecodeDoubles(state, Sensor(), Level::kCold);
}
BENCHMARK(ColdDecode)->Arg(1)->Arg(3)->Arg(4);

void HotEncode(benchmark::State &state) {
  if (!SetLevel(&state)) return;
  const std::vector<double> values = Sensor();
  for (auto _ : state) {
    ByteBuffer bytes(std::pmr::new_delete_resource());
    EncodeDoubles(values, Level::kHot, bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
  CountValues(&state, kRows);
}
BENCHMARK(HotEncode)->Arg(1)->Arg(3)->Arg(4);

void ColdEncode(benchmark::State &state) {
  if (!SetLevel(&state)) return;
  const std::vector<double> values = Sensor();
  for (auto _ : state) {
    ByteBuffer bytes(std::pmr::new_delete_resource());
    EncodeDoubles(values, Level::kCold, bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
  CountValues(&state, kRows);
}
BENCHMARK(ColdEncode)->Arg(1)->Arg(3)->Arg(4);

/// Which of a packed column's codes are below a bound: unpack and compare, nothing decoded.
void FilterOnCodes(benchmark::State &state) {
  if (!SetLevel(&state)) return;
  constexpr unsigned kWidth = 10;
  const std::vector<int64_t> values = TenBitIntegers();
  std::vector<std::byte> packed(kVectors * 128 * kWidth);
  const KernelTable &kernels = Kernels();
  uint32_t expected = 0;
  for (const int64_t value : values) expected += value < 1100;
  for (uint32_t i = 0; i < kVectors; i++) {
    kernels.pack[kWidth](reinterpret_cast<const uint64_t *>(values.data()) + i * kVectorSize, 1000,
                         packed.data() + i * 128 * kWidth);
  }
  std::vector<uint32_t> codes(kVectorSize);
  uint64_t bitmap[kVectorSize / 64];
  uint32_t found = 0;
  for (auto _ : state) {
    found = 0;
    for (uint32_t i = 0; i < kVectors; i++) {
      kernels.unpack[kWidth](packed.data() + i * 128 * kWidth, codes.data());
      kernels.less(codes.data(), 100, bitmap);
      for (const uint64_t word : bitmap) found += static_cast<uint32_t>(std::popcount(word));
    }
    benchmark::DoNotOptimize(found);
  }
  Require(found == expected);
  CountValues(&state, kRows);
}
BENCHMARK(FilterOnCodes)->Arg(1)->Arg(3)->Arg(4);

/// The yardstick of reading: 64 MB of doubles, added up in eight lanes so that memory is the limit.
void SumOfPlainDoubles(benchmark::State &state) {
  const std::vector<double> values(8 << 20, 1.0);
  for (auto _ : state) {
    double lanes[8] = {};
    for (size_t i = 0; i < values.size(); i += 8) {
      for (size_t lane = 0; lane < 8; lane++) lanes[lane] += values[i + lane];
    }
    const double sum = std::accumulate(lanes, lanes + 8, 0.0);
    Require(sum == static_cast<double>(values.size()));
    benchmark::DoNotOptimize(sum);
  }
  CountValues(&state, values.size());
}
BENCHMARK(SumOfPlainDoubles);

/// Gorilla's codec for values (Pelkonen et al., VLDB 2015, section 4.1.2), straightforward.
class Gorilla {
 public:
  explicit Gorilla(const std::vector<double> &values) {
    uint64_t previous = 0;
    unsigned leading = 65;
    unsigned trailing = 0;
    for (const double value : values) {
      const auto bits = std::bit_cast<uint64_t>(value);
      const uint64_t x = bits ^ previous;
      previous = bits;
      if (x == 0) {
        Put(0, 1);
        continue;
      }
      const unsigned new_leading = std::min(31u, static_cast<unsigned>(std::countl_zero(x)));
      const unsigned new_trailing = static_cast<unsigned>(std::countr_zero(x));
      if (leading <= 64 && new_leading >= leading && new_trailing >= trailing) {
        Put(0b10, 2);
        Put(x >> trailing, 64 - leading - trailing);
      } else {
        leading = new_leading;
        trailing = new_trailing;
        Put(0b11, 2);
        Put(leading, 5);
        Put(64 - leading - trailing - 1, 6);
        Put(x >> trailing, 64 - leading - trailing);
      }
    }
    words_.push_back(0);
    words_.push_back(0);
  }

  void Decode(std::vector<double> *out) const {
    uint64_t position = 0;
    uint64_t value = 0;
    unsigned length = 0;
    unsigned trailing = 0;
    for (double &slot : *out) {
      if (Get(&position, 1) != 0) {
        if (Get(&position, 1) != 0) {
          const auto leading = static_cast<unsigned>(Get(&position, 5));
          length = static_cast<unsigned>(Get(&position, 6)) + 1;
          trailing = 64 - leading - length;
        }
        value ^= Get(&position, length) << trailing;
      }
      slot = std::bit_cast<double>(value);
    }
  }

 private:
  void Put(uint64_t bits, unsigned count) {
    for (unsigned i = count; i-- > 0;) {
      if (size_ % 64 == 0) words_.push_back(0);
      words_.back() |= ((bits >> i) & 1) << (63 - size_ % 64);
      size_++;
    }
  }

  uint64_t Get(uint64_t *position, unsigned count) const {
    const uint64_t word = *position / 64;
    const unsigned shift = *position % 64;
    *position += count;
    const uint64_t high = words_[word] << shift;
    const uint64_t low = shift == 0 ? 0 : words_[word + 1] >> (64 - shift);
    return (high | low) >> (64 - count);
  }

  std::vector<uint64_t> words_;
  uint64_t size_ = 0;
};

void GorillaDecode(benchmark::State &state) {
  const std::vector<double> values = Decimals(0);
  const Gorilla gorilla(values);
  std::vector<double> out(kRows);
  gorilla.Decode(&out);
  Require(out == values);
  for (auto _ : state) {
    gorilla.Decode(&out);
    benchmark::ClobberMemory();
  }
  CountValues(&state, kRows);
}
BENCHMARK(GorillaDecode);

void ZstdEncode(benchmark::State &state) {
  const std::vector<double> values = Sensor();
  std::vector<char> out(ZSTD_compressBound(kRows * sizeof(double)));
  for (auto _ : state) {
    Require(ZSTD_isError(ZSTD_compress(out.data(), out.size(), values.data(),
                                       kRows * sizeof(double), 3)) == 0);
  }
  CountValues(&state, kRows);
}
BENCHMARK(ZstdEncode);

void ZstdDecode(benchmark::State &state) {
  const std::vector<double> values = Sensor();
  std::vector<char> bytes(ZSTD_compressBound(kRows * sizeof(double)));
  bytes.resize(ZSTD_compress(bytes.data(), bytes.size(), values.data(), kRows * sizeof(double), 3));
  std::vector<double> out(kRows);
  for (auto _ : state) {
    Require(ZSTD_decompress(out.data(), kRows * sizeof(double), bytes.data(), bytes.size()) ==
            kRows * sizeof(double));
  }
  Require(out == values);
  CountValues(&state, kRows);
}
BENCHMARK(ZstdDecode);

}  // namespace
}  // namespace tsext
