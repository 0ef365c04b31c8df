// FOR and delta-FOR of one vector, large codes patched on both sides.
//
//   u32 or u64  words[]          codes of the vector's width in the layout of kernel_table.hpp, cut
//                                after the last word that holds a bit of a value
//   exceptions, only if there are any:
//   u16         count            1..1024
//   u8          form             bits 0..6: high_width, bit 7: positions are a bitmap, else gaps
//   u8          positions[]      as in bit_stream.hpp
//   bits        highs[count]     high_width bits each: zigzag of (value - base) >> width, an
//                                arithmetic shift; the low bits are in the words
//
// All arithmetic is modulo 2^64.
#pragma once

#include <cstdint>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/integer_codec.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"

namespace tsext {

/// Bytes of the words of `rows` codes.
constexpr size_t PackedSize(uint32_t rows, unsigned width) noexcept {
  const uint32_t lanes = width <= 32 ? 32 : 16;
  const uint32_t bits = 1024 / lanes;
  const uint32_t lane_rows = (rows + lanes - 1) / lanes;
  return size_t{(lane_rows * width + bits - 1) / bits} * 128;
}

/// A choice of codes for a list of values: those in [base, base + 2^width) need no exception.
struct Window {
  uint64_t base = 0;
  unsigned width = 0;
  uint32_t exception_count = 0;
  size_t cost_bits = 0;  ///< words and exceptions; positions counted as a byte each
};

/// The cheapest window for `values`, whose extremes are min and max.
Window ChooseWindow(std::span<const int64_t> values, int64_t min, int64_t max) noexcept;

/// What was chosen for one vector.
struct VectorPlan {
  bool delta = false;
  unsigned width = 0;
  uint64_t base = 0;        ///< FOR: of the window. Delta: the vector's first value
  uint64_t delta_base = 0;  ///< delta: of the window of the differences
  uint64_t min = 0, max = 0;
  size_t cost_bits = 0;
  size_t exception_bytes = 0;  ///< set by AppendVector
};

/// values: kVectorSize of them; those past `rows` repeat the last real one.
VectorPlan PlanVector(const int64_t *values, uint32_t rows) noexcept;
/// Appends words and exceptions.
void AppendVector(ByteBuffer &out, const int64_t *values, uint32_t rows, VectorPlan &plan);

/// Decodes kVectorSize values; those past the vector's rows are unspecified.
Status DecodeVector(const PackedVector &vector, int64_t *out) noexcept;

/// Exceptions of a vector, parsed and checked: rows and what goes above the code's low bits.
struct Patches {
  uint32_t count = 0;
  uint16_t positions[kVectorSize];
  uint64_t highs[kVectorSize];
};
Status ReadPatches(const PackedVector &vector, Patches &patches) noexcept;

/// Decodes a delta vector whose values stay close to its first: sums[i] = value[i] - vector.base, a
/// signed number, for kVectorSize rows. Sets `fits` to false, and does nothing, when they may not
/// fit 32 bits or the vector has no differences.
Status DecodeDeltaSums(const PackedVector &vector, uint32_t *sums, bool &fits) noexcept;

/// Whole vectors of words: those of `vector`, or a padded copy of them in `buffer`, which has room
/// for 8 KiB.
const std::byte *WholeWords(const PackedVector &vector, std::byte *buffer) noexcept;

/// The code of one row, without its exception.
uint64_t SingleCode(const PackedVector &vector, uint32_t row) noexcept;

}  // namespace tsext
