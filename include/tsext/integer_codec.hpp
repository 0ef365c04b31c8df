#pragma once

// Integers (and everything that becomes integers): FOR and delta-FOR with patched exceptions, GCD,
// segment dictionary, and in COLD narrow byte planes through zstd.

#include <memory_resource>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"

namespace tsext {

/// Appends `values` to `out` as one self-contained integer stream, vectors of kVectorSize values
/// each (the last may be shorter). values: 1..kMaxSegmentRows, no NULLs (the caller has filled
/// them). Never fails.
void EncodeIntegers(std::span<const int64_t> values, Level level, ByteBuffer &out);

/// Reads a stream written by EncodeIntegers. Holds views into it, and owned memory for a segment
/// dictionary.
class IntegerStream {
 public:
  explicit IntegerStream(std::pmr::memory_resource *memory);
  IntegerStream(const IntegerStream &) = delete;
  IntegerStream &operator=(const IntegerStream &) = delete;

  /// Checks the stream's head and directory. `bytes` is not trusted and must outlive the object;
  /// bytes past the stream's end are an error. count: the number of values the caller expects.
  Status Open(ByteSpan bytes, uint32_t count);
  uint32_t count() const noexcept { return count_; }
  /// Decodes vector `index` (0..) into `out`, which has room for kVectorSize values whatever the
  /// count.
  Status Decode(uint32_t index, int64_t *out);
  /// A word for tsext.columns: "for", "delta-for", "dictionary", "constant", with "+zstd" in COLD.
  const char *EncodingName() const noexcept;

 private:
  ByteSpan bytes_;
  uint32_t count_ = 0;
  // the implementer adds what it needs
};

}  // namespace tsext
