// The layouts of an integer stream; src/core/README.md, "Integer stream", shows their bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/types.hpp"

namespace tsext {

/// First byte of an integer stream. Values are on disk: append, never renumber.
enum class IntegerLayout : uint8_t {
  kVectors = 1,     ///< FOR and delta-FOR, vector by vector
  kRuns = 2,        ///< an arithmetic sequence with jumps
  kDictionary = 3,  ///< two streams: distinct values, and codes
  kPlanes = 4,      ///< byte planes through zstd, a frame per 8 vectors
};

/// Bits of the second byte of kVectors and kPlanes.
inline constexpr uint8_t kScaledFlag = 1;

/// A vector's mode: bits 0..6 the width, bit 7 delta.
inline constexpr uint8_t kDeltaMode = 0x80;

/// A group's mode in kPlanes.
inline constexpr uint8_t kGroupDelta = 1;   ///< codes are differences less the base, not values
inline constexpr uint8_t kGroupRows = 2;    ///< a code's bytes lie together, not in planes
inline constexpr uint8_t kGroupZigZag = 4;  ///< with kGroupDelta: codes are signed, zigzag
/// u8 mode, u8 bytes a value, u32 frame size, i64 base, i64 first.
inline constexpr size_t kGroupHeadSize = 22;

/// Common factor and offset of all values of a stream: value = offset + scale * stored.
struct Scaling {
  uint64_t scale = 1;
  uint64_t offset = 0;
};

/// The layouts' writers: each appends a whole stream. values: padded to whole vectors by repeating
/// the last one; count: the real ones.
void AppendVectors(ByteBuffer &out, std::span<const int64_t> values, uint32_t count,
                   Scaling scaling);
/// Appends nothing and returns false when the values have more than max_jumps jumps.
bool AppendRuns(ByteBuffer &out, std::span<const int64_t> values, uint32_t count,
                uint32_t max_jumps);
/// Appends nothing and returns false when zstd failed.
bool AppendPlanes(ByteBuffer &out, std::span<const int64_t> values, uint32_t count,
                  Scaling scaling);

/// Bytes 0..8 that hold `value`.
unsigned ByteWidth(uint64_t value) noexcept;
/// Appends the low `width` bytes.
void AppendNarrow(ByteBuffer &out, uint64_t value, unsigned width);
/// Entry `index` of an array of `width` bytes each, which the caller has checked to be there.
uint64_t LoadNarrow(ByteSpan array, size_t index, unsigned width) noexcept;

}  // namespace tsext
