#pragma once

// The bytes of a segment's head, shared by writer and reader. src/core/README.md has the picture.

#include <cstddef>
#include <cstdint>

#include "tsext/bytes.hpp"
#include "tsext/types.hpp"

namespace tsext {

inline constexpr uint32_t kSegmentMagic = 0x53585354;  // "TSXS"
inline constexpr uint8_t kFormatMajor = 1;
inline constexpr uint8_t kFormatMinor = 0;

inline constexpr uint64_t kMaxSegmentSize = uint64_t{1} << 30;
inline constexpr uint32_t kMaxHeadBody = 32u << 20;
inline constexpr int16_t kMaxAttributes = 1600;

/// The fixed start of every segment, of every format version.
struct SegmentPrefix {
  uint32_t magic = kSegmentMagic;
  uint8_t major = kFormatMajor;
  uint8_t minor = kFormatMinor;
  uint8_t level = 0;
  uint8_t flags = 0;
  uint32_t head_size = 0;  ///< prefix and body as stored
  uint32_t body_size = 0;  ///< body before compression
  uint32_t value_id = 0;
  uint32_t row_count = 0;
  uint32_t body_checksum = 0;    ///< CRC-32C of the body as stored
  uint32_t prefix_checksum = 0;  ///< CRC-32C of the fields above
};
static_assert(sizeof(SegmentPrefix) == 32 && offsetof(SegmentPrefix, prefix_checksum) == 28);

/// SegmentPrefix::flags.
inline constexpr uint8_t kBodyIsFrame = 1;

/// Parts of the body: u16 type, u16 zero, u32 length, bytes. Values are on disk: append, never
/// renumber.
enum class SectionType : uint16_t {
  kTable = 1,
  kColumns = 2,
  kStatistics = 3,
  kZoneMaps = 4,
};

/// Flags of a column in the section kColumns.
enum ColumnFlag : uint8_t {
  kHasNan = 1,
  kHasRange = 2,       ///< min and max are in kStatistics
  kHasSum = 4,         ///< sum is in kStatistics
  kHasFirstLast = 8,   ///< first and last are in kStatistics
  kHasZoneStream = 16  ///< kZoneMaps has a stream; else all vectors have the column's min and max
};
inline constexpr uint8_t kKnownColumnFlags = 31;

/// The head of a block: u8 codec, u8 null form, u8 null flags, u8 zero, u32 size of the null
/// section as stored; then the null section, zeros to a multiple of 8, the stream.
inline constexpr size_t kBlockHeadSize = 8;

/// Which rows are NULL and how the stream leaves them out.
enum class NullForm : uint8_t {
  kNone = 0,    ///< no NULL; no null section
  kAll = 1,     ///< only NULLs; no null section, no stream
  kFilled = 2,  ///< the stream has a value for every row, NULL slots repeat the value before
  kDense = 3    ///< the stream has the values of the other rows only
};
inline constexpr uint8_t kNullSectionIsFrame = 1;

constexpr uint64_t AlignUp(uint64_t size, uint64_t alignment) noexcept {
  return (size + alignment - 1) / alignment * alignment;
}

}  // namespace tsext
