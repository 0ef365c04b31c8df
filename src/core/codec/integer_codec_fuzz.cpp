// Reads arbitrary bytes as an integer stream at every SIMD level, and encodes values made of the
// bytes, which must come back.

#include "tsext/integer_codec.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "tsext/kernels.hpp"

namespace tsext {
namespace {

void Check(bool condition) {
  if (!condition) std::abort();
}

/// Vector `index` as codes below some bounds: the same numbers, or an error if one is too large.
void CheckCodes(IntegerStream &stream, uint32_t index, std::span<const int64_t> values) {
  alignas(64) uint32_t codes[kVectorSize];
  for (const uint32_t bound : {1U, 200U, 70000U, UINT32_MAX}) {
    const bool fit = std::all_of(values.begin(), values.end(), [&](int64_t value) {
      return static_cast<uint64_t>(value) < bound;
    });
    Check(stream.DecodeCodes(index, bound, codes).ok() == fit);
    for (size_t i = 0; fit && i < values.size(); i++) Check(codes[i] == values[i]);
  }
}

/// All levels must agree on whether the bytes are sound, and on the values.
void DecodeAnything(ByteSpan bytes, uint32_t count) {
  std::vector<int64_t> expected;
  bool first = true;
  bool first_sound = false;
  for (const SimdLevel level : {SimdLevel::kV1, SimdLevel::kV3, SimdLevel::kV4}) {
    SetSimdLevel(level);
    std::vector<int64_t> values;
    IntegerStream stream(std::pmr::get_default_resource());
    bool sound = stream.Open(bytes, count).ok();
    alignas(64) int64_t out[kVectorSize];
    for (uint32_t at = 0; sound && at < count; at += kVectorSize) {
      sound = stream.Decode(at / kVectorSize, out).ok();
      if (!sound) continue;
      const uint32_t rows = std::min(kVectorSize, count - at);
      values.insert(values.end(), out, out + rows);
      CheckCodes(stream, at / kVectorSize, {out, rows});
    }
    Check(first || (sound == first_sound && values == expected));
    first = false;
    first_sound = sound;
    expected = std::move(values);
  }
}

void RoundTrip(const std::vector<int64_t> &values, Level level) {
  ByteBuffer bytes;
  EncodeIntegers(values, level, bytes);
  IntegerStream stream(std::pmr::get_default_resource());
  const auto count = static_cast<uint32_t>(values.size());
  Check(stream.Open(bytes, count).ok());
  alignas(64) int64_t out[kVectorSize];
  for (uint32_t at = 0; at < count; at += kVectorSize) {
    Check(stream.Decode(at / kVectorSize, out).ok());
    const size_t rows = std::min(kVectorSize, count - at);
    Check(std::memcmp(out, values.data() + at, rows * sizeof *out) == 0);
  }
}

/// Bytes as steps of many sizes, repeated until there are `count` values.
std::vector<int64_t> MakeValues(const uint8_t *data, size_t size, uint32_t count, uint8_t form) {
  std::vector<int64_t> values(count);
  uint64_t value = 0;
  for (size_t i = 0; i < count; i++) {
    const uint64_t byte = data[i % size];
    uint64_t step = byte << (form & 31);
    if (byte > 250) step = byte << (data[(i + 1) % size] % 64);
    value = (form & 32) != 0 ? value + step : step;
    values[i] = static_cast<int64_t>((form & 64) != 0 ? value * 1'000'003 : value);
  }
  return values;
}

}  // namespace
}  // namespace tsext

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using tsext::Level;
  if (size < 4) return 0;
  const uint8_t form = data[0];
  const uint32_t count = (data[1] | static_cast<uint32_t>(data[2]) << 8) % 4100 + 1;
  data += 3;
  size -= 3;
  tsext::DecodeAnything(std::as_bytes(std::span(data, size)), count);
  tsext::SetSimdLevel(tsext::SimdLevel::kAuto);
  tsext::RoundTrip(tsext::MakeValues(data, size, count, form),
                   (form & 128) != 0 ? Level::kCold : Level::kHot);
  return 0;
}
