#pragma once

// Strings of any length, in two forms.
//
// Dictionary (BlockCodec::kDictionary), when values repeat:
//   u32  value_count          D: 1..values of the stream
//   u32  flags                bit 0: the values are one zstd frame
//   u32  stored_size          bytes of the values as stored
//   u32  zero
//   ...  lengths              nested integer stream of D lengths
//   ...  codes                nested integer stream, one code a value; absent when D = 1
//   u8   values[stored_size]  one after another, in memcmp order
//
// Frames (BlockCodec::kFrames), when they do not:
//   ...  lengths              nested integer stream, one length a value
//   u32  stored[vectors]      bytes of each vector as stored; bit 31: one zstd frame
//   u8   payload              the vectors' bytes, one value after another

#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "tsext/integer_codec.hpp"

#include "core/codec/bytes_codec.hpp"

namespace tsext {

/// Appends values as dictionary and codes. distinct: in memcmp order, each used; codes: 1 ..
/// kMaxSegmentRows indexes into it. Fails with kTooLarge past kMaxVectorBytes of dictionary.
Status EncodeDictionary(std::span<const ByteView> distinct, std::span<const uint32_t> codes,
                        Level level, ByteBuffer &out);

/// Appends values as frames. values: 1 .. kMaxSegmentRows. Fails with kTooLarge when a vector has
/// more than kMaxVectorBytes.
Status EncodeFrames(std::span<const ByteView> values, Level level, ByteBuffer &out);

class DictionaryStream final : public BytesStream {
 public:
  explicit DictionaryStream(std::pmr::memory_resource *memory);
  Status Open(ByteSpan bytes, uint32_t count) override;
  Status ArenaSize(uint32_t index, uint64_t &size) override;
  Status Decode(uint32_t index, ByteView *out, std::byte *arena) override;
  const char *EncodingName() const noexcept override;

  /// The distinct values, all of them whether used or not; valid as long as the stream is open.
  std::span<const ByteView> values() const noexcept { return values_; }
  /// Decodes vector `index` as indexes into values(), each checked. out: room for kVectorSize.
  Status DecodeCodes(uint32_t index, uint32_t *out);
  /// The runs of equal codes, each checked; none when they are not stored as runs.
  Status FindCodeRuns(std::pmr::vector<ValueRun> &runs) const;

 private:
  std::pmr::vector<ByteView> values_;
  std::pmr::vector<std::byte> decompressed_;
  IntegerStream codes_;
  uint32_t count_ = 0;
  std::array<int64_t, kVectorSize> scratch_;
};

class FramesStream final : public BytesStream {
 public:
  explicit FramesStream(std::pmr::memory_resource *memory);
  Status Open(ByteSpan bytes, uint32_t count) override;
  Status ArenaSize(uint32_t index, uint64_t &size) override;
  Status Decode(uint32_t index, ByteView *out, std::byte *arena) override;
  const char *EncodingName() const noexcept override;

 private:
  struct Payload {
    ByteSpan bytes;
    bool is_frame = false;
  };
  static constexpr uint32_t kNoVector = UINT32_MAX;

  /// Decodes and checks the lengths of vector `index` into lengths_, their sum into total_.
  Status ReadLengths(uint32_t index);

  IntegerStream length_stream_;
  std::array<Payload, kMaxVectorsPerSegment> payloads_;
  uint32_t count_ = 0;
  uint32_t current_ = kNoVector;
  uint64_t total_ = 0;
  std::array<int64_t, kVectorSize> lengths_;
};

}  // namespace tsext
