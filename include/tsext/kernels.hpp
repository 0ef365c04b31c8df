#pragma once

// The inner loops, compiled for three instruction sets from one source and picked by a table of
// functions.

#include <cstddef>
#include <cstdint>

namespace tsext {

/// Instruction sets a kernel table exists for: x86-64-v1 (SSE2), -v3 (AVX2), -v4 (AVX-512).
enum class SimdLevel : uint8_t { kAuto = 0, kV1 = 1, kV3 = 3, kV4 = 4 };

/// The highest level this CPU runs.
SimdLevel DetectSimdLevel() noexcept;

/// Chooses the table used from now on by this process; kAuto or a level the CPU lacks means
/// DetectSimdLevel(). Returns the level in force.
SimdLevel SetSimdLevel(SimdLevel level) noexcept;
SimdLevel CurrentSimdLevel() noexcept;

}  // namespace tsext
