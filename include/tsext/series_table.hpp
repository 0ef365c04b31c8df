#pragma once

// The series of a table and the best row found of each: what "the newest row of every series" is
// looked up in. Memory is bounded by doing the work in passes, each over a part of the series.

#include <cstdint>
#include <memory_resource>
#include <vector>

#include "tsext/types.hpp"

namespace tsext {

/// The bytes of a key under construction: equal values, equal bytes, whatever a value was read
/// from.
class SeriesKey {
 public:
  explicit SeriesKey(std::pmr::memory_resource *memory) : bytes_(memory) {}

  void Clear() noexcept { bytes_.clear(); }
  void AddNull() { bytes_.push_back(std::byte{0}); }
  void AddInteger(int64_t value) { Add(std::byte{1}, &value, sizeof value); }
  void AddBytes(ByteView value) {
    Add(std::byte{2}, &value.size, sizeof value.size);
    if (value.size > 0) bytes_.insert(bytes_.end(), value.data, value.data + value.size);
  }
  ByteView view() const noexcept { return {bytes_.data(), static_cast<uint32_t>(bytes_.size())}; }

 private:
  void Add(std::byte kind, const void *value, size_t size) {
    const auto *from = static_cast<const std::byte *>(value);
    bytes_.push_back(kind);
    bytes_.insert(bytes_.end(), from, from + size);
  }

  std::pmr::vector<std::byte> bytes_;
};

/// The best row of a series so far.
struct BestRow {
  /// Ascending: a later kind beats an earlier one.
  enum class Kind : uint8_t {
    kNone,       ///< no row found
    kNullLast,   ///< a row without a time, which every time beats
    kTimed,      ///< compared by rank
    kNullFirst,  ///< a row without a time, which beats every time
    kUnwanted    ///< no row of this series is wanted
  };
  Kind kind = Kind::kNone;
  bool is_wanted = false;  ///< it has been decided that the series is wanted
  int32_t segment = 0;     ///< where the row lies: meanings are the caller's
  uint64_t row = 0;
  int64_t rank = 0;  ///< the greater the better

  /// Whether no row of this rank or a lesser one can be better than this.
  bool IsAsGoodAs(int64_t other_rank) const noexcept {
    return kind > Kind::kTimed || (kind == Kind::kTimed && rank >= other_rank);
  }
};

/// A hash table from keys to best rows. Series are numbered 0, 1, 2 … as they come.
///
/// A pass is about the series whose hash lies in [first, end). It begins with all that are left;
/// Halve() makes it smaller when there are more series than memory.
class SeriesTable {
 public:
  /// Not a number of a series: it belongs to another pass, or it has not been met.
  static constexpr uint32_t kOtherPass = UINT32_MAX;
  static constexpr uint32_t kUnknown = UINT32_MAX - 1;

  explicit SeriesTable(std::pmr::memory_resource *memory);

  /// The number of a series, which is added when it is new; or kOtherPass.
  uint32_t Find(ByteView key);
  /// The number of a series; or kOtherPass, or kUnknown.
  uint32_t Lookup(ByteView key) const noexcept;
  BestRow &best(uint32_t number) noexcept { return series_[number].best; }
  const BestRow &best(uint32_t number) const noexcept { return series_[number].best; }
  uint32_t size() const noexcept { return static_cast<uint32_t>(series_.size()); }
  size_t memory_bytes() const noexcept;

  /// Leaves the upper half of the hashes to later passes and forgets what was found of them; the
  /// others get new numbers. False when the pass cannot be made smaller.
  bool Halve();
  /// Forgets all series and begins the next pass; false when there is none left.
  bool NextPass();
  /// Forgets everything and begins the first pass.
  void Restart();

 private:
  struct Series {
    uint64_t hash;
    size_t key_offset;
    uint32_t key_size;
    BestRow best;
  };
  ByteView KeyOf(const Series &series) const noexcept {
    return {keys_.data() + series.key_offset, series.key_size};
  }
  bool IsOfPass(uint64_t hash) const noexcept {
    const uint64_t part = hash >> 32;
    return part >= first_ && part < end_;
  }
  /// The slot that has the key, or a free one.
  size_t SlotOf(uint64_t hash, ByteView key) const noexcept;
  void Rehash(size_t slot_count);
  void Forget() noexcept;

  uint64_t first_ = 0;
  uint64_t end_;
  std::pmr::vector<Series> series_;
  std::pmr::vector<std::byte> keys_;
  std::pmr::vector<uint32_t> slots_;  ///< number + 1, 0 = free; a power of two
};

}  // namespace tsext
