#pragma once

// The inner loops of the codecs as one table of functions per instruction set.
//
// A packed vector of width w holds kVectorSize codes of w bits: value index = row * 32 + lane with
// 32 lanes of u32 up to width 32, row * 16 + lane with 16 lanes of u64 above. A lane's words follow
// one another at a distance of 128 bytes, so that a vector takes 128 * w bytes and values come out
// in their natural order. Every kernel works on whole vectors of kVectorSize values; no pointer but
// a table's need be aligned.

#include <cstddef>
#include <cstdint>

namespace tsext {

/// Widest code that a 32-bit lane holds.
inline constexpr unsigned kMaxLane32Width = 32;

/// factor and divisor of ALP: value = double(integer) * factor * inverse.
struct AlpScale {
  double factor;   ///< 10^f
  double inverse;  ///< 10^-e
};

/// The same for encoding: integer = round(value * exponent * inverse_factor).
struct AlpEncodeScale {
  double exponent;        ///< 10^e
  double inverse_factor;  ///< 10^-f
};

struct KernelTable {
  /// Codes of width 0..32 as they are.
  void (*unpack[kMaxLane32Width + 1])(const std::byte *packed, uint32_t *out);
  /// base + code, modulo 2^64.
  void (*unpack_for[65])(const std::byte *packed, uint64_t base, uint64_t *out);
  /// The low `width` bits of values[i] - base, packed.
  void (*pack[65])(const uint64_t *values, uint64_t base, std::byte *packed);
  /// double(base + code) * factor * inverse; exact when base and base + code are within +-2^51.
  void (*unpack_alp[kMaxLane32Width + 1])(const std::byte *packed, double base, AlpScale scale,
                                          double *out);
  /// The same of unpacked codes, rounded to single precision.
  void (*alp_codes_float)(const uint32_t *codes, double base, AlpScale scale, float *out);

  /// The same of signed numbers.
  void (*alp_sums)(const uint32_t *sums, double base, AlpScale scale, double *out);
  void (*alp_sums_float)(const uint32_t *sums, double base, AlpScale scale, float *out);
  /// out[i] = first + sums[i], a signed number.
  void (*widen)(const uint32_t *sums, uint64_t first, uint64_t *out);

  /// out[i] = first + the sum of base + codes[j] for 0 < j <= i; codes[0] does not matter.
  void (*delta_sum)(const uint32_t *codes, uint64_t first, uint64_t base, uint64_t *out);
  /// In place: values[i] += values[i - 1].
  void (*running_sum)(uint64_t *values);
  /// In place: values[i] = offset + scale * values[i].
  void (*scale)(uint64_t *values, uint64_t scale, uint64_t offset);
  void (*alp)(const int64_t *integers, AlpScale scale, double *out);
  void (*alp_float)(const int64_t *integers, AlpScale scale, float *out);
  /// out[i] = dictionary[codes[i]]; the caller has checked the codes.
  void (*gather)(const uint64_t *codes, const uint64_t *dictionary, uint64_t *out);
  /// Bit i of the 1,024-bit bitmap = codes[i] < bound.
  void (*less)(const uint32_t *codes, uint32_t bound, uint64_t *bitmap);
  uint64_t (*sum)(const uint32_t *codes);

  void (*minmax)(const int64_t *values, int64_t *min, int64_t *max);
  /// deltas[i] = values[i] - values[i - 1] modulo 2^64 with their extremes; deltas[0] = deltas[1].
  void (*delta_minmax)(const int64_t *values, int64_t *deltas, int64_t *min, int64_t *max);
  /// Nearest integers, and bad[i] = 1 where decoding would not give the same bits. Returns the
  /// number of bad values. The integer of a bad value is unspecified.
  uint32_t (*alp_encode)(const double *values, AlpEncodeScale encode, AlpScale decode,
                         int64_t *integers, uint8_t *bad);
  uint32_t (*alp_encode_float)(const float *values, AlpEncodeScale encode, AlpScale decode,
                               int64_t *integers, uint8_t *bad);
};

/// The tables; those above DetectSimdLevel() must not be called.
extern const KernelTable kKernelsV1;
extern const KernelTable kKernelsV3;
extern const KernelTable kKernelsV4;

/// The table of CurrentSimdLevel().
const KernelTable &Kernels() noexcept;

}  // namespace tsext
