#pragma once

#include <cstdint>

#include "tsext/bytes.hpp"

namespace tsext {

/// CRC-32C (Castagnoli) of `bytes`, continuing from `crc` (0 to start). SSE4.2 where the CPU has
/// it, else a table.
[[nodiscard]] uint32_t Crc32c(ByteSpan bytes, uint32_t crc = 0) noexcept;

}  // namespace tsext
