#pragma once

// Small lists inside a vector: positions as gaps or a bitmap, and values of a fixed number of bits.

#include <bit>
#include <cstdint>
#include <span>

#include "tsext/bytes.hpp"

namespace tsext {

constexpr uint64_t LowBits(unsigned width) noexcept {
  return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}
/// Small magnitudes of both signs become small numbers.
constexpr uint64_t ZigZag(uint64_t value) noexcept {
  return (value << 1) ^ (uint64_t{0} - (value >> 63));
}
constexpr uint64_t UnZigZag(uint64_t value) noexcept {
  return (value >> 1) ^ (uint64_t{0} - (value & 1));
}

/// Appends `values`, each below 2^width, one after another from the lowest bit of a byte on.
void AppendBits(ByteBuffer &out, std::span<const uint64_t> values, unsigned width);

constexpr size_t BitsSize(size_t count, unsigned width) noexcept {
  return (count * width + 7) / 8;
}

/// Value `index` of a list written by AppendBits; the caller has checked that the list is there.
uint64_t ReadBits(ByteSpan bits, size_t index, unsigned width) noexcept;

/// All `count` values of a list written by AppendBits.
void ReadAllBits(ByteSpan bits, size_t count, unsigned width, uint64_t *out) noexcept;

/// How a list of positions below 1,024 is stored.
enum class PositionForm : uint8_t {
  kGaps = 0,  ///< a byte each: how many positions lie between it and the one before; 255 = skip 255
  kBitmap = 1,  ///< a bit for each row of the vector
};

/// The smaller form and its bytes.
PositionForm ChoosePositionForm(std::span<const uint16_t> positions, uint32_t rows,
                                size_t &size) noexcept;
void AppendPositions(ByteBuffer &out, std::span<const uint16_t> positions, uint32_t rows,
                     PositionForm form);
/// Reads positions.size() strictly ascending positions below `rows`. False when the bytes do not
/// hold them.
[[nodiscard]] bool ReadPositions(ByteReader &reader, PositionForm form, uint32_t rows,
                                 std::span<uint16_t> positions) noexcept;

}  // namespace tsext
