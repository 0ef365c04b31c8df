#include "tsext/kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/codec/alp.hpp"
#include "core/codec/bit_stream.hpp"
#include "core/codec/kernel_table.hpp"
#include "core/codec/patched.hpp"
#include "core/vector/vector_kernels.hpp"

namespace tsext {
namespace {

constexpr size_t kCount = kVectorSize;

/// Every table this CPU can run.
class KernelsTest : public testing::TestWithParam<SimdLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > DetectSimdLevel()) GTEST_SKIP() << "this CPU lacks the level";
    EXPECT_EQ(SetSimdLevel(GetParam()), GetParam());
  }
  void TearDown() override { SetSimdLevel(SimdLevel::kAuto); }

  std::vector<uint64_t> RandomValues() {
    std::vector<uint64_t> values(kCount);
    for (uint64_t &value : values) value = random_();
    return values;
  }
  std::mt19937_64 random_{1};
};

/// The layout's definition, a bit at a time.
std::vector<std::byte> PackPlainly(const std::vector<uint64_t> &codes, unsigned width) {
  std::vector<std::byte> packed(128 * size_t{width});
  const size_t lanes = width <= 32 ? 32 : 16;
  const size_t word_bits = 1024 / lanes;
  for (size_t i = 0; i < kCount; i++) {
    for (unsigned bit = 0; bit < width; bit++) {
      if (((codes[i] >> bit) & 1) == 0) continue;
      const size_t lane_bit = i / lanes * width + bit;
      const size_t word = lane_bit / word_bits * lanes + i % lanes;
      const size_t at = word * word_bits + lane_bit % word_bits;
      packed[at / 8] |= static_cast<std::byte>(1U << (at % 8));
    }
  }
  return packed;
}

TEST_P(KernelsTest, PacksAndUnpacksEveryWidthAtAnyAlignment) {
  for (unsigned width = 0; width <= 64; width++) {
    std::vector<uint64_t> values = RandomValues();
    const uint64_t base = random_();
    std::vector<uint64_t> codes(kCount);
    for (size_t i = 0; i < kCount; i++) codes[i] = (values[i] - base) & LowBits(width);
    const std::vector<std::byte> expected = PackPlainly(codes, width);
    std::vector<std::byte> packed(128 * size_t{width} + 3);
    Kernels().pack[width](values.data(), base, packed.data() + 3);
    ASSERT_EQ(std::vector<std::byte>(packed.begin() + 3, packed.end()), expected) << width;

    std::vector<uint64_t> out(kCount);
    Kernels().unpack_for[width](packed.data() + 3, base, out.data());
    for (size_t i = 0; i < kCount; i++) ASSERT_EQ(out[i], base + codes[i]) << width << " " << i;

    PackedVector vector;
    vector.words = ByteSpan(packed).subspan(3);
    vector.rows = kVectorSize;
    vector.width = static_cast<uint8_t>(width);
    for (uint32_t i = 0; i < kCount; i++) ASSERT_EQ(SingleCode(vector, i), codes[i]);
    if (width > kMaxLane32Width) continue;

    std::vector<uint32_t> narrow(kCount);
    Kernels().unpack[width](packed.data() + 3, narrow.data());
    for (size_t i = 0; i < kCount; i++) ASSERT_EQ(narrow[i], codes[i]) << width << " " << i;

    const AlpScale scale = DecodeScale({.exponent = 14, .factor = 12});
    const double alp_base = -1234567890123.0;
    std::vector<double> doubles(kCount);
    std::vector<float> floats(kCount);
    Kernels().unpack_alp[width](packed.data() + 3, alp_base, scale, doubles.data());
    Kernels().alp_codes_float(narrow.data(), alp_base, scale, floats.data());
    for (size_t i = 0; i < kCount; i++) {
      const double plain =
          (static_cast<double>(codes[i]) + alp_base) * scale.factor * scale.inverse;
      ASSERT_EQ(doubles[i], plain) << width << " " << i;
      ASSERT_EQ(floats[i], static_cast<float>(plain)) << width << " " << i;
    }
  }
}

