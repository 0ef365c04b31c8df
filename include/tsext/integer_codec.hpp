#pragma once

// Integers (and everything that becomes integers): FOR and delta-FOR with patched exceptions, GCD,
// segment dictionary, and in COLD narrow byte planes through zstd. The bytes are specified in
// src/core/README.md, "Integer stream".

#include <array>
#include <memory_resource>
#include <span>
#include <vector>

#include "tsext/bytes.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"
#include "tsext/vector.hpp"

namespace tsext {

/// Appends `values` to `out` as one self-contained integer stream, vectors of kVectorSize values
/// each (the last may be shorter). values: 1..kMaxSegmentRows, no NULLs (the caller has filled
/// them). Never fails. Scratch memory comes from out's memory resource.
void EncodeIntegers(std::span<const int64_t> values, Level level, ByteBuffer &out);

/// One vector of FOR or delta-FOR codes, where it lies in a stream.
struct PackedVector {
  ByteSpan words;       ///< packed codes, cut after the last word in use
  ByteSpan exceptions;  ///< empty = none; not checked yet
  uint64_t base = 0;    ///< FOR: of the codes; delta: the first value
  uint64_t delta_base = 0;
  uint32_t rows = 0;  ///< 1..kVectorSize
  uint8_t width = 0;  ///< 0..64
  bool delta = false;
};

/// An integer stream without its dictionary: the layouts that hold numbers themselves.
class IntegerBody {
 public:
  explicit IntegerBody(std::pmr::memory_resource *memory) : group_(memory) {}
  IntegerBody(const IntegerBody &) = delete;
  IntegerBody &operator=(const IntegerBody &) = delete;

  Status Open(ByteSpan bytes, uint32_t count);
  Status Decode(uint32_t index, int64_t *out);
  Status DecodeCodes(uint32_t index, uint32_t bound, uint32_t *out);
  /// True when vector `index` is plain FOR or delta-FOR, not scaled: `vector` says where.
  bool Find(uint32_t index, PackedVector &vector) const noexcept;
  void FindRuns(std::pmr::vector<ValueRun> &runs) const;
  uint32_t count() const noexcept { return count_; }
  const char *EncodingName() const noexcept;

 private:
  static constexpr uint32_t kVectorsPerGroup = 8;
  static constexpr uint32_t kMaxGroups =
      (kMaxVectorsPerSegment + kVectorsPerGroup - 1) / kVectorsPerGroup;

  Status OpenVectors(ByteSpan bytes);
  Status OpenRuns(ByteSpan bytes);
  Status OpenPlanes(ByteSpan bytes);
  /// Calls take(first row, end row, first value) for each run of vector `index`.
  template <typename Take>
  void ForEachRun(uint32_t index, const Take &take) const noexcept;
  Status LoadGroup(uint32_t group);
  uint32_t VectorCount() const noexcept { return (count_ + kVectorSize - 1) / kVectorSize; }
  uint32_t VectorRows(uint32_t index) const noexcept {
    return index + 1 < VectorCount() ? kVectorSize : count_ - index * kVectorSize;
  }
  PackedVector VectorAt(uint32_t index) const noexcept;

  ByteSpan payload_;  // vectors: words; runs: jumps; planes: frames
  uint32_t count_ = 0;
  uint8_t layout_ = 0;
  bool scaled_ = false;
  bool any_delta_ = false;
  uint64_t scale_ = 1;
  uint64_t offset_ = 0;

  // Layout of vectors: the directory's columns and where each vector's payload begins.
  ByteSpan modes_, exception_sizes_, bases_, delta_bases_;
  uint8_t exception_size_width_ = 0, base_width_ = 0, delta_base_width_ = 0;
  uint64_t base_min_ = 0, delta_base_min_ = 0;
  std::array<uint32_t, kMaxVectorsPerSegment + 1> begins_;

  // Layout of runs: first + i * step + all jumps up to i.
  uint64_t first_ = 0, step_ = 0;
  uint32_t jump_count_ = 0;
  uint8_t jump_width_ = 0;
  ByteSpan jump_positions_;
  std::array<uint64_t, kMaxVectorsPerSegment> jump_sums_;    // before each vector
  std::array<uint16_t, kMaxVectorsPerSegment> jump_begins_;  // first jump of each vector

  // Layout of planes: a frame per group; the group decoded last.
  ByteSpan group_heads_;
  std::array<uint32_t, kMaxGroups + 1> group_begins_;
  std::pmr::vector<int64_t> group_;
  uint32_t loaded_group_ = kMaxGroups;
};

/// Reads a stream written by EncodeIntegers. Holds views into it, and owned memory for a segment
/// dictionary and the decoded group of a COLD stream.
class IntegerStream {
 public:
  explicit IntegerStream(std::pmr::memory_resource *memory) : body_(memory), dictionary_(memory) {}
  IntegerStream(const IntegerStream &) = delete;
  IntegerStream &operator=(const IntegerStream &) = delete;

  /// Checks the stream's head and directory. `bytes` is not trusted and must outlive the object;
  /// bytes past the stream's end are an error. count: the number of values the caller expects.
  Status Open(ByteSpan bytes, uint32_t count);
  uint32_t count() const noexcept { return body_.count(); }
  /// Decodes vector `index` (0..) into `out`, which has room for kVectorSize values whatever the
  /// count.
  Status Decode(uint32_t index, int64_t *out);
  /// The same of numbers that are below `bound` (indexes into something of that size): kCorrupt
  /// when one of the vector's is not. out: room for kVectorSize codes.
  Status DecodeCodes(uint32_t index, uint32_t bound, uint32_t *out);
  /// True when vector `index` is plain FOR or delta-FOR of the values themselves.
  bool Find(uint32_t index, PackedVector &vector) const noexcept {
    return dictionary_.empty() && body_.Find(index, vector);
  }
  /// The runs of equal values, in order and from row 0 on, when the stream is stored as such; else
  /// none.
  void FindRuns(std::pmr::vector<ValueRun> &runs) const {
    runs.clear();
    if (dictionary_.empty()) body_.FindRuns(runs);
  }
  /// A word for tsext.columns: "for", "delta-for", "regular", "dictionary", "constant", with
  /// "+zstd" in COLD.
  const char *EncodingName() const noexcept;

 private:
  IntegerBody body_;  // of the values or of the codes
  std::pmr::vector<uint64_t> dictionary_;
};

}  // namespace tsext
