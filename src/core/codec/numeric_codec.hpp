#pragma once

// Decimal numbers (numeric) as integers.
//
// A value is its unscaled integer at the stream's scale, the largest display scale in it:
//   u16  scale              0..16383
//   u16  flags              bit 0: every value has `scale` as its display scale and is finite
//   u32  zero
//   ...  display_scales     nested integer stream; absent with bit 0. 0..scale, or 16384 for NaN,
//                           16385 for Infinity, 16386 for -Infinity
//   ...  unscaled           nested integer stream: value * 10^scale
// The encoder takes a column only if every value comes back byte by byte.

#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>

#include "tsext/integer_codec.hpp"

#include "core/codec/bytes_codec.hpp"

namespace tsext {

/// Appends `values` (1 .. kMaxSegmentRows, PostgreSQL's on-disk bytes without the varlena header)
/// to `out`. Returns false and leaves `out` unchanged when some value does not fit an int64 at the
/// common scale or is not in the form that PostgreSQL makes today.
bool EncodeNumerics(std::span<const ByteView> values, Level level, ByteBuffer &out);

class NumericStream final : public BytesStream {
 public:
  explicit NumericStream(std::pmr::memory_resource *memory);
  Status Open(ByteSpan bytes, uint32_t count) override;
  Status ArenaSize(uint32_t index, uint64_t &size) override;
  Status Decode(uint32_t index, ByteView *out, std::byte *arena) override;
  const char *EncodingName() const noexcept override;

 private:
  IntegerStream display_scales_;
  IntegerStream unscaled_;
  uint32_t count_ = 0;
  uint32_t scale_ = 0;
  bool is_uniform_ = true;
  std::array<int64_t, kVectorSize> scales_;
  std::array<int64_t, kVectorSize> integers_;
};

}  // namespace tsext
