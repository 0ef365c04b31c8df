#include "core/codec/numeric_codec.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "core/segment/test_columns.hpp"

namespace tsext {
namespace {

using test::NumericBytes;

std::string Words(std::initializer_list<uint16_t> words) {
  return {reinterpret_cast<const char *>(words.begin()), words.size() * 2};
}

/// unscaled / 10^scale as text.
std::string DecimalText(uint64_t unscaled, size_t scale, bool is_negative) {
  std::string text(is_negative ? 1 : 0, '-');
  uint64_t power = 1;
  for (size_t i = 0; i < scale; i++) power *= 10;
  text.append(std::to_string(unscaled / power));
  if (scale == 0) return text;
  const std::string fraction = std::to_string(unscaled % power);
  text.append(1, '.');
  text.append(scale - fraction.size(), '0');
  text.append(fraction);
  return text;
}

/// Encodes, decodes and compares; false when the encoder refuses.
bool ComesBack(const std::vector<std::string> &values, Level level = Level::kHot) {
  std::vector<ByteView> views;
  for (const std::string &value : values) views.push_back(test::ViewOf(value));
  ByteBuffer bytes;
  if (!EncodeNumerics(views, level, bytes)) {
    EXPECT_TRUE(bytes.empty());
    return false;
  }
  NumericStream stream(std::pmr::get_default_resource());
  const uint32_t count = static_cast<uint32_t>(values.size());
  const Status opened = stream.Open(bytes, count);
  EXPECT_TRUE(opened.ok()) << opened.message();
  for (uint32_t v = 0; v < VectorCount(count); v++) {
    uint64_t size = 0;
    EXPECT_TRUE(stream.ArenaSize(v, size).ok());
    std::vector<std::byte> arena(size);
    std::vector<ByteView> out(kVectorSize);
    EXPECT_TRUE(stream.Decode(v, out.data(), arena.data()).ok());
    for (uint32_t i = 0; i < ValuesInVector(v, count); i++)
      EXPECT_EQ(test::TextOf(out[i]), values[v * kVectorSize + i]) << v << " " << i;
  }
  return true;
}

// Written by hand after the description of the form in numeric_codec.cpp.
TEST(NumericCodec, KnownBytes) {
  EXPECT_EQ(NumericBytes("0"), Words({0x8000}));
  EXPECT_EQ(NumericBytes("0.00"), Words({0x8100}));
  EXPECT_EQ(NumericBytes("1"), Words({0x8000, 1}));
  EXPECT_EQ(NumericBytes("-1"), Words({0xA000, 1}));
  EXPECT_EQ(NumericBytes("1.5"), Words({0x8080, 1, 5000}));
  EXPECT_EQ(NumericBytes("10000"), Words({0x8001, 1}));
  EXPECT_EQ(NumericBytes("12345678.9"), Words({0x8081, 1234, 5678, 9000}));
  EXPECT_EQ(NumericBytes("0.0001"), Words({0x827F, 1}));
  EXPECT_EQ(NumericBytes("0.00001"), Words({0x82FE, 1000}));
  EXPECT_EQ(NumericBytes("NaN"), Words({0xC000}));
  EXPECT_EQ(NumericBytes("-1." + std::string(70, '0')), Words({0x4000 | 70, 0, 1}));
}

TEST(NumericCodec, RoundTrip) {
  EXPECT_TRUE(ComesBack({NumericBytes("0")}));
  EXPECT_TRUE(ComesBack({NumericBytes("1.5"), NumericBytes("-1.5"), NumericBytes("0.0")}));
  EXPECT_TRUE(
      ComesBack({NumericBytes("9223372036854775807"), NumericBytes("-9223372036854775807")}));
  EXPECT_TRUE(ComesBack({NumericBytes("0.9223372036854775807")}));
  EXPECT_TRUE(ComesBack({NumericBytes("922337203685477.5807")}));
  EXPECT_TRUE(ComesBack({NumericBytes("92233720368547.75807")}));
  EXPECT_TRUE(ComesBack({NumericBytes("9223372036854.775807")}));
  EXPECT_TRUE(ComesBack({NumericBytes("922337203685.4775807")}));
  // The long form: a display scale above 63, a weight below -64.
  EXPECT_TRUE(ComesBack({NumericBytes("0." + std::string(63, '0') + "1")}));
  EXPECT_TRUE(ComesBack({NumericBytes("0." + std::string(300, '0') + "123")}));
  EXPECT_TRUE(ComesBack({NumericBytes("-0." + std::string(16380, '0') + "123")}));
  // Different display scales, and special values between finite ones.
  EXPECT_TRUE(ComesBack({NumericBytes("1"), NumericBytes("1.0"), NumericBytes("1.00"),
                         NumericBytes("NaN"), NumericBytes("-0.25"), NumericBytes("Infinity"),
                         NumericBytes("-Infinity"), NumericBytes("0.000")}));
  EXPECT_TRUE(ComesBack({NumericBytes("NaN")}));
  EXPECT_TRUE(ComesBack({NumericBytes("NaN"), NumericBytes("Infinity")}));
}

TEST(NumericCodec, RandomDecimals) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; round++) {
    std::vector<std::string> values;
    const bool is_uniform = round % 2 == 0;
    const size_t scale = random() % 12;
    for (int i = 0; i < 1500; i++) {
      const uint64_t unscaled = random() >> (30 + random() % 33);
      const size_t here = is_uniform ? scale : random() % (scale + 1);
      values.push_back(NumericBytes(DecimalText(unscaled, here, random() % 2 == 0)));
    }
    // 2^34 * 10^11 does not fit; then nothing may be encoded.
    const bool fits = scale <= 8;
    if (fits) {
      EXPECT_TRUE(ComesBack(values, round % 3 == 0 ? Level::kCold : Level::kHot)) << scale;
    } else {
      ComesBack(values);
    }
  }
}

