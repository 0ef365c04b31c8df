// Reads arbitrary bytes as a float stream at every SIMD level, and encodes values made of the
// bytes, which must come back bit by bit.

#include "tsext/float_codec.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tsext/kernels.hpp"

namespace tsext {
namespace {

void Check(bool condition) {
  if (!condition) std::abort();
}

/// All levels must agree on whether the bytes are sound.
template <typename T>
void DecodeAnything(ByteSpan bytes, uint32_t count) {
  bool first = true;
  bool first_sound = false;
  for (const SimdLevel level : {SimdLevel::kV1, SimdLevel::kV3, SimdLevel::kV4}) {
    SetSimdLevel(level);
    FloatStream<T> stream(std::pmr::get_default_resource());
    bool sound = stream.Open(bytes, count).ok();
    alignas(64) T out[kVectorSize];
    for (uint32_t at = 0; sound && at < count; at += kVectorSize)
      sound = stream.Decode(at / kVectorSize, out).ok();
    Check(first || sound == first_sound);
    first = false;
    first_sound = sound;
  }
}

void Encode(std::span<const double> values, Level level, ByteBuffer &out) {
  EncodeDoubles(values, level, out);
}
void Encode(std::span<const float> values, Level level, ByteBuffer &out) {
  EncodeFloats(values, level, out);
}

template <typename T>
void RoundTrip(const std::vector<T> &values, Level level) {
  ByteBuffer bytes;
  Encode(std::span<const T>(values), level, bytes);
  FloatStream<T> stream(std::pmr::get_default_resource());
  const auto count = static_cast<uint32_t>(values.size());
  Check(stream.Open(bytes, count).ok());
  alignas(64) T out[kVectorSize];
  for (uint32_t at = 0; at < count; at += kVectorSize) {
    Check(stream.Decode(at / kVectorSize, out).ok());
    const size_t rows = std::min(kVectorSize, count - at);
    Check(std::memcmp(out, values.data() + at, rows * sizeof *out) == 0);
  }
}

/// Decimals with any bit pattern between them.
template <typename T>
std::vector<T> MakeValues(const uint8_t *data, size_t size, uint32_t count, uint8_t form) {
  std::vector<T> values(count);
  double walk = 0;
  for (size_t i = 0; i < count; i++) {
    const uint8_t byte = data[i % size];
    walk = ((form & 16) != 0 ? walk : 0) + byte - 100;
    values[i] = static_cast<T>(walk / ((form & 8) != 0 ? 1000.0 : 10.0));
    if ((form & 4) != 0) values[i] = static_cast<T>(static_cast<float>(values[i]));
    if (byte % 64 == form % 4 && size >= sizeof(T))
      std::memcpy(&values[i], data + i % (size - sizeof(T) + 1), sizeof(T));
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
  const auto bytes = std::as_bytes(std::span(data, size));
  tsext::DecodeAnything<double>(bytes, count);
  tsext::DecodeAnything<float>(bytes, count);
  tsext::SetSimdLevel(tsext::SimdLevel::kAuto);
  const Level level = (form & 128) != 0 ? Level::kCold : Level::kHot;
  if ((form & 64) != 0) {
    tsext::RoundTrip(tsext::MakeValues<float>(data, size, count, form), level);
  } else {
    tsext::RoundTrip(tsext::MakeValues<double>(data, size, count, form), level);
  }
  return 0;
}
