#pragma once

// Floating point: ALP into the integer path, segment dictionary, sortable bit pattern, ALP-RD, raw.
// Bit-exact always.

#include <memory_resource>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"

namespace tsext {

/// Appends `values` to `out` as one self-contained stream; same contract as EncodeIntegers. NaN
/// payloads, -0 and infinities come back bit by bit.
void EncodeDoubles(std::span<const double> values, Level level, ByteBuffer &out);
void EncodeFloats(std::span<const float> values, Level level, ByteBuffer &out);

/// Reads a stream written by EncodeDoubles (T = double) or EncodeFloats (T = float). Same contract
/// as IntegerStream.
template <typename T>
class FloatStream {
 public:
  explicit FloatStream(std::pmr::memory_resource *memory);
  FloatStream(const FloatStream &) = delete;
  FloatStream &operator=(const FloatStream &) = delete;

  Status Open(ByteSpan bytes, uint32_t count);
  uint32_t count() const noexcept { return count_; }
  Status Decode(uint32_t index, T *out);
  const char *EncodingName() const noexcept;

 private:
  ByteSpan bytes_;
  uint32_t count_ = 0;
  // the implementer adds what it needs
};

}  // namespace tsext
