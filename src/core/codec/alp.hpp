// ALP: decimals stored as integers and a power of ten.
//
// A value v becomes i = round(v * 10^e * 10^-f) and comes back as double(i) * 10^f * 10^-e, rounded
// to float for single precision; where that is not v bit by bit, v is an exception.
// Source: Afroozeh et al., "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2023.
#pragma once

#include <cstdint>
#include <span>

#include "tsext/bytes.hpp"
#include "core/codec/kernel_table.hpp"

namespace tsext {

/// Largest exponent e; 10^18 is exact in a double, as are all smaller powers.
inline constexpr uint8_t kMaxAlpExponent = 18;
inline constexpr uint32_t kMaxAlpPowers = 5;

struct AlpPowers {
  uint8_t exponent = 0;  ///< e
  uint8_t factor = 0;    ///< f <= e

  friend bool operator==(AlpPowers, AlpPowers) = default;
};

AlpScale DecodeScale(AlpPowers powers) noexcept;
AlpEncodeScale EncodeScale(AlpPowers powers) noexcept;

/// What the sampled values of a segment say.
struct AlpChoice {
  AlpPowers powers[kMaxAlpPowers];  ///< best first
  uint32_t power_count = 0;
  double bits_per_value = 64;  ///< a guess for the best
};

/// Looks at 32 values of each of 8 vectors. T: double or float.
template <typename T>
AlpChoice ChooseAlp(std::span<const T> values);

/// Of the candidates the one that suits 32 values of a vector best.
template <typename T>
uint32_t ChooseAlpForVector(std::span<const T> vector, const AlpChoice &choice);

}  // namespace tsext
