#pragma once

// The codecs of the bytes classes. All have one shape: an encoder that appends a self-contained
// stream of values without NULLs, and a BytesStream that decodes it vector by vector.

#include <cstdint>
#include <memory_resource>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/integer_codec.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"

namespace tsext {

/// How a block's values are stored. Values are on disk: append, never renumber.
enum class BlockCodec : uint8_t {
  kNone = 0,        ///< no values: every row is NULL
  kIntegers = 1,    ///< EncodeIntegers
  kDoubles = 2,     ///< EncodeDoubles
  kFloats = 3,      ///< EncodeFloats
  kDictionary = 4,  ///< distinct values and an integer stream of codes
  kFrames = 5,      ///< lengths and the bytes of each vector, by zstd where that is smaller
  kNumeric = 6,     ///< decimal numbers as integers of a common scale
  kUuidTime = 7,    ///< version 7 UUIDs: an integer stream of times and ten bytes a value
  kPlanes = 8,      ///< fixed-length values as byte planes
};

/// Longest run of value bytes that one vector may decode to: it must fit a palloc chunk.
inline constexpr uint64_t kMaxVectorBytes = (uint64_t{1} << 30) - 1;
/// Widest fixed-length value (a type's length is an int16).
inline constexpr uint32_t kMaxFixedWidth = 32767;
inline constexpr uint32_t kUuidWidth = 16;

/// Appends an integer stream that lies inside another stream: u32 size, u32 zero, `size` bytes of
/// EncodeIntegers, zeros to a multiple of 8. The buffer is aligned to 8 first.
void AppendIntegerStream(std::span<const int64_t> values, Level level, ByteBuffer &out);
/// Takes a stream written by AppendIntegerStream from `reader`, which stands at a multiple of 8.
[[nodiscard]] bool ReadNestedStream(ByteReader &reader, ByteSpan &stream) noexcept;

/// Decodes one stream of a bytes class. Made by OpenBytesStream.
class BytesStream {
 public:
  virtual ~BytesStream() = default;
  BytesStream() = default;
  BytesStream(const BytesStream &) = delete;
  BytesStream &operator=(const BytesStream &) = delete;

  /// bytes: the whole stream, not trusted; outlives the object. count: values expected, 1 or more.
  virtual Status Open(ByteSpan bytes, uint32_t count) = 0;
  /// Bytes of arena that Decode(index) writes.
  virtual Status ArenaSize(uint32_t index, uint64_t &size) = 0;
  /// Decodes vector `index`: out has room for kVectorSize views, which point into the stream's
  /// bytes, the object, or `arena`, which has room for ArenaSize(index) bytes.
  virtual Status Decode(uint32_t index, ByteView *out, std::byte *arena) = 0;
  virtual const char *EncodingName() const noexcept = 0;
};

/// Values in vector `index` of a stream of `count` values.
constexpr uint32_t ValuesInVector(uint32_t index, uint32_t count) noexcept {
  const uint32_t left = count - index * kVectorSize;
  return left < kVectorSize ? left : kVectorSize;
}
constexpr uint32_t VectorCount(uint32_t count) noexcept {
  return (count + kVectorSize - 1) / kVectorSize;
}

}  // namespace tsext
