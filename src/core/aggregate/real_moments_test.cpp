#include "tsext/real_moments.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

namespace tsext {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::unique_ptr<Vector> MakeVector(std::initializer_list<double> values) {
  auto vector = std::make_unique<Vector>(std::pmr::get_default_resource());
  vector->type = PhysicalType::kFloat64;
  for (const double value : values) vector->doubles[vector->count++] = value;
  return vector;
}

RealMoments Sum(std::initializer_list<double> values, bool with_squares = false) {
  RealMoments moments{};
  const auto vector = MakeVector(values);
  moments.Add(*vector, {0, vector->count, nullptr}, with_squares);
  return moments;
}

TEST(RealMoments, OfNothing) {
  const RealMoments moments{};
  EXPECT_EQ(moments.count, 0U);
  EXPECT_EQ(moments.Sum(), 0);
  EXPECT_FALSE(moments.HasOverflown(true));
}

TEST(RealMoments, OfNegativeZeros) {
  EXPECT_TRUE(std::signbit(Sum({-0.0}).Sum()));
  RealMoments moments = Sum({-0.0, -0.0});
  moments.Add(-0.0, false);
  moments.AddSum(2, -0.0);
  EXPECT_TRUE(std::signbit(moments.Sum()));
  EXPECT_FALSE(std::signbit(moments.SumFromZero()));
  moments.Add(0.0, false);
  EXPECT_FALSE(std::signbit(moments.Sum()));
}

TEST(RealMoments, AddsSlicesLikeSingleValues) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> number(-1000, 5000);
  auto vector = std::make_unique<Vector>(std::pmr::get_default_resource());
  vector->type = PhysicalType::kFloat64;
  vector->count = kVectorSize;
  vector->any_null = true;
  vector->nulls.fill(0);
  for (uint32_t i = 0; i < kVectorSize; i++) {
    vector->doubles[i] = number(random);
    if (i % 5 == 0) vector->nulls[i / 64] |= uint64_t{1} << (i % 64);
  }
  Selection selection;
  selection.Clear();
  for (uint32_t i = 0; i < kVectorSize; i++)
    if (i % 3 != 0) selection.Select(i);

  RealMoments by_slice{};
  RealMoments by_value{};
  double sum = 0;
  uint64_t count = 0;
  for (uint32_t begin = 0; begin < kVectorSize; begin += 100)
    by_slice.Add(*vector, {begin, std::min(begin + 100, kVectorSize), &selection}, true);
  for (uint32_t i = 0; i < kVectorSize; i++) {
    if (vector->IsNull(i) || !selection.IsSelected(i)) continue;
    by_value.Add(vector->doubles[i], true);
    sum += vector->doubles[i];
    count++;
  }
  double squares = 0;
  for (uint32_t i = 0; i < kVectorSize; i++) {
    const double distance = vector->doubles[i] - sum / static_cast<double>(count);
    if (!vector->IsNull(i) && selection.IsSelected(i)) squares += distance * distance;
  }
  for (const RealMoments &moments : {by_slice, by_value}) {
    EXPECT_EQ(moments.count, count);
    EXPECT_NEAR(moments.Sum(), sum, std::abs(sum) * 1e-12);
    EXPECT_NEAR(moments.Squares(), squares, squares * 1e-9);
  }
}

TEST(RealMoments, TellsInfinityFromOverflow) {
  EXPECT_EQ(Sum({1, kInfinity, 2}).Sum(), kInfinity);
  EXPECT_FALSE(Sum({1, kInfinity, 2}).HasOverflown(false));
  EXPECT_EQ(Sum({1, -kInfinity}).Sum(), -kInfinity);
  EXPECT_TRUE(std::isnan(Sum({kInfinity, -kInfinity}).Sum()));
  EXPECT_TRUE(std::isnan(Sum({1, kNan, kInfinity}).Sum()));
  EXPECT_TRUE(std::isnan(Sum({1, kInfinity}, true).Squares()));
  EXPECT_TRUE(Sum({1e308, 1e308}).HasOverflown(false));
  EXPECT_FALSE(Sum({1e308, -1e308}).HasOverflown(false));
  EXPECT_TRUE(Sum({1e200, -1e200}, true).HasOverflown(true));
  EXPECT_FALSE(Sum({1e200, -1e200}, false).HasOverflown(false));
}

TEST(RealMoments, WidensFloats) {
  auto vector = std::make_unique<Vector>(std::pmr::get_default_resource());
  vector->type = PhysicalType::kFloat32;
  vector->count = 3;
  vector->floats[0] = 0.5F;
  vector->floats[1] = std::numeric_limits<float>::max();
  vector->floats[2] = std::numeric_limits<float>::infinity();
  RealMoments moments{};
  moments.Add(*vector, {0, 2, nullptr}, false);
  EXPECT_EQ(moments.Sum(), 0.5 + static_cast<double>(std::numeric_limits<float>::max()));
  moments.Add(*vector, {2, 3, nullptr}, false);
  EXPECT_EQ(moments.Sum(), kInfinity);
}

}  // namespace
}  // namespace tsext
