#pragma once

// zstd frames that are only kept when they are smaller, and whose sizes are not trusted.

#include <cstdint>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/status.hpp"
#include "tsext/types.hpp"

namespace tsext {

/// The zstd level that a codec level stands for.
constexpr int ZstdLevel(Level level) noexcept {
  return level == Level::kHot ? 3 : 12;
}

/// Appends `bytes` as one zstd frame if the frame is smaller than `bytes`. Returns whether it did;
/// `out` is unchanged if not.
bool AppendCompressed(ByteSpan bytes, int level, ByteBuffer &out);

/// Reads the content size that a frame claims. kCorrupt when it claims none, more than `limit`, or
/// more than zstd can pack into frame.size() bytes (so memory stays in proportion to the input).
Status CompressedContentSize(ByteSpan frame, uint64_t limit, uint64_t &size) noexcept;

/// Decompresses exactly out.size() bytes. kCorrupt when the frame holds more, less or nonsense, or
/// when bytes follow it.
Status Decompress(ByteSpan frame, std::span<std::byte> out);

}  // namespace tsext
