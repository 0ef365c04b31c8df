#pragma once

// Which rows of a vector are still wanted: one bit a row.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "tsext/types.hpp"

namespace tsext {

/// Bit set = row selected. Bits past the rows of the vector are clear, always.
struct Selection {
  static constexpr uint32_t kWords = kVectorSize / 64;
  /// Not aligned to more than 8: selections lie in structs that palloc() allocates.
  std::array<uint64_t, kWords> words;

  void Clear() noexcept { words.fill(0); }
  /// Selects rows 0 .. rows - 1, 0 <= rows <= kVectorSize.
  void SelectFirst(uint32_t rows) noexcept {
    for (uint32_t i = 0; i < kWords; i++) {
      const uint32_t left = rows > i * 64 ? std::min(rows - i * 64, 64U) : 0;
      words[i] = left == 64 ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
    }
  }
  bool IsSelected(uint32_t row) const noexcept {
    return ((words[row / 64] >> (row % 64)) & 1) != 0;
  }
  void Select(uint32_t row) noexcept { words[row / 64] |= uint64_t{1} << (row % 64); }
  void Deselect(uint32_t row) noexcept { words[row / 64] &= ~(uint64_t{1} << (row % 64)); }
  uint32_t Count() const noexcept {
    uint32_t count = 0;
    for (const uint64_t word : words) count += static_cast<uint32_t>(std::popcount(word));
    return count;
  }
  bool IsEmpty() const noexcept {
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    return any == 0;
  }
  void And(const Selection &other) noexcept {
    for (uint32_t i = 0; i < kWords; i++) words[i] &= other.words[i];
  }
  void Or(const Selection &other) noexcept {
    for (uint32_t i = 0; i < kWords; i++) words[i] |= other.words[i];
  }
  void AndNot(const Selection &other) noexcept {
    for (uint32_t i = 0; i < kWords; i++) words[i] &= ~other.words[i];
  }
  /// Calls visit(row) for each selected row, ascending.
  template <typename Visit>
  void ForEach(const Visit &visit) const {
    for (uint32_t i = 0; i < kWords; i++) {
      for (uint64_t word = words[i]; word != 0; word &= word - 1)
        visit(i * 64 + static_cast<uint32_t>(std::countr_zero(word)));
    }
  }
};

}  // namespace tsext
