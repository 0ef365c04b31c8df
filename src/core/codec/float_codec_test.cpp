#include "tsext/float_codec.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tsext/kernels.hpp"

namespace tsext {
namespace {

void Encode(std::span<const double> values, Level level, ByteBuffer &out) {
  EncodeDoubles(values, level, out);
}
void Encode(std::span<const float> values, Level level, ByteBuffer &out) {
  EncodeFloats(values, level, out);
}

template <typename T>
ByteBuffer RoundTrip(const std::vector<T> &values, Level level, std::string *name = nullptr) {
  ByteBuffer bytes;
  bytes.push_back(std::byte{0x55});
  Encode(std::span<const T>(values), level, bytes);
  const auto count = static_cast<uint32_t>(values.size());
  for (const SimdLevel simd : {SimdLevel::kV1, SimdLevel::kV3, SimdLevel::kV4}) {
    SetSimdLevel(simd);
    FloatStream<T> reader(std::pmr::get_default_resource());
    const Status status = reader.Open(ByteSpan(bytes).subspan(1), count);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(reader.count(), count);
    if (name != nullptr) *name = reader.EncodingName();
    alignas(64) T out[kVectorSize];
    const uint32_t vectors = (count + kVectorSize - 1) / kVectorSize;
    for (uint32_t v = vectors; v-- > 0;) {
      const Status decoded = reader.Decode(v, out);
      EXPECT_TRUE(decoded.ok()) << decoded.message();
      for (uint32_t i = 0; i < kVectorSize && v * kVectorSize + i < count; i++) {
        if (std::memcmp(&out[i], &values[v * kVectorSize + i], sizeof(T)) != 0) {
          ADD_FAILURE() << "row " << v * kVectorSize + i << " of " << count << ": " << out[i]
                        << " instead of " << values[v * kVectorSize + i];
          return bytes;
        }
      }
    }
    EXPECT_FALSE(reader.Decode(vectors, out).ok());
  }
  SetSimdLevel(SimdLevel::kAuto);
  return bytes;
}

template <typename T>
double BitsPerValue(const std::vector<T> &values, Level level, std::string *name = nullptr) {
  return static_cast<double>(RoundTrip(values, level, name).size() - 1) * 8 /
         static_cast<double>(values.size());
}

/// NaNs of all kinds, zeros, infinities, denormals and limits.
template <typename T>
std::vector<T> Oddities() {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  using Limits = std::numeric_limits<T>;
  std::vector<T> odd = {T{0},
                        -T{0},
                        Limits::infinity(),
                        -Limits::infinity(),
                        Limits::max(),
                        Limits::lowest(),
                        Limits::min(),
                        Limits::denorm_min(),
                        -Limits::denorm_min(),
                        Limits::epsilon()};
  const Bits infinity = std::bit_cast<Bits>(Limits::infinity());
  const Bits sign = Bits{1} << (sizeof(T) * 8 - 1);
  for (const Bits payload : {Bits{1}, infinity >> 3 & ~infinity, ~infinity & ~sign}) {
    odd.push_back(std::bit_cast<T>(static_cast<Bits>(infinity | payload)));
    odd.push_back(std::bit_cast<T>(static_cast<Bits>(infinity | sign | payload)));
  }
  return odd;
}

template <typename T>
void KeepsEveryShape(Level level) {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  std::mt19937_64 random(21);
  std::normal_distribution<double> normal;
  const std::vector<T> odd = Oddities<T>();
  for (const size_t count : {1UL, 5UL, 1023UL, 1024UL, 1025UL, 9000UL, 61440UL}) {
    for (int shape = 0; shape < 10; shape++) {
      std::vector<T> values(count);
      double walk = 20;
      for (size_t i = 0; i < count; i++) {
        const uint64_t r = random();
        const double decimal = static_cast<double>(static_cast<int64_t>(r % 20001) - 10000) / 100;
        switch (shape) {
          case 0:
            values[i] = std::bit_cast<T>(static_cast<Bits>(r));
            break;
          case 1:
            values[i] = static_cast<T>(decimal);
            break;
          case 2:
            values[i] = r % 40 == 0 ? odd[r / 40 % odd.size()] : static_cast<T>(decimal);
            break;
          case 3:
            values[i] = odd[r % odd.size()];
            break;
          case 4:
            values[i] = static_cast<T>(walk += normal(random));
            break;
          case 5:
            values[i] = static_cast<T>(std::floor(walk += normal(random)));
            break;
          case 6:
            values[i] = static_cast<T>(static_cast<float>(decimal));
            break;
          case 7:
            values[i] = odd[4];
            break;
          case 8:
            values[i] = static_cast<T>(i < count / 2 ? decimal : decimal / 1000);
            break;
          default:
            values[i] = static_cast<T>(normal(random) * 1e-5);
            break;
        }
      }
      SCOPED_TRACE("count " + std::to_string(count) + " shape " + std::to_string(shape));
      RoundTrip(values, level);
    }
  }
}

TEST(FloatCodec, KeepsEveryShapeOfDoublesHot) {
  KeepsEveryShape<double>(Level::kHot);
}
TEST(FloatCodec, KeepsEveryShapeOfDoublesCold) {
  KeepsEveryShape<double>(Level::kCold);
}
TEST(FloatCodec, KeepsEveryShapeOfFloatsHot) {
  KeepsEveryShape<float>(Level::kHot);
}
TEST(FloatCodec, KeepsEveryShapeOfFloatsCold) {
  KeepsEveryShape<float>(Level::kCold);
}

TEST(FloatCodec, DecimalsAreAsNarrowAsTheirDigits) {
  std::mt19937_64 random(22);
  std::vector<double> doubles(20'000);
  for (double &value : doubles) value = static_cast<double>(random() % 4096) / 1000;
  std::vector<float> floats(doubles.begin(), doubles.end());
  std::string name;
  EXPECT_LT(BitsPerValue(doubles, Level::kHot, &name), 12.7);  // two roundings spoil some
  EXPECT_EQ(name, "alp");
  EXPECT_LT(BitsPerValue(floats, Level::kHot, &name), 12.3);
  EXPECT_EQ(name, "alp");
  // Decimals of single precision widened to double keep the size they had.
  std::vector<double> widened(floats.begin(), floats.end());
  EXPECT_LT(BitsPerValue(widened, Level::kHot, &name), 12.3);
  EXPECT_EQ(name, "alp");
}

TEST(FloatCodec, RandomMantissasOfBothSignsCostLittleMoreThanTheirMantissas) {
  std::mt19937_64 random(23);
  std::vector<double> values(20'000);
  for (double &value : values) {
    value = std::ldexp(static_cast<double>(random() >> 11), -53) + 1;
    if ((random() & 1) != 0) value = -value;
  }
  std::string name;
  EXPECT_LT(BitsPerValue(values, Level::kHot, &name), 53.2);
  EXPECT_EQ(name, "split");
}

TEST(FloatCodec, NothingHelpsRandomBits) {
  std::mt19937_64 random(24);
  std::vector<double> values(61'440);
  for (double &value : values) value = std::bit_cast<double>(random());
  EXPECT_LT(BitsPerValue(values, Level::kHot), 64.2);
  EXPECT_LT(BitsPerValue(values, Level::kCold), 64.2);
}

TEST(FloatCodec, RefusesDamagedBytesWithoutReadingOutside) {
  std::mt19937_64 random(25);
  const std::vector<double> odd = Oddities<double>();
  for (const Level level : {Level::kHot, Level::kCold}) {
    for (int shape = 0; shape < 3; shape++) {
      std::vector<double> values(2100);
      for (double &value : values) {
        value = static_cast<double>(random() % 1000) / 10;
        if (shape == 0 && random() % 50 == 0) value = odd[random() % odd.size()];
        if (shape == 1) value = static_cast<float>(value);
        if (shape == 2) value = (random() % 2 == 0 ? -1 : 1) * std::bit_cast<double>(random() >> 2);
      }
      ByteBuffer bytes;
      EncodeDoubles(values, level, bytes);
      FloatStream<double> reader(std::pmr::get_default_resource());
      for (size_t size = 0; size < bytes.size(); size += 1 + size / 64) {
        const std::vector<std::byte> cut(bytes.begin(),
                                         bytes.begin() + static_cast<ptrdiff_t>(size));
        EXPECT_FALSE(reader.Open(cut, 2100).ok()) << shape << " " << size;
      }
      ByteBuffer longer = bytes;
      longer.push_back(std::byte{0});
      EXPECT_FALSE(reader.Open(longer, 2100).ok());
      EXPECT_FALSE(reader.Open(bytes, 0).ok());
      for (size_t at = 0; at < bytes.size(); at += 1 + at / 200) {
        ByteBuffer damaged = bytes;
        damaged[at] ^= static_cast<std::byte>(1 + random() % 255);
        if (!reader.Open(damaged, 2100).ok()) continue;
        alignas(64) double out[kVectorSize + 1];
        out[kVectorSize] = 77;
        for (uint32_t v = 0; v < 3; v++) (void)reader.Decode(v, out).ok();
        ASSERT_EQ(out[kVectorSize], 77);
      }
    }
  }
}

}  // namespace
}  // namespace tsext
