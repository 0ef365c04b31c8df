#pragma once

// The two implementations behind Crc32c, apart so that tests and benchmarks reach both.

#include <cstdint>

#include "tsext/bytes.hpp"

namespace tsext {

/// Eight bytes a step through eight tables; runs everywhere.
[[nodiscard]] uint32_t Crc32cByTable(ByteSpan bytes, uint32_t crc) noexcept;

/// True when the CPU has the crc32 instruction (SSE4.2).
[[nodiscard]] bool HasCrc32cInstruction() noexcept;

/// By the crc32 instruction; only when HasCrc32cInstruction().
[[nodiscard]] uint32_t Crc32cByInstruction(ByteSpan bytes, uint32_t crc) noexcept;

}  // namespace tsext
