#include "core/codec/alp.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "tsext/types.hpp"

namespace tsext {

namespace {

constexpr uint32_t kSampledVectors = 8;
constexpr uint32_t kSampledValues = 32;
constexpr double kLimit = 2251799813685248.0;  // 2^51, as in the kernels

// Literals, not computed: each is the double nearest to its power.
constexpr std::array<double, kMaxAlpExponent + 1> kPowers = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
constexpr std::array<double, kMaxAlpExponent + 1> kInversePowers = {
    1e-0,  1e-1,  1e-2,  1e-3,  1e-4,  1e-5,  1e-6,  1e-7,  1e-8, 1e-9,
    1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18};

template <typename T>
bool SameBits(T a, T b) noexcept {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  return std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b);
}

template <typename T>
bool EncodeOne(T value, AlpEncodeScale encode, AlpScale decode, double &integer) noexcept {
  const double scaled = static_cast<double>(value) * encode.exponent * encode.inverse_factor;
  if (!(scaled < kLimit && scaled > -kLimit)) return false;
  constexpr double kRound = 6755399441055744.0;
  integer = (scaled + kRound) - kRound;
  return SameBits(static_cast<T>(integer * decode.factor * decode.inverse), value);
}

/// Bits a value that `sample` would take: a window over the integers, exceptions in full. Gives up
/// at `limit`.
template <typename T>
double SampleCost(std::span<const T> sample, AlpPowers powers, double limit) noexcept {
  const AlpScale decode = DecodeScale(powers);
  const AlpEncodeScale encode = EncodeScale(powers);
  constexpr double kExceptionBits = sizeof(T) * 8 + 8;
  double min = INFINITY;
  double max = -INFINITY;
  double exceptions = 0;
  const auto count = static_cast<double>(sample.size());
  for (const T value : sample) {
    double integer;
    if (EncodeOne(value, encode, decode, integer)) {
      min = std::min(min, integer);
      max = std::max(max, integer);
    } else if (++exceptions * kExceptionBits >= limit * count) {
      return limit;
    }
  }
  const double width = max > min ? std::log2(max - min + 1) : 0;
  return std::min(limit, width + exceptions * kExceptionBits / count);
}

}  // namespace

AlpScale DecodeScale(AlpPowers powers) noexcept {
  return {.factor = kPowers[powers.factor], .inverse = kInversePowers[powers.exponent]};
}
AlpEncodeScale EncodeScale(AlpPowers powers) noexcept {
  return {.exponent = kPowers[powers.exponent], .inverse_factor = kInversePowers[powers.factor]};
}

template <typename T>
AlpChoice ChooseAlp(std::span<const T> values) {
  std::array<T, kSampledVectors * kSampledValues> sample;
  size_t sampled = 0;
  const size_t wanted = std::min(sample.size(), values.size());
  // Runs of 4 neighbours, evenly spread.
  constexpr size_t kRun = 4;
  for (; sampled < wanted; sampled++) {
    const size_t run = sampled / kRun;
    const size_t begin = run * (values.size() / ((wanted + kRun - 1) / kRun));
    sample[sampled] = values[std::min(begin + sampled % kRun, values.size() - 1)];
  }

  // A cheap ranking on some of the sample first, then the best on all of it.
  struct Ranked {
    AlpPowers powers;
    double cost;
  };
  std::array<Ranked, (kMaxAlpExponent + 1) * (kMaxAlpExponent + 2) / 2> ranking;
  size_t ranked = 0;
  std::array<T, kSampledValues> few;
  for (size_t i = 0; i < few.size(); i++) few[i] = sample[i * sampled / few.size()];
  constexpr double kHopeless = sizeof(T) * 8;
  for (uint8_t e = 0; e <= kMaxAlpExponent; e++) {
    for (uint8_t f = 0; f <= e; f++) {
      const AlpPowers powers{.exponent = e, .factor = f};
      const double cost = SampleCost<T>(few, powers, kHopeless);
      if (cost < kHopeless) ranking[ranked++] = {powers, cost};
    }
  }
  constexpr size_t kFinalists = 12;
  const auto cheaper = [](const Ranked &a, const Ranked &b) { return a.cost < b.cost; };
  std::stable_sort(ranking.begin(), ranking.begin() + static_cast<ptrdiff_t>(ranked), cheaper);
  ranked = std::min(ranked, kFinalists);
  for (size_t i = 0; i < ranked; i++) {
    ranking[i].cost = SampleCost<T>(std::span(sample).first(sampled), ranking[i].powers, kHopeless);
  }
  std::stable_sort(ranking.begin(), ranking.begin() + static_cast<ptrdiff_t>(ranked), cheaper);

  AlpChoice choice;
  for (size_t i = 0; i < ranked && choice.power_count < kMaxAlpPowers; i++) {
    if (ranking[i].cost >= kHopeless) break;
    choice.powers[choice.power_count++] = ranking[i].powers;
  }
  choice.bits_per_value = choice.power_count > 0 ? ranking[0].cost : kHopeless;
  // Nothing to choose per vector when the best had no exceptions to speak of.
  return choice;
}

template <typename T>
uint32_t ChooseAlpForVector(std::span<const T> vector, const AlpChoice &choice) {
  if (choice.power_count <= 1) return 0;
  std::array<T, kSampledValues> few;
  for (size_t i = 0; i < few.size(); i++) few[i] = vector[i * vector.size() / few.size()];
  uint32_t best = 0;
  // The integers of neighbouring vectors go together better with the same powers.
  double best_cost = SampleCost<T>(few, choice.powers[0], sizeof(T) * 8) - 1;
  for (uint32_t i = 1; i < choice.power_count; i++) {
    const double cost = SampleCost<T>(few, choice.powers[i], sizeof(T) * 8);
    if (cost < best_cost) {
      best = i;
      best_cost = cost;
    }
  }
  return best;
}

template AlpChoice ChooseAlp<double>(std::span<const double>);
template AlpChoice ChooseAlp<float>(std::span<const float>);
template uint32_t ChooseAlpForVector<double>(std::span<const double>, const AlpChoice &);
template uint32_t ChooseAlpForVector<float>(std::span<const float>, const AlpChoice &);

}  // namespace tsext
