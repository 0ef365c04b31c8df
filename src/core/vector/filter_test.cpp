#include "tsext/filter.hpp"

#include <algorithm>
#include <functional>

#include "core/vector/test_vectors.hpp"

namespace tsext {
namespace {

using test::CompareReals;
using test::Draw;
using test::MakeVector;
using test::RealAt;
using test::Thinning;

constexpr Comparison kComparisons[] = {Comparison::kEqual,   Comparison::kNotEqual,
                                       Comparison::kLess,    Comparison::kLessEqual,
                                       Comparison::kGreater, Comparison::kGreaterEqual};

class FilterTest : public test::LevelsTest {};

bool Holds(int order, Comparison comparison) {
  switch (comparison) {
    case Comparison::kEqual:
      return order == 0;
    case Comparison::kNotEqual:
      return order != 0;
    case Comparison::kLess:
      return order < 0;
    case Comparison::kLessEqual:
      return order <= 0;
    case Comparison::kGreater:
      return order > 0;
    case Comparison::kGreaterEqual:
      return order >= 0;
  }
  return false;
}

int CompareIntegers(int64_t left, int64_t right) {
  return left < right ? -1 : left > right ? 1 : 0;
}

/// `found` is exactly the rows that are not NULL and of which `expected` is true.
template <typename VectorOrCodes>
void ExpectRows(const Selection &found, const VectorOrCodes &vector,
                const std::function<bool(uint32_t)> &expected) {
  for (uint32_t row = 0; row < kVectorSize; row++) {
    const bool wanted = row < vector.count && !vector.IsNull(row) && expected(row);
    ASSERT_EQ(found.IsSelected(row), wanted) << "row " << row << " of " << vector.count;
  }
}

/// An output that no filter may leave as it is.
Selection Dirty(std::mt19937_64 &random) {
  Selection selection;
  for (uint64_t &word : selection.words) word = random();
  return selection;
}

/// Calls check(draw, nulls, count) for every combination.
template <typename Check>
void ForEachShape(const Check &check) {
  for (const Draw draw : test::kDraws) {
    for (const Thinning nulls : test::kThinnings) {
      for (const uint32_t count : test::kCounts) {
        SCOPED_TRACE(testing::Message() << "draw " << int(draw) << " nulls " << int(nulls));
        check(draw, nulls, count);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(FilterTest, ComparesIntegers) {
  ForEachShape([&](Draw draw, Thinning nulls, uint32_t count) {
    const auto vector = MakeVector(PhysicalType::kInt64, count, draw, nulls, random_);
    const int64_t constants[] = {
        vector->integers[random_() % count], test::RandomInteger(Draw::kExtremes, random_),
        test::RandomInteger(draw, random_), std::numeric_limits<int64_t>::min(),
        std::numeric_limits<int64_t>::max()};
    for (const int64_t constant : constants) {
      for (const Comparison comparison : kComparisons) {
        Selection found = Dirty(random_);
        FilterIntegers(*vector, comparison, constant, found);
        ASSERT_NO_FATAL_FAILURE(
            ExpectRows(found, *vector,
                       [&](uint32_t row) {
                         return Holds(CompareIntegers(vector->integers[row], constant), comparison);
                       }))
            << constant << " " << int(comparison);
      }
    }
  });
}

TEST_P(FilterTest, ComparesReals) {
  for (const PhysicalType type : {PhysicalType::kFloat64, PhysicalType::kFloat32}) {
    ForEachShape([&](Draw draw, Thinning nulls, uint32_t count) {
      const auto vector = MakeVector(type, count, draw, nulls, random_);
      const double constants[] = {RealAt(*vector, test::Below(random_, count)),
                                  test::RandomReal(Draw::kExtremes, random_),
                                  test::RandomReal(draw, random_),
                                  std::nan(""),
                                  0.0,
                                  -0.0,
                                  0.1};
      for (const double constant : constants) {
        for (const Comparison comparison : kComparisons) {
          Selection found = Dirty(random_);
          FilterReals(*vector, comparison, constant, found);
          ASSERT_NO_FATAL_FAILURE(
              ExpectRows(found, *vector,
                         [&](uint32_t row) {
                           return Holds(CompareReals(RealAt(*vector, row), constant), comparison);
                         }))
              << constant << " " << int(comparison);
        }
      }
    });
  }
}

TEST_P(FilterTest, FindsIntegersInARange) {
  ForEachShape([&](Draw draw, Thinning nulls, uint32_t count) {
    const auto vector = MakeVector(PhysicalType::kInt32, count, draw, nulls, random_);
    for (int round = 0; round < 6; round++) {
      const int64_t low = test::RandomInteger(round < 3 ? draw : Draw::kExtremes, random_);
      const int64_t high = test::RandomInteger(round % 2 == 0 ? draw : Draw::kExtremes, random_);
      Selection found = Dirty(random_);
      FilterIntegerRange(*vector, low, high, found);
      ASSERT_NO_FATAL_FAILURE(ExpectRows(found, *vector,
                                         [&](uint32_t row) {
                                           return low <= vector->integers[row] &&
                                                  vector->integers[row] <= high;
                                         }))
          << low << " " << high;
    }
  });
}

TEST_P(FilterTest, FindsIntegersInAList) {
  ForEachShape([&](Draw draw, Thinning nulls, uint32_t count) {
    const auto vector = MakeVector(PhysicalType::kInt64, count, draw, nulls, random_);
    for (const size_t size : {0, 1, 3, 8, 9, 40, 300}) {
      std::vector<int64_t> list;
      for (size_t i = 0; i < size; i++)
        list.push_back(i % 2 == 0 ? vector->integers[random_() % kVectorSize]
                                  : test::RandomInteger(draw, random_));
      std::sort(list.begin(), list.end());
      list.erase(std::unique(list.begin(), list.end()), list.end());
      Selection found = Dirty(random_);
      FilterIntegersIn(*vector, list, found);
      ASSERT_NO_FATAL_FAILURE(ExpectRows(found, *vector, [&](uint32_t row) {
        return std::find(list.begin(), list.end(), vector->integers[row]) != list.end();
      })) << size;
    }
  });
}

TEST_P(FilterTest, FindsRealsInAList) {
  for (const PhysicalType type : {PhysicalType::kFloat64, PhysicalType::kFloat32}) {
    ForEachShape([&](Draw draw, Thinning nulls, uint32_t count) {
      const auto vector = MakeVector(type, count, draw, nulls, random_);
      for (const size_t size : {0, 1, 3, 8, 9, 40, 300}) {
        std::vector<double> list;
        for (size_t i = 0; i < size; i++) {
          const double value = i % 2 == 0 ? RealAt(*vector, random_() % kVectorSize)
                                          : test::RandomReal(draw, random_);
          list.push_back(value == 0 ? 0.0 : value);
        }
        std::sort(list.begin(), list.end(),
                  [](double a, double b) { return CompareReals(a, b) < 0; });
        list.erase(std::unique(list.begin(), list.end(),
                               [](double a, double b) { return CompareReals(a, b) == 0; }),
                   list.end());
        Selection found = Dirty(random_);
        FilterRealsIn(*vector, list, found);
        ASSERT_NO_FATAL_FAILURE(ExpectRows(found, *vector, [&](uint32_t row) {
          return std::any_of(list.begin(), list.end(), [&](double entry) {
            return CompareReals(entry, RealAt(*vector, row)) == 0;
          });
        })) << size;
      }
    });
  }
}

TEST_P(FilterTest, TellsNulls) {
  ForEachShape([&](Draw draw, Thinning nulls, uint32_t count) {
    const auto vector = MakeVector(PhysicalType::kInt64, count, draw, nulls, random_);
    Selection are_null = Dirty(random_);
    Selection are_not = Dirty(random_);
    FilterNull(*vector, are_null);
    FilterNotNull(*vector, are_not);
    ASSERT_NO_FATAL_FAILURE(ExpectRows(are_not, *vector, [](uint32_t) { return true; }));
    for (uint32_t row = 0; row < kVectorSize; row++)
      ASSERT_EQ(are_null.IsSelected(row), row < count && vector->IsNull(row)) << row;
  });
}

int CompareStrings(const std::string &left, const std::string &right) {
  return left < right ? -1 : left > right ? 1 : 0;
}

TEST_P(FilterTest, ComparesBytes) {
  const std::string words[] = {"",
                               "a",
                               "aa",
                               "ab",
                               "abcdefg",
                               "abcdefgh",
                               "abcdefghi",
                               "abcdefgi",
                               std::string("\0", 1),
                               std::string("a\0", 2),
                               "\xFF",
                               "\x7F",
                               std::string(300, 'x'),
                               std::string(300, 'x') + "y",
                               std::string(299, 'x') + "w"};
  ForEachShape([&](Draw draw, Thinning nulls, uint32_t count) {
    if (draw != Draw::kFew) return;
    const auto vector = MakeVector(PhysicalType::kText, count, draw, nulls, random_);
    std::vector<std::string> values(kVectorSize);
    for (uint32_t row = 0; row < kVectorSize; row++) {
      values[row] = words[random_() % std::size(words)];
      vector->bytes[row] = {reinterpret_cast<const std::byte *>(values[row].data()),
                            static_cast<uint32_t>(values[row].size())};
      if (vector->IsNull(row) || values[row].empty()) vector->bytes[row] = {};
    }
    for (const std::string &constant : words) {
      const ByteView view{reinterpret_cast<const std::byte *>(constant.data()),
                          static_cast<uint32_t>(constant.size())};
      for (const Comparison comparison : kComparisons) {
        Selection found = Dirty(random_);
        FilterBytes(*vector, comparison, view, found);
        ASSERT_NO_FATAL_FAILURE(ExpectRows(
            found, *vector,
            [&](uint32_t row) { return Holds(CompareStrings(values[row], constant), comparison); }))
            << constant << " " << int(comparison);
      }
    }
  });
}

TEST_P(FilterTest, LooksUpCodes) {
  for (const uint32_t dictionary_size : {1U, 2U, 31U, 32U, 33U, 64U, 65U, 300U, 15000U}) {
    for (const Thinning nulls : test::kThinnings) {
      for (const uint32_t count : test::kCounts) {
        for (const uint32_t run : {1U, 3U, 100U, 2000U}) {
          auto codes = std::make_unique<CodeVector>();
          codes->count = count;
          codes->any_null = nulls != Thinning::kNone;
          codes->nulls.fill(codes->any_null ? 0 : random_());
          // Codes past the count are not checked by whoever decoded them.
          codes->codes.fill(0xFFFFFFFF);
          uint32_t code = 0;
          for (uint32_t row = 0; row < count; row++) {
            if (row % run == 0) code = test::Below(random_, dictionary_size);
            codes->codes[row] = code;
            if (codes->any_null && test::IsThin(nulls, row, 70, random_)) {
              codes->nulls[row / 64] |= uint64_t{1} << (row % 64);
              codes->codes[row] = 0;
            }
          }
          for (const uint64_t share : {0, 1, 2, 3}) {
            std::vector<uint8_t> passes(dictionary_size);
            for (uint8_t &entry : passes)
              entry = random_() % 3 < share ? static_cast<uint8_t>(1 + random_() % 255) : 0;
            Selection found = Dirty(random_);
            FilterCodes(*codes, passes, found);
            ASSERT_NO_FATAL_FAILURE(ExpectRows(
                found, *codes, [&](uint32_t row) { return passes[codes->codes[row]] != 0; }));
          }
        }
      }
    }
  }
}

/// The verdict on a range never contradicts the values in it, and is as sharp as its ends allow.
TEST(Judge, AgreesWithEveryValueInTheRange) {
  const double reals[] = {-HUGE_VAL, -1.5, -0.0, 0.0, 1, 2, HUGE_VAL, std::nan(""), -std::nan("")};
  const int64_t integers[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
  const auto check = [](const auto &values, const auto &compare, const auto &judge) {
    for (const auto min : values) {
      for (const auto max : values) {
        if (compare(min, max) > 0) continue;
        for (const auto constant : values) {
          for (const Comparison comparison : kComparisons) {
            const Verdict verdict = judge(min, max, comparison, constant);
            bool all = true;
            bool any = false;
            for (const auto value : values) {
              if (compare(value, min) < 0 || compare(max, value) < 0) continue;
              const bool holds = Holds(compare(value, constant), comparison);
              all = all && holds;
              any = any || holds;
            }
            EXPECT_EQ(verdict, all   ? Verdict::kAll
                               : any ? Verdict::kSome
                                     : Verdict::kNone)
                << min << " .. " << max << " " << int(comparison) << " " << constant;
          }
        }
      }
    }
  };
  check(reals, CompareReals, JudgeReals);
  check(integers, CompareIntegers, JudgeIntegers);
}

INSTANTIATE_TEST_SUITE_P(Levels, FilterTest,
                         testing::Values(SimdLevel::kV1, SimdLevel::kV3, SimdLevel::kV4),
                         test::LevelName);

}  // namespace
}  // namespace tsext
