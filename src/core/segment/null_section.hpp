#pragma once

// Which rows of a block are NULL.
//
//   u16  null_count[vectors]
//   then for each vector with 0 < null_count < rows, the smaller of
//     u16  position[n]            ascending; of the NULLs, or of the others when those are fewer
//     u8   bitmap[(rows + 7) / 8] bit set = NULL, bits past the last row clear
//   (positions when 2 * n is less than the bitmap; the form follows from the count)

#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"

namespace tsext {

/// One vector's NULLs: bit set = NULL, bits past the vector's rows clear.
using NullWords = std::array<uint64_t, kVectorSize / 64>;

/// Appends the section for `row_count` rows. nulls: a bitmap as in ColumnView, not nullptr.
void AppendNullSection(const uint64_t *nulls, uint32_t row_count, ByteBuffer &out);

/// Longest section a writer makes for `row_count` rows; bounds what a reader decompresses.
constexpr uint32_t MaxNullSectionSize(uint32_t row_count) noexcept {
  const uint32_t vectors = (row_count + kVectorSize - 1) / kVectorSize;
  return vectors * (2 + kVectorSize / 8);
}

/// Reads a null section. Everything is checked by Open, so that Read cannot fail.
class NullSection {
 public:
  /// bytes: exactly the section, not trusted; outlives the object.
  Status Open(ByteSpan bytes, uint32_t row_count) noexcept;

  uint32_t total() const noexcept { return total_; }
  /// NULLs in vector `index`.
  uint32_t Count(uint32_t index) const noexcept { return entries_[index].null_count; }
  /// Rows before vector `index` that are not NULL.
  uint32_t Rank(uint32_t index) const noexcept { return entries_[index].rank; }
  void Read(uint32_t index, NullWords &words) const noexcept;

 private:
  struct Entry {
    uint16_t rows = 0;
    uint16_t null_count = 0;
    uint32_t rank = 0;
    uint32_t offset = 0;
  };
  ByteSpan bytes_;
  uint32_t total_ = 0;
  std::array<Entry, kMaxVectorsPerSegment> entries_;
};

}  // namespace tsext