TEST_P(KernelsTest, SumsAndScales) {
  const std::vector<uint64_t> values = RandomValues();
  std::vector<uint32_t> codes(kCount);
  for (size_t i = 0; i < kCount; i++) codes[i] = static_cast<uint32_t>(values[i]);
  std::vector<uint64_t> out(kCount);
  const uint64_t first = random_();
  const uint64_t base = random_();
  Kernels().delta_sum(codes.data(), first, base, out.data());
  uint64_t expected = first;
  uint64_t total = codes[0];
  for (size_t i = 0; i < kCount; i++) {
    if (i > 0) expected += base + codes[i];
    if (i > 0) total += codes[i];
    ASSERT_EQ(out[i], expected) << i;
  }
  EXPECT_EQ(Kernels().sum(codes.data()), total);

  out = values;
  Kernels().running_sum(out.data());
  expected = 0;
  for (size_t i = 0; i < kCount; i++) ASSERT_EQ(out[i], expected += values[i]) << i;

  out = values;
  Kernels().scale(out.data(), 1'000'000'007, 42);
  for (size_t i = 0; i < kCount; i++) ASSERT_EQ(out[i], 42 + 1'000'000'007 * values[i]) << i;
}

TEST_P(KernelsTest, SumsSmallStepsOfBothSigns) {
  for (const uint32_t base : {0U, 7U, 0xFFFFFFF0U}) {
    std::vector<uint32_t> sums(kCount);
    for (uint32_t &step : sums) step = static_cast<uint32_t>(random_() % 33) - 16;
    const std::vector<uint32_t> steps = sums;
    CurrentVectorKernels().sum_steps(sums.data(), base);
    uint32_t expected = 0;
    for (size_t i = 0; i < kCount; i++) {
      if (i > 0) expected += steps[i] + base;
      ASSERT_EQ(sums[i], expected) << i;
    }
    const uint64_t first = random_();
    std::vector<uint64_t> wide(kCount);
    Kernels().widen(sums.data(), first, wide.data());
    const AlpScale scale = DecodeScale({.exponent = 14, .factor = 12});
    const double alp_base = -1234567890123.0;
    std::vector<double> doubles(kCount);
    std::vector<float> floats(kCount);
    Kernels().alp_sums(sums.data(), alp_base, scale, doubles.data());
    Kernels().alp_sums_float(sums.data(), alp_base, scale, floats.data());
    for (size_t i = 0; i < kCount; i++) {
      const auto sum = static_cast<int32_t>(sums[i]);
      ASSERT_EQ(wide[i], first + static_cast<uint64_t>(int64_t{sum})) << i;
      const double plain = (sum + alp_base) * scale.factor * scale.inverse;
      ASSERT_EQ(doubles[i], plain) << i;
      ASSERT_EQ(floats[i], static_cast<float>(plain)) << i;
    }
  }
}

TEST_P(KernelsTest, MakesProgressions) {
  for (const uint32_t rows : {1U, 2U, 7U, 16U, 17U, 100U, 1024U}) {
    const uint64_t start = random_();
    const uint64_t step = random_() >> (random_() % 64);
    std::vector<uint64_t> out(rows + 1, 42);
    CurrentVectorKernels().progress(start, step, rows, out.data());
    for (uint32_t i = 0; i < rows; i++) ASSERT_EQ(out[i], start + step * i) << i;
    EXPECT_EQ(out[rows], 42U);
  }
}

/// A list of bits comes back the same one by one and all at once, from exactly its bytes.
TEST(BitStream, ReadsListsOfEveryWidth) {
  std::mt19937_64 random(3);
  for (unsigned width = 0; width <= 64; width++) {
    for (const size_t count : {1, 2, 9, 77}) {
      std::vector<uint64_t> values(count);
      for (uint64_t &value : values) value = random() & LowBits(width);
      ByteBuffer bits;
      AppendBits(bits, values, width);
      const std::vector<std::byte> exact(bits.begin(), bits.end());
      ASSERT_EQ(exact.size(), BitsSize(count, width));
      std::vector<uint64_t> all(count, 42);
      ReadAllBits(exact, count, width, all.data());
      ASSERT_EQ(all, values) << width;
      for (size_t i = 0; i < count; i++) ASSERT_EQ(ReadBits(exact, i, width), values[i]) << width;
    }
  }
}

TEST_P(KernelsTest, FiltersAndGathers) {
  const std::vector<uint64_t> values = RandomValues();
  std::vector<uint32_t> codes(kCount);
  for (size_t i = 0; i < kCount; i++) codes[i] = static_cast<uint32_t>(values[i] % 1000);
  codes[5] = 0xFFFFFFFF;
  for (const uint32_t bound : {0U, 1U, 500U, 0x80000000U, 0xFFFFFFFFU}) {
    std::vector<uint64_t> bitmap(kCount / 64, 0xAAAA);
    Kernels().less(codes.data(), bound, bitmap.data());
    for (size_t i = 0; i < kCount; i++)
      ASSERT_EQ((bitmap[i / 64] >> (i % 64)) & 1, codes[i] < bound ? 1U : 0U) << bound << " " << i;
  }
  std::vector<uint64_t> dictionary(77);
  for (uint64_t &entry : dictionary) entry = random_();
  std::vector<uint64_t> places(kCount);
  for (size_t i = 0; i < kCount; i++) places[i] = values[i] % dictionary.size();
  std::vector<uint64_t> out(kCount);
  Kernels().gather(places.data(), dictionary.data(), out.data());
  for (size_t i = 0; i < kCount; i++) ASSERT_EQ(out[i], dictionary[places[i]]) << i;
}

TEST_P(KernelsTest, FindsExtremes) {
  std::vector<int64_t> values(kCount);
  for (int round = 0; round < 20; round++) {
    for (int64_t &value : values) value = static_cast<int64_t>(random_()) >> (round * 3);
    if (round == 7) values[kCount - 1] = std::numeric_limits<int64_t>::min();
    if (round == 8) values[0] = std::numeric_limits<int64_t>::max();
    int64_t min;
    int64_t max;
    Kernels().minmax(values.data(), &min, &max);
    EXPECT_EQ(min, *std::min_element(values.begin(), values.end()));
    EXPECT_EQ(max, *std::max_element(values.begin(), values.end()));
    std::vector<int64_t> deltas(kCount);
    Kernels().delta_minmax(values.data(), deltas.data(), &min, &max);
    for (size_t i = 1; i < kCount; i++) {
      ASSERT_EQ(static_cast<uint64_t>(deltas[i]),
                static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(values[i - 1]));
    }
    EXPECT_EQ(deltas[0], deltas[1]);
    EXPECT_EQ(min, *std::min_element(deltas.begin(), deltas.end()));
    EXPECT_EQ(max, *std::max_element(deltas.begin(), deltas.end()));
  }
}

template <typename T>
std::vector<T> DecimalsAndExtremes(std::mt19937_64 &random) {
  std::vector<T> values(kCount);
  for (T &value : values)
    value = static_cast<T>(static_cast<double>(static_cast<int64_t>(random() % 200000) - 100000) /
                           100.0);
  const T extremes[] = {static_cast<T>(-0.0),
                        std::numeric_limits<T>::quiet_NaN(),
                        std::numeric_limits<T>::infinity(),
                        -std::numeric_limits<T>::infinity(),
                        std::numeric_limits<T>::denorm_min(),
                        std::numeric_limits<T>::max(),
                        std::numeric_limits<T>::lowest(),
                        std::numeric_limits<T>::min(),
                        static_cast<T>(2251799813685248.0),
                        static_cast<T>(-2251799813685248.0),
                        static_cast<T>(22517998136852.48),
                        static_cast<T>(M_PI)};
  size_t at = 3;
  for (const T extreme : extremes) values[at += 17] = extreme;
  return values;
}

template <typename T, typename Encode, typename Decode>
void CheckAlp(std::vector<T> values, Encode encode, Decode decode) {
  const AlpPowers powers{.exponent = 14, .factor = 12};
  std::vector<int64_t> integers(kCount);
  std::vector<uint8_t> bad(kCount);
  const uint32_t count =
      encode(values.data(), EncodeScale(powers), DecodeScale(powers), integers.data(), bad.data());
  std::vector<T> out(kCount);
  decode(integers.data(), DecodeScale(powers), out.data());
  uint32_t bad_count = 0;
  for (size_t i = 0; i < kCount; i++) {
    ASSERT_LE(bad[i], 1);
    bad_count += bad[i];
    if (bad[i] != 0) continue;
    const T plain = static_cast<T>(static_cast<double>(integers[i]) * DecodeScale(powers).factor *
                                   DecodeScale(powers).inverse);
    ASSERT_EQ(std::memcmp(&plain, &values[i], sizeof(T)), 0) << i;
    ASSERT_EQ(std::memcmp(&out[i], &values[i], sizeof(T)), 0) << i;
  }
  EXPECT_EQ(count, bad_count);
  EXPECT_GE(count, 10U);                          // the extremes
  EXPECT_LT(count, sizeof(T) == 8 ? 300U : 40U);  // rounding spoils few decimals
}

TEST_P(KernelsTest, EncodesAlpBitExactly) {
  CheckAlp<double>(DecimalsAndExtremes<double>(random_), Kernels().alp_encode, Kernels().alp);
  CheckAlp<float>(DecimalsAndExtremes<float>(random_), Kernels().alp_encode_float,
                  Kernels().alp_float);
}

INSTANTIATE_TEST_SUITE_P(Levels, KernelsTest,
                         testing::Values(SimdLevel::kV1, SimdLevel::kV3, SimdLevel::kV4),
                         [](const testing::TestParamInfo<SimdLevel> &level) {
                           return level.param == SimdLevel::kV1   ? "V1"
                                  : level.param == SimdLevel::kV3 ? "V3"
                                                                  : "V4";
                         });

}  // namespace
}  // namespace tsext
