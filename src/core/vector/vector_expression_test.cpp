#include "tsext/vector_expression.hpp"

#include <cfenv>
#include <optional>

#include "core/vector/test_vectors.hpp"

namespace tsext {
namespace {

using test::Draw;
using test::MakeSelection;
using test::MakeVector;
using test::RealAt;
using test::Thinning;

constexpr NumberOperation kBinary[] = {NumberOperation::kAdd, NumberOperation::kSubtract,
                                       NumberOperation::kMultiply, NumberOperation::kDivide};
constexpr PhysicalType kIntegers[] = {PhysicalType::kInt16, PhysicalType::kInt32,
                                      PhysicalType::kInt64};
constexpr PhysicalType kReals[] = {PhysicalType::kFloat32, PhysicalType::kFloat64};
constexpr Thinning kSomeThinnings[] = {Thinning::kNone, Thinning::kHalf, Thinning::kMost,
                                       Thinning::kAll};

bool Fits(__int128 value, PhysicalType type) {
  const int bits = type == PhysicalType::kInt16 ? 15 : type == PhysicalType::kInt32 ? 31 : 63;
  const __int128 end = static_cast<__int128>(1) << bits;
  return value >= -end && value < end;
}

/// Nothing: an error.
std::optional<int64_t> Expected(NumberOperation operation, PhysicalType type, int64_t left,
                                int64_t right) {
  __int128 result = left;
  switch (operation) {
    case NumberOperation::kAdd:
      result += right;
      break;
    case NumberOperation::kSubtract:
      result -= right;
      break;
    case NumberOperation::kMultiply:
      result *= right;
      break;
    case NumberOperation::kDivide:
      if (right == 0) return std::nullopt;
      result /= right;
      break;
    case NumberOperation::kNegate:
      result = -result;
      break;
    case NumberOperation::kConvert:
      break;
  }
  if (!Fits(result, type)) return std::nullopt;
  return static_cast<int64_t>(result);
}

/// By what the processor says of the operation, not by looking at its result.
template <typename Real>
std::optional<double> ExpectedReal(NumberOperation operation, double left, double right) {
  volatile Real a = static_cast<Real>(left);
  volatile Real b = static_cast<Real>(right);
  volatile Real result = a;
  std::feclearexcept(FE_ALL_EXCEPT);
  switch (operation) {
    case NumberOperation::kAdd:
      result = a + b;
      break;
    case NumberOperation::kSubtract:
      result = a - b;
      break;
    case NumberOperation::kMultiply:
      result = a * b;
      break;
    case NumberOperation::kDivide:
      if (b == 0 && !std::isnan(a)) return std::nullopt;
      result = a / b;
      break;
    default:
      result = -a;
      break;
  }
  if (std::fetestexcept(FE_OVERFLOW) != 0 && std::isinf(result)) return std::nullopt;
  // Finite by an infinity is 0, exactly.
  if (std::fetestexcept(FE_UNDERFLOW) != 0 && result == 0) return std::nullopt;
  return result;
}

void PutInteger(Vector &vector, uint32_t row, Draw draw, std::mt19937_64 &random) {
  const int64_t value = test::RandomInteger(draw, random);
  vector.integers[row] = vector.type == PhysicalType::kInt16   ? static_cast<int16_t>(value)
                         : vector.type == PhysicalType::kInt32 ? static_cast<int32_t>(value)
                                                               : value;
}

class VectorExpressionTest : public testing::Test {
 protected:
  std::unique_ptr<Vector> Make(PhysicalType type, uint32_t count, Draw draw, Thinning nulls) {
    auto vector = MakeVector(type, count, draw, nulls, random_);
    if (IsInteger(type))
      for (uint32_t row = 0; row < count; row++)
        if (!vector->IsNull(row)) PutInteger(*vector, row, draw, random_);
    return vector;
  }