TEST(NumericCodec, RefusesWhatItCannotReturn) {
  EXPECT_FALSE(ComesBack({NumericBytes("9223372036854775808")}));
  EXPECT_FALSE(ComesBack({NumericBytes("1" + std::string(40, '0'))}));
  EXPECT_FALSE(ComesBack({NumericBytes("1000000000000"), NumericBytes("0.00000001")}));
  EXPECT_FALSE(ComesBack({Words({0x0000, 0, 1})}));     // long form of a short number
  EXPECT_FALSE(ComesBack({Words({0xC000, 0})}));        // NaN of four bytes
  EXPECT_FALSE(ComesBack({Words({0xE000})}));           // no such special value
  EXPECT_FALSE(ComesBack({Words({0x8001})}));           // zero with a weight
  EXPECT_FALSE(ComesBack({Words({0xA000})}));           // minus zero
  EXPECT_FALSE(ComesBack({Words({0x8001, 0, 1})}));     // leading zero digit
  EXPECT_FALSE(ComesBack({Words({0x8000, 1, 0})}));     // trailing zero digit
  EXPECT_FALSE(ComesBack({Words({0x8000, 10000})}));    // not a digit
  EXPECT_FALSE(ComesBack({Words({0x8000, 0xFFFF})}));   // negative digit
  EXPECT_FALSE(ComesBack({Words({0x8080, 1, 5500})}));  // more digits than it displays
  EXPECT_FALSE(ComesBack({std::string()}));
  EXPECT_FALSE(ComesBack({std::string(1, '\x80')}));
  EXPECT_FALSE(ComesBack({std::string(3, '\x80')}));
  EXPECT_FALSE(ComesBack({std::string(2, '\0')}));  // long form without its weight
}

TEST(NumericCodec, DamageIsFound) {
  const std::string value = NumericBytes("1.25"), other = NumericBytes("1.5");
  const ByteView views[] = {test::ViewOf(value), test::ViewOf(other)};
  ByteBuffer bytes;
  ASSERT_TRUE(EncodeNumerics(views, Level::kHot, bytes));
  const auto open = [&](auto change) {
    ByteBuffer changed = bytes;
    change(changed);
    NumericStream stream(std::pmr::get_default_resource());
    return stream.Open(changed, 2).code();
  };
  EXPECT_EQ(open([](ByteBuffer &) {}), StatusCode::kOk);
  EXPECT_EQ(open([](ByteBuffer &b) { b[1] = std::byte{0x40}; }), StatusCode::kCorrupt);
  EXPECT_EQ(open([](ByteBuffer &b) { b[2] = std::byte{2}; }), StatusCode::kUnsupported);
  EXPECT_EQ(open([](ByteBuffer &b) { b[2] = std::byte{1}; }), StatusCode::kCorrupt);
  EXPECT_EQ(open([](ByteBuffer &b) { b.resize(b.size() + 8); }), StatusCode::kCorrupt);
  for (size_t size = 0; size < bytes.size(); size++)
    EXPECT_NE(open([&](ByteBuffer &b) { b.resize(size); }), StatusCode::kOk) << size;

  // A display scale above the stream's scale.
  NumericStream stream(std::pmr::get_default_resource());
  bytes[0] = std::byte{1};
  ASSERT_TRUE(stream.Open(bytes, 2).ok());
  std::vector<std::byte> arena(100);
  std::vector<ByteView> out(kVectorSize);
  EXPECT_EQ(stream.Decode(0, out.data(), arena.data()).code(), StatusCode::kCorrupt);
}

}  // namespace
}  // namespace tsext
