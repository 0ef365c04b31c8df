// Strings there and back, and every decoder of the bytes classes on hostile bytes.
//
// Input: u8 mode, u16 count, then the bytes of a stream (modes 0 to 4) or lengths and values (5
// on).

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <vector>

#include "core/codec/fixed_codec.hpp"
#include "core/codec/interner.hpp"
#include "core/codec/numeric_codec.hpp"
#include "core/codec/string_codec.hpp"

namespace tsext {
namespace {

/// Decodes vector `index`; false when the stream refuses. The views point into arena or the stream.
bool Decode(BytesStream &stream, uint32_t index, std::vector<std::byte> &arena,
            std::vector<ByteView> &views) {
  uint64_t size = 0;
  if (!stream.ArenaSize(index, size).ok()) return false;
  arena.resize(size);
  views.assign(kVectorSize, {});
  return stream.Decode(index, views.data(), arena.data()).ok();
}

void DecodeHostile(BytesStream &stream, ByteSpan bytes, uint32_t count) {
  if (!stream.Open(bytes, count).ok()) return;
  std::vector<std::byte> arena;
  std::vector<ByteView> views;
  volatile uint8_t sink = 0;
  for (uint32_t v = 0; v < VectorCount(count); v++) {
    if (!Decode(stream, v, arena, views)) continue;
    for (uint32_t i = 0; i < ValuesInVector(v, count); i++)
      for (uint32_t byte = 0; byte < std::min(views[i].size, 32u); byte++)
        sink = static_cast<uint8_t>(sink ^ static_cast<uint8_t>(views[i].data[byte]) ^
                                    static_cast<uint8_t>(views[i].data[views[i].size - 1 - byte]));
  }
}

void ExpectValues(BytesStream &stream, ByteSpan bytes, const std::vector<ByteView> &values) {
  const uint32_t count = static_cast<uint32_t>(values.size());
  if (!stream.Open(bytes, count).ok()) std::abort();
  std::vector<std::byte> arena;
  std::vector<ByteView> views;
  for (uint32_t v = 0; v < VectorCount(count); v++) {
    if (!Decode(stream, v, arena, views)) std::abort();
    for (uint32_t i = 0; i < ValuesInVector(v, count); i++)
      if (CompareBytes(views[i], values[v * kVectorSize + i]) != 0) std::abort();
  }
}

void RoundTrip(ByteSpan input, Level level) {
  // Values that overlap: each begins at a byte's value and is as long as the next byte says.
  std::vector<ByteView> values;
  for (size_t i = 0; i + 1 < input.size() && values.size() < 4000; i += 2) {
    const size_t begin = std::min(static_cast<size_t>(input[i]), input.size());
    const size_t size = std::min(static_cast<size_t>(input[i + 1]), input.size() - begin);
    values.push_back({input.data() + begin, static_cast<uint32_t>(size)});
  }
  if (values.empty()) return;
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  InternedColumn interned(memory);
  if (!Intern(values, static_cast<uint32_t>(values.size()), interned, nullptr)) std::abort();
  ByteBuffer bytes;
  if (!EncodeDictionary(interned.distinct, interned.codes, level, bytes).ok()) std::abort();
  DictionaryStream dictionary(memory);
  ExpectValues(dictionary, bytes, values);

  bytes.clear();
  if (!EncodeFrames(values, level, bytes).ok()) std::abort();
  FramesStream frames(memory);
  ExpectValues(frames, bytes, values);

  bytes.clear();
  if (EncodeNumerics(values, level, bytes)) {
    NumericStream numerics(memory);
    ExpectValues(numerics, bytes, values);
  }
}

}  // namespace
}  // namespace tsext

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace tsext;
  if (size < 3) return 0;
  // A copy of exactly this size, so that a sanitizer sees reads past its end.
  const ByteSpan all = std::as_bytes(std::span(data, size));
  const std::vector<std::byte> rest(all.begin() + 3, all.end());
  const uint32_t count = LoadUnaligned<uint16_t>(all.data() + 1) % kMaxSegmentRows + 1;
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  switch (data[0] % 7) {
    case 0: {
      DictionaryStream stream(memory);
      DecodeHostile(stream, rest, count);
      break;
    }
    case 1: {
      FramesStream stream(memory);
      DecodeHostile(stream, rest, count);
      break;
    }
    case 2: {
      NumericStream stream(memory);
      DecodeHostile(stream, rest, count);
      break;
    }
    case 3: {
      TimeUuidStream stream(memory);
      DecodeHostile(stream, rest, count);
      break;
    }
    case 4: {
      PlanesStream stream(memory, data[0] / 7 + 1u);
      DecodeHostile(stream, rest, count);
      break;
    }
    case 5:
      RoundTrip(rest, Level::kHot);
      break;
    default:
      RoundTrip(rest, Level::kCold);
      break;
  }
  return 0;
}
