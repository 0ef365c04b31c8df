#include "tsext/integer_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tsext/kernels.hpp"

namespace tsext {
namespace {

using Values = std::vector<int64_t>;
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

/// The same vector as codes: all below the bound, or an error.
void ExpectCodes(IntegerStream &reader, uint32_t vector, std::span<const int64_t> values) {
  alignas(64) uint32_t codes[kVectorSize];
  uint64_t greatest = 0;
  for (const int64_t value : values) greatest = std::max(greatest, static_cast<uint64_t>(value));
  if (greatest >= UINT32_MAX) {
    EXPECT_FALSE(reader.DecodeCodes(vector, UINT32_MAX, codes).ok());
    return;
  }
  const auto bound = static_cast<uint32_t>(greatest);
  EXPECT_FALSE(reader.DecodeCodes(vector, bound, codes).ok());
  ASSERT_TRUE(reader.DecodeCodes(vector, bound + 1, codes).ok());
  for (size_t i = 0; i < values.size(); i++) ASSERT_EQ(codes[i], values[i]) << i;
}

/// Encodes, decodes every vector at every SIMD level, and returns the stream.
ByteBuffer RoundTrip(const Values &values, Level level, std::string *name = nullptr) {
  ByteBuffer bytes;
  bytes.push_back(std::byte{0x55});  // streams are appended anywhere
  EncodeIntegers(values, level, bytes);
  const ByteSpan stream = ByteSpan(bytes).subspan(1);
  const auto count = static_cast<uint32_t>(values.size());
  for (const SimdLevel simd : {SimdLevel::kV1, SimdLevel::kV3, SimdLevel::kV4}) {
    SetSimdLevel(simd);
    IntegerStream reader(std::pmr::get_default_resource());
    const Status status = reader.Open(stream, count);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(reader.count(), count);
    if (name != nullptr) *name = reader.EncodingName();
    alignas(64) int64_t out[kVectorSize];
    const uint32_t vectors = (count + kVectorSize - 1) / kVectorSize;
    for (uint32_t v = vectors; v-- > 0;) {
      const Status decoded = reader.Decode(v, out);
      EXPECT_TRUE(decoded.ok()) << decoded.message();
      for (uint32_t i = 0; i < kVectorSize && v * kVectorSize + i < count; i++) {
        if (out[i] != values[v * kVectorSize + i]) {
          ADD_FAILURE() << "row " << v * kVectorSize + i << " of " << count << ": " << out[i]
                        << " instead of " << values[v * kVectorSize + i];
          return bytes;
        }
      }
    }
    EXPECT_FALSE(reader.Decode(vectors, out).ok());
    for (uint32_t v = 0; v < vectors; v++) {
      const std::span<const int64_t> rest = std::span(values).subspan(size_t{v} * kVectorSize);
      ExpectCodes(reader, v, rest.first(std::min<size_t>(rest.size(), kVectorSize)));
    }
  }
  SetSimdLevel(SimdLevel::kAuto);
  return bytes;
}

double BitsPerValue(const Values &values, Level level, std::string *name = nullptr) {
  return static_cast<double>(RoundTrip(values, level, name).size() - 1) * 8 /
         static_cast<double>(values.size());
}

class IntegerCodecTest : public testing::TestWithParam<Level> {};

TEST_P(IntegerCodecTest, KeepsEveryShapeAtEdgeCounts) {
  std::mt19937_64 random(7);
  for (const size_t count : {1UL, 2UL, 31UL, 33UL, 1023UL, 1024UL, 1025UL, 9000UL, 61440UL}) {
    for (int shape = 0; shape < 10; shape++) {
      Values values(count);
      int64_t walk = 1000;
      for (size_t i = 0; i < count; i++) {
        const uint64_t r = random();
        switch (shape) {
          case 0:
            values[i] = static_cast<int64_t>(r);
            break;
          case 1:
            values[i] = static_cast<int64_t>(r % 3) * 7;
            break;
          case 2:
            values[i] = walk += static_cast<int64_t>(r % 9) - 4;
            break;
          case 3:
            values[i] = r % 50 == 0 ? static_cast<int64_t>(r) : static_cast<int64_t>(r % 16);
            break;
          case 4:
            values[i] = static_cast<int64_t>(i) * 10'000'000;
            break;
          case 5:
            values[i] = (r & 1) != 0 ? kMin : kMax;
            break;
          case 6:
            values[i] = -5;
            break;
          case 7:
            values[i] = static_cast<int64_t>(r >> (r % 64));
            break;
          case 8:
            values[i] = static_cast<int64_t>(r % 100) * 0x1234567890AB;
            break;
          default:
            values[i] = walk +=
                static_cast<int64_t>(r % 1000) * 1000 + (r % 97 == 0 ? 86'400'000'000 : 0);
        }
      }
      SCOPED_TRACE("count " + std::to_string(count) + " shape " + std::to_string(shape));
      RoundTrip(values, GetParam());
    }
  }
}

TEST_P(IntegerCodecTest, KeepsEveryWidthWithOutliersOnBothSides) {
  std::mt19937_64 random(8);
  for (unsigned width = 0; width <= 64; width++) {
    for (const bool walk : {false, true}) {
      Values values(2500);
      uint64_t sum = 0;
      for (int64_t &value : values) {
        uint64_t code = width == 0 ? 0 : random() >> (64 - width);
        if (random() % 100 == 0) code = random();
        sum = walk ? sum + code : code;
        value = static_cast<int64_t>(sum);
      }
      SCOPED_TRACE("width " + std::to_string(width));
      RoundTrip(values, GetParam());
    }
  }
}

TEST_P(IntegerCodecTest, RegularSeriesCostNothing) {
  Values values;
  for (int series = 0; series < 6; series++)
    for (int64_t i = 0; i < 10'000; i++) values.push_back(1'451'606'400'000'000 + i * 10'000'000);
  std::string name;
  EXPECT_LT(BitsPerValue(values, GetParam(), &name), 0.02);
  EXPECT_EQ(name, "regular");
  EXPECT_LT(BitsPerValue(Values(61440, 7), GetParam(), &name), 0.01);
  EXPECT_EQ(name, "constant");
}

TEST_P(IntegerCodecTest, CommonFactorIsTakenOut) {
  std::mt19937_64 random(9);
  Values values(10'000);
  for (int64_t &value : values) value = kMin + static_cast<int64_t>(random() % 1024) * 1'000'003;
  EXPECT_LT(BitsPerValue(values, GetParam()), 10.3);
}

TEST_P(IntegerCodecTest, FewDistinctValuesBecomeCodes) {
  std::mt19937_64 random(10);
  Values distinct(1000);
  for (int64_t &value : distinct) value = static_cast<int64_t>(random());
  Values values(60'000);
  for (int64_t &value : values) value = distinct[random() % distinct.size()];
  std::string name;
  EXPECT_LT(BitsPerValue(values, GetParam(), &name), 10.2 + 1000.0 * 64 / 60'000 + 0.1);
  EXPECT_EQ(name.substr(0, 10), "dictionary");
}

TEST(IntegerCodec, PatchesFollowTheWindowOnBothSides) {
  // Steps of a walk as a benchmark's gauges take them: three bits hold nearly all of them.
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  Values values(61'440);
  double walk = 50;
  for (size_t i = 0; i < values.size(); i++) {
    walk = std::clamp(walk + normal(random), 0.0, 100.0);
    if (i % 9000 == 0) walk = static_cast<double>(random() % 100);
    values[i] = static_cast<int64_t>(walk);
  }
  std::string name;
  EXPECT_LT(BitsPerValue(values, Level::kHot, &name), 3.2);
  EXPECT_EQ(name, "delta-for");
  EXPECT_LT(BitsPerValue(values, Level::kCold, &name), 2.95);
  EXPECT_EQ(name, "for+zstd");
}

TEST(IntegerCodec, RefusesDamagedBytesWithoutReadingOutside) {
  std::mt19937_64 random(12);
  for (const Level level : {Level::kHot, Level::kCold}) {
    for (int shape = 0; shape < 4; shape++) {
      Values values(3000);
      int64_t walk = 0;
      for (size_t i = 0; i < values.size(); i++) {
        walk += static_cast<int64_t>(random() % 8) + (random() % 60 == 0 ? 100'000 : 0);
        values[i] = shape == 0   ? walk
                    : shape == 1 ? static_cast<int64_t>(random() % 40) * 0x123456789
                    : shape == 2 ? static_cast<int64_t>(i) + (i > 1500 ? 99 : 0)
                                 : walk * 1000;
      }
      ByteBuffer bytes;
      EncodeIntegers(values, level, bytes);
      IntegerStream reader(std::pmr::get_default_resource());
      // Every shorter or longer stream, and another count.
      for (size_t size = 0; size < bytes.size(); size++) {
        const std::vector<std::byte> cut(bytes.begin(),
                                         bytes.begin() + static_cast<ptrdiff_t>(size));
        EXPECT_FALSE(reader.Open(cut, 3000).ok()) << shape << " " << size;
      }
      ByteBuffer longer = bytes;
      longer.push_back(std::byte{0});
      EXPECT_FALSE(reader.Open(longer, 3000).ok());
      EXPECT_FALSE(reader.Open(bytes, 0).ok());
      EXPECT_FALSE(reader.Open(bytes, kMaxSegmentRows + 1).ok());
      // Any byte changed: an error or other values, but nothing outside the span.
      for (size_t at = 0; at < bytes.size(); at++) {
        ByteBuffer damaged = bytes;
        damaged[at] ^= static_cast<std::byte>(1 + random() % 255);
        if (!reader.Open(damaged, 3000).ok()) continue;
        alignas(64) int64_t out[kVectorSize + 1];
        out[kVectorSize] = 77;
        for (uint32_t v = 0; v < 3; v++) (void)reader.Decode(v, out).ok();
        ASSERT_EQ(out[kVectorSize], 77);
      }
    }
  }
}

/// RoundTrip reads codes, too: here are layouts that indexes into a dictionary have.
TEST(IntegerCodes, ComeFromEveryLayout) {
  std::mt19937_64 random(11);
  Values evenly(5000), runs(5000), few(5000), walk(5000);
  int64_t at = 30'000;
  for (size_t i = 0; i < evenly.size(); i++) {
    evenly[i] = 7 + static_cast<int64_t>(random() % 1000);
    runs[i] = static_cast<int64_t>(i / 700);
    few[i] = static_cast<int64_t>(random() % 5 * (random() % 5)) * 1'000'003;
    walk[i] = at += static_cast<int64_t>(random() % 8) - 3;
  }
  std::string name;
  RoundTrip(evenly, Level::kHot, &name);
  EXPECT_EQ(name, "for");
  RoundTrip(runs, Level::kHot, &name);
  EXPECT_EQ(name, "regular");
  RoundTrip(few, Level::kHot, &name);
  RoundTrip(walk, Level::kHot, &name);
  EXPECT_EQ(name, "delta-for");
  RoundTrip(evenly, Level::kCold, &name);
}

INSTANTIATE_TEST_SUITE_P(Levels, IntegerCodecTest, testing::Values(Level::kHot, Level::kCold),
                         [](const testing::TestParamInfo<Level> &level) {
                           return level.param == Level::kHot ? "Hot" : "Cold";
                         });

}  // namespace
}  // namespace tsext
