#pragma once

// Floating point: ALP into the integer path, single precision in double, segment dictionary,
// sortable bit pattern, split (ALP-RD). Bit-exact always. The bytes are specified in
// src/core/README.md, "Float stream".

#include <array>
#include <memory_resource>
#include <span>
#include <vector>

#include "tsext/bytes.hpp"
#include "tsext/integer_codec.hpp"
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
  explicit FloatStream(std::pmr::memory_resource *memory)
      : integers_(memory), low_(memory), dictionary_(memory) {}
  FloatStream(const FloatStream &) = delete;
  FloatStream &operator=(const FloatStream &) = delete;

  Status Open(ByteSpan bytes, uint32_t count);
  uint32_t count() const noexcept { return integers_.count(); }
  Status Decode(uint32_t index, T *out);
  /// A word for tsext.columns: "alp", "bits", "split", "dictionary", "constant", with "+zstd" in
  /// COLD.
  const char *EncodingName() const noexcept;

 private:
  static constexpr uint32_t kMaxScales = 5;

  Status OpenAlp(ByteSpan bytes, uint32_t count);
  template <typename U>
  Status OpenDictionary(ByteSpan bytes, uint32_t count);
  /// U: the precision the values are stored in.
  template <typename U>
  Status DecodeAs(uint32_t index, U *out);
  template <typename U>
  Status DecodeAlp(uint32_t index, U *out);
  template <typename U>
  Status DecodeBits(uint32_t index, U *out);
  Status DecodeDictionary(uint32_t index, T *out);
  template <typename U>
  Status PatchExceptions(uint32_t index, U *out) const noexcept;

  // ALP: the integers; bits: the patterns; split: their high parts; dictionary: the codes.
  IntegerStream integers_;
  IntegerStream low_;  // split: the low parts
  std::pmr::vector<T> dictionary_;
  uint8_t layout_ = 0;
  uint8_t low_width_ = 0;
  bool narrow_ = false;  // doubles stored as floats

  // ALP: powers of ten, which of them each vector uses, and its exceptions.
  uint32_t scale_count_ = 0;
  std::array<uint8_t, kMaxScales> exponents_, factors_;
  ByteSpan scale_indexes_, exception_sizes_, exceptions_;
  std::array<uint32_t, kMaxVectorsPerSegment + 1> exception_begins_;
};

}  // namespace tsext
