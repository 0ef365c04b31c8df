#pragma once

// A segment: up to kMaxSegmentRows rows as one immutable run of bytes. Head (header + footer)
// first, then one block a column, each 8-byte aligned. The bytes are specified in
// src/core/README.md.

#include <cstdint>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "tsext/bytes.hpp"
#include "tsext/column.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"
#include "tsext/vector.hpp"

namespace tsext {

/// One column to be written. attribute: the table's attribute number, 1..1600, ascending and unique
/// in a segment.
struct SegmentColumn {
  int16_t attribute = 0;
  ColumnView values;
};

/// A part of the head that the core stores and gives back but does not read: sketches, blooms.
/// Readers skip types they do not know.
struct SegmentSection {
  /// Types below are the core's own.
  static constexpr uint16_t kFirstFreeType = 64;
  uint16_t type = kFirstFreeType;
  ByteSpan bytes;
};

/// A segment to be written.
///
/// value_id:        identity given by the store; kept in the header and checked by readers.
/// attribute_count: the table's natts when written; attributes above it are "missing" to readers
///                  (ADD COLUMN).
/// columns:         every attribute that is not dropped; at least one; all with the same count.
/// sort_key:        attribute numbers the rows are sorted by (segment-by columns, then time); may
///                  be empty.
/// time_attribute:  the time column (an integer class), 0 = none; rows of equal time keep their
///                  order.
/// sections:        further parts of the head, of distinct types; may be empty.
struct SegmentInput {
  uint32_t value_id = 0;
  int16_t attribute_count = 0;
  int16_t time_attribute = 0;
  Level level = Level::kHot;
  std::span<const SegmentColumn> columns;
  std::span<const int16_t> sort_key;
  std::span<const SegmentSection> sections;
};

/// Appends the segment to `out` (empty on entry); scratch memory comes from out's resource. Fails
/// with kInvalid on inconsistent input and kTooLarge when the segment, or the values of one of its
/// vectors, would be longer than 1 GiB (fewer rows may fit); `out` is then unspecified.
Status WriteSegment(const SegmentInput &input, ByteBuffer &out);

/// A statistic: the minimum, maximum, first or last value of a column or vector.
/// integer for the integer classes, real for the float classes (a float widened), bytes for kText
/// (a prefix of at most kStatisticBytes bytes: a minimum is <= and, because of truncation, only a
/// *prefix* of the real maximum is kept).
struct Statistic {
  static constexpr uint32_t kStatisticBytes = 64;
  Statistic() = default;
  explicit Statistic(std::pmr::memory_resource *memory) : bytes(memory) {}
  bool valid = false;
  int64_t integer = 0;
  double real = 0;
  std::pmr::string bytes;
  bool truncated = false;  ///< bytes is a proper prefix of the value
};

/// What the footer says of one column (block). The order of floats is PostgreSQL's: NaN greatest,
/// -0 = 0.
///
/// min, max:    over the non-NULL values of the integer, float and text classes.
/// sum:         integer classes (exact, 128 bits) and floats (in row order, plain doubles).
/// first, last: value of the first/last non-NULL row by time (the earliest and latest of equal
///              times in row order) for integer and float classes, with their times.
struct ColumnFooter {
  ColumnFooter() = default;
  explicit ColumnFooter(std::pmr::memory_resource *memory)
      : min(memory), max(memory), first(memory), last(memory) {}
  int16_t attribute = 0;
  PhysicalType type = PhysicalType::kInt64;
  uint32_t width = 0;
  uint64_t offset = 0;  ///< of the block, from the segment's first byte
  uint64_t length = 0;
  uint32_t checksum = 0;  ///< CRC-32C of the block
  uint32_t null_count = 0;
  uint32_t distinct_estimate = 0;  ///< 0 = unknown
  bool has_nan = false;
  Statistic min, max;
  bool has_sum = false;
  __int128 integer_sum = 0;
  double real_sum = 0;
  Statistic first, last;
  int64_t first_time = 0, last_time = 0;
};

/// What the footer says of one vector of one column.
struct VectorFooter {
  bool has_range =
      false;  ///< min and max are there (some value is not NULL and the class has an order)
  bool any_null = false;
  bool all_null = false;
  int64_t min_integer = 0, max_integer = 0;  ///< integer classes
  double min_real = 0, max_real = 0;         ///< float classes
};

/// The parsed head of a segment. Owns what it needs: the parsed bytes need not outlive it.
class SegmentHead {
 public:
  /// Bytes that are enough to call HeadSize().
  static constexpr size_t kPrefixSize = 32;

