#pragma once

// Vectors full of what goes wrong: extremes, NaNs of all kinds, both zeros, NULLs; and the levels
// of kernels to try them with.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <memory_resource>
#include <random>
#include <string>
#include <vector>

#include "tsext/kernels.hpp"
#include "tsext/selection.hpp"
#include "tsext/vector.hpp"

namespace tsext::test {

/// Every table of kernels that this CPU can run.
class LevelsTest : public testing::TestWithParam<SimdLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > DetectSimdLevel()) GTEST_SKIP() << "this CPU lacks the level";
    EXPECT_EQ(SetSimdLevel(GetParam()), GetParam());
  }
  void TearDown() override { SetSimdLevel(SimdLevel::kAuto); }

  std::mt19937_64 random_{static_cast<uint64_t>(GetParam())};
};

inline std::string LevelName(const testing::TestParamInfo<SimdLevel> &level) {
  return level.param == SimdLevel::kV1 ? "V1" : level.param == SimdLevel::kV3 ? "V3" : "V4";
}

/// A number below `end`.
inline uint32_t Below(std::mt19937_64 &random, uint32_t end) {
  return static_cast<uint32_t>(random() % end);
}

/// How the values of a vector are drawn.
enum class Draw { kExtremes, kFew, kWide, kMixed };
inline constexpr Draw kDraws[] = {Draw::kExtremes, Draw::kFew, Draw::kWide, Draw::kMixed};
/// Which rows are NULL or deselected.
enum class Thinning { kNone, kFew, kHalf, kMost, kAll, kStretches };
inline constexpr Thinning kThinnings[] = {Thinning::kNone, Thinning::kFew, Thinning::kHalf,
                                          Thinning::kMost, Thinning::kAll, Thinning::kStretches};

inline int64_t RandomInteger(Draw draw, std::mt19937_64 &random) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kExtremes[] = {kMin,
                                   kMin + 1,
                                   kMax,
                                   kMax - 1,
                                   0,
                                   -1,
                                   1,
                                   INT64_C(1) << 31,
                                   -(INT64_C(1) << 31),
                                   0xFFFFFFFF,
                                   -0xFFFFFFFF,
                                   INT64_C(1) << 32};
  const uint64_t bits = random();
  if (draw == Draw::kExtremes || (draw == Draw::kMixed && bits % 8 == 0))
    return kExtremes[bits / 8 % std::size(kExtremes)];
  if (draw == Draw::kFew) return static_cast<int64_t>(bits % 5) - 2;
  return static_cast<int64_t>(random()) >> (draw == Draw::kMixed ? bits % 64 : 0);
}

inline double RandomReal(Draw draw, std::mt19937_64 &random) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double extremes[] = {std::bit_cast<double>(UINT64_C(0x7FF8000000000000)),
                             std::bit_cast<double>(UINT64_C(0xFFF8000000000001)),
                             std::bit_cast<double>(UINT64_C(0x7FFFFFFFFFFFFFFF)),
                             std::bit_cast<double>(UINT64_C(0xFFFFFFFFFFFFFFFF)),
                             kInfinity,
                             -kInfinity,
                             0.0,
                             -0.0,
                             5e-324,
                             -5e-324,
                             std::numeric_limits<double>::max(),
                             std::numeric_limits<double>::lowest()};
  const uint64_t bits = random();
  if (draw == Draw::kExtremes || (draw == Draw::kMixed && bits % 64 == 0))
    return extremes[bits / 64 % std::size(extremes)];
  if (draw == Draw::kFew) return static_cast<double>(static_cast<int>(bits % 5) - 2) / 2;
  if (draw == Draw::kWide) return std::bit_cast<double>(random());
  return static_cast<double>(static_cast<int64_t>(bits)) / 1e15;
}

inline bool IsThin(Thinning thinning, uint32_t row, uint32_t stretch, std::mt19937_64 &random) {
  switch (thinning) {
    case Thinning::kNone:
      return false;
    case Thinning::kFew:
      return random() % 50 == 0;
    case Thinning::kHalf:
      return random() % 2 == 0;
    case Thinning::kMost:
      return random() % 50 != 0;
    case Thinning::kAll:
      return true;
    case Thinning::kStretches:
      return row / stretch % 2 == 0;
  }
  return false;
}

/// Values past `count` are drawn as well: nothing may depend on them.
inline std::unique_ptr<Vector> MakeVector(PhysicalType type, uint32_t count, Draw draw,
                                          Thinning nulls, std::mt19937_64 &random) {
  auto vector = std::make_unique<Vector>(std::pmr::get_default_resource());
  vector->type = type;
  vector->count = count;
  vector->any_null = nulls != Thinning::kNone;
  // Without NULLs the words hold anything.
  vector->nulls.fill(vector->any_null ? 0 : random());
  const uint32_t stretch = 1 + Below(random, 300);
  for (uint32_t row = 0; row < kVectorSize; row++) {
    if (type == PhysicalType::kFloat64)
      vector->doubles[row] = RandomReal(draw, random);
    else if (type == PhysicalType::kFloat32)
      vector->floats[row] = static_cast<float>(RandomReal(draw, random));
    else if (type == PhysicalType::kBool)
      vector->integers[row] = static_cast<int64_t>(random() & 1);
    else
      vector->integers[row] = RandomInteger(draw, random);
    if (vector->any_null && row < count && IsThin(nulls, row, stretch, random))
      vector->nulls[row / 64] |= uint64_t{1} << (row % 64);
  }
  return vector;
}

inline Selection MakeSelection(uint32_t count, Thinning thinning, std::mt19937_64 &random) {
  Selection selection;
  selection.SelectFirst(count);
  const uint32_t stretch = 1 + Below(random, 300);
  for (uint32_t row = 0; row < count; row++)
    if (IsThin(thinning, row, stretch, random)) selection.Deselect(row);
  return selection;
}

inline double RealAt(const Vector &vector, uint32_t row) {
  return vector.type == PhysicalType::kFloat32 ? static_cast<double>(vector.floats[row])
                                               : vector.doubles[row];
}

/// PostgreSQL's order of floats, said in another way than the kernels say it: -1, 0, 1.
inline int CompareReals(double left, double right) {
  if (std::isnan(left) || std::isnan(right))
    return static_cast<int>(std::isnan(left)) - static_cast<int>(std::isnan(right));
  return left < right ? -1 : left > right ? 1 : 0;
}

inline constexpr uint32_t kCounts[] = {1,   2,   7,   8,   31,  63,  64,   65,
                                       127, 128, 200, 511, 777, 960, 1023, 1024};

}  // namespace tsext::test
