#pragma once

// The core's view of column types and the fixed sizes of the format.

#include <cstddef>
#include <cstdint>

namespace tsext {

/// Values of one vector: the unit of encoding, pruning and execution.
inline constexpr uint32_t kVectorSize = 1024;
/// Vectors of one segment at most; 60 * 1024 + 1 still fits a tuple id's 16-bit offset.
inline constexpr uint32_t kMaxVectorsPerSegment = 60;
inline constexpr uint32_t kMaxSegmentRows = kVectorSize * kMaxVectorsPerSegment;

/// How a column's values look as bytes; several SQL types share one class. Values are on disk:
/// append, never renumber.
enum class PhysicalType : uint8_t {
  kBool = 1,
  kInt8 = 2,   ///< "char"
  kInt16 = 3,  ///< smallint
  kInt32 =
      4,  ///< integer, date, oid, enum, any pass-by-value type of 4 bytes; sign-extended into int64
  kInt64 = 5,    ///< bigint, timestamp, timestamptz, time, money
  kFloat32 = 6,  ///< real, bit-exact
  kFloat64 = 7,  ///< double precision, bit-exact
  kNumeric = 8,  ///< numeric: the bytes of its on-disk form without the varlena header
  kText = 9,     ///< varlena whose bytes have a useful memcmp order: text, varchar, char(n)
  kVarlena =
      10,  ///< any other varlena, detoasted, without its header: jsonb, bytea, arrays, composites
  kUuid = 11,   ///< 16 bytes
  kFixed = 12,  ///< any other fixed-length pass-by-reference type (name, interval, macaddr …),
                ///< `width` bytes
};

/// True for the classes whose values travel as int64_t.
constexpr bool IsInteger(PhysicalType type) noexcept {
  return type >= PhysicalType::kBool && type <= PhysicalType::kInt64;
}
constexpr bool IsFloat(PhysicalType type) noexcept {
  return type == PhysicalType::kFloat32 || type == PhysicalType::kFloat64;
}
/// True for the classes whose values travel as ByteView.
constexpr bool IsBytes(PhysicalType type) noexcept {
  return type >= PhysicalType::kNumeric && type <= PhysicalType::kFixed;
}
constexpr bool IsKnown(PhysicalType type) noexcept {
  return type >= PhysicalType::kBool && type <= PhysicalType::kFixed;
}

/// Which codecs a writer may choose: light ones for fresh data, heavy ones (zstd) for old data.
enum class Level : uint8_t { kHot = 1, kCold = 2 };

/// A value of a bytes class. Not owned.
struct ByteView {
  const std::byte *data = nullptr;
  uint32_t size = 0;
};

}  // namespace tsext
