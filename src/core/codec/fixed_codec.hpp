#pragma once

// Values of one fixed length that do not repeat.
//
// Version 7 UUIDs (BlockCodec::kUuidTime):
//   ...  times                nested integer stream of the first 48 bits, big-endian: milliseconds
//   u8   rest[count][10]      the other bytes of each value
//
// Byte planes (BlockCodec::kPlanes), plane p being byte p of every value of a vector:
//   u32  width                bytes a value, 1..32767
//   u32  zero
//   u32  stored[vectors]      bytes of each vector as stored; bit 31: one zstd frame
//   then for each vector
//     u8  is_constant[(width + 7) / 8]   bit p: plane p is one byte, repeated
//     u8  constants[]                    of the constant planes
//     u8  planes[][values]               the others

#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "tsext/integer_codec.hpp"

#include "core/codec/bytes_codec.hpp"

namespace tsext {

/// True when all values (16 bytes each) are version 7 UUIDs.
bool AreTimeUuids(std::span<const ByteView> values) noexcept;

/// Appends version 7 UUIDs. values: 1 .. kMaxSegmentRows, AreTimeUuids.
void EncodeTimeUuids(std::span<const ByteView> values, Level level, ByteBuffer &out);

/// Appends values of `width` bytes as planes. values: 1 .. kMaxSegmentRows. width: 1 ..
/// kMaxFixedWidth.
void EncodePlanes(std::span<const ByteView> values, uint32_t width, Level level, ByteBuffer &out);

class TimeUuidStream final : public BytesStream {
 public:
  explicit TimeUuidStream(std::pmr::memory_resource *memory);
  Status Open(ByteSpan bytes, uint32_t count) override;
  Status ArenaSize(uint32_t index, uint64_t &size) override;
  Status Decode(uint32_t index, ByteView *out, std::byte *arena) override;
  const char *EncodingName() const noexcept override;

 private:
  IntegerStream times_;
  ByteSpan rest_;
  uint32_t count_ = 0;
  std::array<int64_t, kVectorSize> scratch_;
};

class PlanesStream final : public BytesStream {
 public:
  /// width: the type's; a stream of another width is damaged.
  PlanesStream(std::pmr::memory_resource *memory, uint32_t width);
  Status Open(ByteSpan bytes, uint32_t count) override;
  Status ArenaSize(uint32_t index, uint64_t &size) override;
  Status Decode(uint32_t index, ByteView *out, std::byte *arena) override;
  const char *EncodingName() const noexcept override;

 private:
  struct Payload {
    ByteSpan bytes;
    bool is_frame = false;
  };
  std::array<Payload, kMaxVectorsPerSegment> payloads_;
  std::pmr::vector<std::byte> decompressed_;
  uint32_t width_;
  uint32_t count_ = 0;
  bool any_frame_ = false;
};

}  // namespace tsext
