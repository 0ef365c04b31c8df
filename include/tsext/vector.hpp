#pragma once

// What a reader gives back: up to kVectorSize decoded values of one column.

#include <array>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "tsext/types.hpp"

namespace tsext {

/// One decoded vector. Reused between calls; fixed storage apart from `arena`.
///
/// count:  values, 1..kVectorSize.
/// nulls:  bit set = NULL; meaningful when any_null. The slot of a NULL holds an unspecified value
/// (bytes: {nullptr, 0}). The array that counts is chosen by `type`; kFloat32 values are in
/// `floats`, bytes classes in `bytes`, pointing into the block, its dictionary or `arena`: valid
/// until the BlockReader is closed or the Vector is read into again.
struct Vector {
  explicit Vector(std::pmr::memory_resource *memory) : arena(memory) {}

  PhysicalType type = PhysicalType::kInt64;
  uint32_t count = 0;
  bool any_null = false;
  alignas(64) std::array<uint64_t, kVectorSize / 64> nulls;
  union {
    alignas(64) int64_t integers[kVectorSize];
    double doubles[kVectorSize];
    float floats[kVectorSize];
  };
  std::array<ByteView, kVectorSize> bytes;
  std::pmr::vector<std::byte> arena;

  bool IsNull(uint32_t row) const noexcept {
    return any_null && ((nulls[row / 64] >> (row % 64)) & 1) != 0;
  }
};

/// One decoded vector of a dictionary-coded block: indexes into BlockReader::Dictionary().
///
/// nulls: as in Vector; the code of a NULL row is 0.
struct CodeVector {
  uint32_t count = 0;
  bool any_null = false;
  alignas(64) std::array<uint64_t, kVectorSize / 64> nulls;
  alignas(64) std::array<uint32_t, kVectorSize> codes;

  bool IsNull(uint32_t row) const noexcept {
    return any_null && ((nulls[row / 64] >> (row % 64)) & 1) != 0;
  }
};

/// A stretch of equal values of a block, from row `begin` up to the next one's.
///
/// value: the value of an integer class, or a code of the block's dictionary.
struct ValueRun {
  uint32_t begin = 0;
  int64_t value = 0;
};

}  // namespace tsext