  /// Calls check(left, right, selection) for many vectors.
  template <typename Check>
  void ForEach(PhysicalType left_type, PhysicalType right_type, const Check &check) {
    for (const Draw draw : test::kDraws) {
      for (const Thinning nulls : kSomeThinnings) {
        for (const Thinning deselected : kSomeThinnings) {
          for (const uint32_t count : {1U, 3U, 64U, 65U, 1024U}) {
            const auto left = Make(left_type, count, draw, nulls);
            const auto right = Make(right_type, count, draw, Thinning::kFew);
            const Selection selection = MakeSelection(count, deselected, random_);
            SCOPED_TRACE(testing::Message() << "draw " << int(draw) << " nulls " << int(nulls)
                                            << " deselected " << int(deselected) << " " << count);
            check(*left, *right, deselected == Thinning::kNone ? nullptr : &selection);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }

  /// expected(row): an optional value; same(row, value): whether that is in out_.
  template <typename Expect, typename Same>
  void Check(NumberOperation operation, PhysicalType type, const Vector &left, const Vector &right,
             const Selection *selection, const Expect &expected, const Same &same) {
    const bool is_unary =
        operation == NumberOperation::kNegate || operation == NumberOperation::kConvert;
    bool raises = false;
    for (uint32_t row = 0; row < left.count; row++) {
      if (selection != nullptr && !selection->IsSelected(row)) continue;
      if (left.IsNull(row) || (!is_unary && right.IsNull(row))) continue;
      raises = raises || !expected(row).has_value();
    }
    ASSERT_EQ(ComputeNumbers(operation, type, left, right, selection, out_), !raises);
    (raises ? raised_ : computed_)++;
    if (raises) return;
    ASSERT_EQ(out_.type, type);
    ASSERT_EQ(out_.count, left.count);
    for (uint32_t row = 0; row < left.count; row++) {
      const bool is_null = left.IsNull(row) || (!is_unary && right.IsNull(row));
      ASSERT_EQ(out_.IsNull(row), is_null) << row;
      if (is_null || (selection != nullptr && !selection->IsSelected(row))) continue;
      ASSERT_TRUE(same(row, *expected(row))) << row << " operation " << int(operation);
    }
  }

  bool SameReal(uint32_t row, double expected) const {
    const double value = RealAt(out_, row);
    if (std::isnan(expected)) return std::isnan(value);
    return value == expected && std::signbit(value) == std::signbit(expected);
  }

  std::mt19937_64 random_{1};
  Vector out_{std::pmr::get_default_resource()};
  int raised_ = 0, computed_ = 0;
};

TEST_F(VectorExpressionTest, Integers) {
  for (const PhysicalType left_type : kIntegers)
    for (const PhysicalType right_type : kIntegers)
      ForEach(left_type, right_type,
              [&](const Vector &left, const Vector &right, const Selection *selection) {
                const PhysicalType type = std::max(left_type, right_type);
                const auto check = [&](NumberOperation operation, PhysicalType result) {
                  Check(
                      operation, result, left, right, selection,
                      [&](uint32_t row) {
                        return Expected(operation, result, left.integers[row], right.integers[row]);
                      },
                      [&](uint32_t row, int64_t value) { return out_.integers[row] == value; });
                };
                for (const NumberOperation operation : kBinary) check(operation, type);
                check(NumberOperation::kNegate, left_type);
                check(NumberOperation::kConvert, right_type);
              });
  EXPECT_GT(raised_, 1000);
  EXPECT_GT(computed_, 1000);
}

TEST_F(VectorExpressionTest, Reals) {
  for (const PhysicalType type : kReals)
    ForEach(type, type, [&](const Vector &left, const Vector &right, const Selection *selection) {
      const auto check = [&](NumberOperation operation) {
        Check(
            operation, type, left, right, selection,
            [&](uint32_t row) {
              const double a = RealAt(left, row);
              const double b = RealAt(right, row);
              return type == PhysicalType::kFloat32 ? ExpectedReal<float>(operation, a, b)
                                                    : ExpectedReal<double>(operation, a, b);
            },
            [&](uint32_t row, double value) { return SameReal(row, value); });
      };
      for (const NumberOperation operation : kBinary) check(operation);
      check(NumberOperation::kNegate);
    });
  EXPECT_GT(raised_, 100);
  EXPECT_GT(computed_, 100);
}

TEST_F(VectorExpressionTest, IntegersToReals) {
  for (const PhysicalType from : kIntegers)
    for (const PhysicalType to : kReals)
      ForEach(from, from, [&](const Vector &left, const Vector &right, const Selection *selection) {
        Check(
            NumberOperation::kConvert, to, left, right, selection,
            [&](uint32_t row) -> std::optional<double> {
              return to == PhysicalType::kFloat32 ? static_cast<float>(left.integers[row])
                                                  : static_cast<double>(left.integers[row]);
            },
            [&](uint32_t row, double value) { return SameReal(row, value); });
      });
  EXPECT_EQ(raised_, 0);
}

TEST_F(VectorExpressionTest, RealsToIntegers) {
  for (const PhysicalType from : kReals)
    for (const PhysicalType to : kIntegers)
      ForEach(from, from, [&](const Vector &left, const Vector &right, const Selection *selection) {
        Check(
            NumberOperation::kConvert, to, left, right, selection,
            [&](uint32_t row) -> std::optional<int64_t> {
              const double value = std::rint(RealAt(left, row));
              if (std::isnan(value) || std::fabs(value) > 1e19) return std::nullopt;
              const auto exact = static_cast<__int128>(value);
              if (!Fits(exact, to)) return std::nullopt;
              return static_cast<int64_t>(exact);
            },
            [&](uint32_t row, int64_t value) { return out_.integers[row] == value; });
      });
  EXPECT_GT(raised_, 100);
  EXPECT_GT(computed_, 100);
}

TEST_F(VectorExpressionTest, RealsToReals) {
  for (const PhysicalType from : kReals)
    for (const PhysicalType to : kReals)
      ForEach(from, from, [&](const Vector &left, const Vector &right, const Selection *selection) {
        Check(
            NumberOperation::kConvert, to, left, right, selection,
            [&](uint32_t row) -> std::optional<double> {
              const double value = RealAt(left, row);
              if (to == PhysicalType::kFloat64) return value;
              const auto narrow = static_cast<float>(value);
              if (std::isfinite(value) && !std::isfinite(narrow)) return std::nullopt;
              if (value != 0 && narrow == 0) return std::nullopt;
              return narrow;
            },
            [&](uint32_t row, double value) { return SameReal(row, value); });
      });
  EXPECT_GT(raised_, 10);
  EXPECT_GT(computed_, 100);
}

TEST_F(VectorExpressionTest, EdgesOfTypes) {
  struct Case {
    NumberOperation operation;
    PhysicalType type;
    int64_t left, right;
    bool is_fine;
  };
  const Case cases[] = {
      {NumberOperation::kDivide, PhysicalType::kInt16, INT16_MIN, -1, false},
      {NumberOperation::kDivide, PhysicalType::kInt32, INT32_MIN, -1, false},
      {NumberOperation::kDivide, PhysicalType::kInt64, INT64_MIN, -1, false},
      {NumberOperation::kDivide, PhysicalType::kInt64, INT64_MIN + 1, -1, true},
      {NumberOperation::kDivide, PhysicalType::kInt32, 1, 0, false},
      {NumberOperation::kMultiply, PhysicalType::kInt64, INT64_MIN, -1, false},
      {NumberOperation::kSubtract, PhysicalType::kInt32, INT32_MIN, 1, false},
      {NumberOperation::kAdd, PhysicalType::kInt16, INT16_MAX - 1, 1, true},
      {NumberOperation::kNegate, PhysicalType::kInt64, INT64_MIN, 0, false},
  };
  for (const Case &one : cases) {
    Vector left(std::pmr::get_default_resource());
    Vector right(std::pmr::get_default_resource());
    left.type = right.type = one.type;
    left.count = right.count = 1;
    left.integers[0] = one.left;
    right.integers[0] = one.right;
    EXPECT_EQ(ComputeNumbers(one.operation, one.type, left, right, nullptr, out_), one.is_fine)
        << one.left << " " << one.right;
  }
}

}  // namespace
}  // namespace tsext
