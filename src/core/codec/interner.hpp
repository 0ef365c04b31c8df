#pragma once

// Finds the distinct values of a bytes column before it is encoded.

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "tsext/types.hpp"

namespace tsext {

/// Counts distinct values approximately by marking hashed bits (linear counting): within 1 % for up
/// to kMaxSegmentRows values, two multiplications a value.
class DistinctCounter {
 public:
  explicit DistinctCounter(std::pmr::memory_resource *memory) : bits_(kBits / 64, 0, memory) {}
  /// bits: the value's own bits or a hash of it.
  void Add(uint64_t bits) noexcept {
    // Two rounds: the slots of an arithmetic progression must look random too.
    bits = (bits ^ (bits >> 32)) * 0x9E3779B97F4A7C15u;
    bits = (bits ^ (bits >> 29)) * 0xBF58476D1CE4E5B9u;
    const uint64_t slot = bits >> (64 - kLogBits);
    bits_[slot / 64] |= uint64_t{1} << (slot % 64);
  }
  /// Distinct values among `values` added ones; at least 1 when values > 0, at most `values`.
  uint32_t Estimate(uint32_t values) const noexcept;

 private:
  static constexpr uint32_t kLogBits = 16;
  static constexpr uint32_t kBits = 1u << kLogBits;
  std::pmr::vector<uint64_t> bits_;
};

/// A bytes column as indexes into its distinct values.
struct InternedColumn {
  explicit InternedColumn(std::pmr::memory_resource *memory) : distinct(memory), codes(memory) {}
  std::pmr::vector<ByteView> distinct;  ///< in memcmp order, each used
  std::pmr::vector<uint32_t> codes;     ///< one a value
};

/// memcmp order, a proper prefix first.
int CompareBytes(ByteView left, ByteView right) noexcept;

/// Interns `values`. Returns false, with `out` unspecified, as soon as there are more than
/// max_distinct distinct ones; counter (if not nullptr) is then given all values.
bool Intern(std::span<const ByteView> values, uint32_t max_distinct, InternedColumn &out,
            DistinctCounter *counter);

/// The same for values that the caller has interned: codes are indexes (checked by the caller) into
/// `dictionary`, which may hold unused and equal entries. No hashing a value.
/// Returns false when more than max_distinct entries are used; distinct_count is right either way.
bool InternCodes(std::span<const uint32_t> codes, std::span<const ByteView> dictionary,
                 uint32_t max_distinct, InternedColumn &out, uint32_t &distinct_count);

}  // namespace tsext