  explicit SegmentHead(std::pmr::memory_resource *memory)
      : body_(memory), sections_(memory), columns_(memory), sort_key_(memory), vectors_(memory) {}
  SegmentHead(const SegmentHead &) = delete;
  SegmentHead &operator=(const SegmentHead &) = delete;

  /// Checks magic, format version and checksum of the first kPrefixSize bytes and says how long the
  /// head is.
  static Status HeadSize(ByteSpan prefix, uint64_t &size);

  /// Parses the head. bytes: the first HeadSize() bytes of the segment, not trusted. Memory is
  /// bounded by the number of columns and vectors that the header names (checked against the limits
  /// of the format).
  Status Parse(ByteSpan bytes);

  uint32_t value_id() const noexcept { return value_id_; }
  uint32_t row_count() const noexcept { return row_count_; }
  uint32_t vector_count() const noexcept { return (row_count_ + kVectorSize - 1) / kVectorSize; }
  /// Rows of vector `index`.
  uint32_t VectorRows(uint32_t index) const noexcept {
    return index + 1 < vector_count() ? kVectorSize : row_count_ - index * kVectorSize;
  }
  int16_t attribute_count() const noexcept { return attribute_count_; }
  int16_t time_attribute() const noexcept { return time_attribute_; }
  Level level() const noexcept { return level_; }
  uint64_t segment_size() const noexcept { return segment_size_; }
  std::span<const ColumnFooter> columns() const noexcept { return columns_; }
  std::span<const int16_t> sort_key() const noexcept { return sort_key_; }
  /// Index into columns() of an attribute number, -1 when the segment does not have it.
  int FindColumn(int16_t attribute) const noexcept;
  /// Zone map entry; column is an index into columns().
  VectorFooter Vector(uint32_t column, uint32_t vector) const noexcept;
  /// The bytes of a further section, empty when the segment has none of this type. Valid as long as
  /// the head.
  ByteSpan Section(uint16_t type) const noexcept;

 private:
  Status ParsePrefix(ByteSpan bytes);
  Status ParseSections();
  Status ParseTable(ByteSpan bytes);
  Status ParseColumns(ByteSpan bytes, std::pmr::vector<uint8_t> &flags);
  Status ParseStatistics(ByteSpan bytes, const std::pmr::vector<uint8_t> &flags);
  Status ParseZoneMaps(ByteSpan bytes, const std::pmr::vector<uint8_t> &flags);

  ByteBuffer body_;
  std::pmr::vector<SegmentSection> sections_;
  std::pmr::vector<ColumnFooter> columns_;
  std::pmr::vector<int16_t> sort_key_;
  std::pmr::vector<VectorFooter> vectors_;
  uint64_t head_size_ = 0;
  uint64_t segment_size_ = 0;
  int64_t least_time_ = 0;
  int64_t greatest_time_ = 0;
  uint32_t value_id_ = 0;
  uint32_t row_count_ = 0;
  int16_t attribute_count_ = 0;
  int16_t time_attribute_ = 0;
  Level level_ = Level::kHot;
};

/// Reads one block (one column of a segment), vector by vector, in any order.
class BlockReader {
 public:
  explicit BlockReader(std::pmr::memory_resource *memory);
  ~BlockReader();
  BlockReader(const BlockReader &) = delete;
  BlockReader &operator=(const BlockReader &) = delete;

  /// block: exactly head.columns()[column].length bytes, 8-byte aligned, outliving the reader; not
  /// trusted. Verifies the checksum, then the block's own head; decodes a dictionary if there is
  /// one. May be opened again for another block.
  Status Open(const SegmentHead &head, uint32_t column, ByteSpan block);
  /// Decodes vector `index` into `out`. Never throws but std::bad_alloc; `out` is unspecified on
  /// error.
  Status Read(uint32_t index, Vector &out);
  /// The distinct values of a bytes class that is stored as a dictionary, in any order and perhaps
  /// with unused entries; empty for every other block. Valid as long as the block is open.
  std::span<const ByteView> Dictionary() const noexcept;
  /// Decodes vector `index` as codes, each less than Dictionary().size(). Only for blocks that have
  /// a dictionary. Same contract as Read.
  Status ReadCodes(uint32_t index, CodeVector &out);
  /// The runs of equal values of an integer class, or of equal codes of a dictionary, in order, the
  /// first beginning at row 0: what tells series apart is often stored so. None when the block is
  /// stored otherwise or has NULLs.
  Status ReadRuns(std::pmr::vector<ValueRun> &runs);
  /// A word for tsext.columns: "delta-for", "alp", "dictionary", "zstd" …
  const char *EncodingName() const noexcept;

 private:
  struct State;
  State *state_;
  std::pmr::memory_resource *memory_;
};

}  // namespace tsext
