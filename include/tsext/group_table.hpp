#pragma once

// Numbers for grouping keys: what GROUP BY looks up once a run of equal rows.

#include <cstdint>
#include <memory_resource>
#include <vector>

#include "tsext/types.hpp"

namespace tsext {

/// A hash table of keys of a fixed number of words. Keys are numbered 0, 1, 2 … as they come.
class GroupTable {
 public:
  /// words: of one key, 0 or more (0: one key there is).
  GroupTable(uint32_t words, std::pmr::memory_resource *memory);

  /// The number of `key`, which has words() words; a key not seen before gets the next one.
  uint32_t Find(const int64_t *key);
  const int64_t *Key(uint32_t number) const noexcept {
    return keys_.data() + static_cast<size_t>(number) * words_;
  }
  uint32_t size() const noexcept { return size_; }
  uint32_t words() const noexcept { return words_; }
  /// Forgets all keys; keeps the memory.
  void Clear() noexcept;
  size_t memory_bytes() const noexcept;

  /// Spreads over all 64 bits.
  static uint64_t Hash(const int64_t *key, uint32_t words) noexcept;

 private:
  bool IsKey(uint32_t number, const int64_t *key) const noexcept;
  void Grow();

  uint32_t words_;
  uint32_t size_ = 0;
  uint32_t last_ = 0;  ///< the number found last: runs often come back to it
  std::pmr::vector<int64_t> keys_;
  std::pmr::vector<uint32_t> hashes_;  ///< of the keys, upper halves
  std::pmr::vector<uint32_t> slots_;   ///< key number + 1, 0 = free; a power of two
};

/// Numbers for distinct byte strings, which are copied.
class BytesTable {
 public:
  explicit BytesTable(std::pmr::memory_resource *memory);

  uint32_t Find(ByteView value);
  ByteView Value(uint32_t number) const noexcept { return values_[number]; }
  uint32_t size() const noexcept { return static_cast<uint32_t>(values_.size()); }

 private:
  void Grow();

  std::pmr::monotonic_buffer_resource bytes_;
  std::pmr::vector<ByteView> values_;
  std::pmr::vector<uint32_t> hashes_;
  std::pmr::vector<uint32_t> slots_;
};

}  // namespace tsext
