#include "pg/exec/transition.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tsext/group_table.hpp"
#include "tsext/real_moments.hpp"
#include "tsext/slice.hpp"

#include "pg/base/boundary.hpp"
#include "pg/exec/aggregate_key.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_agg.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {

namespace {

/// Runs of so many rows at most are gone through here: a kernel would only just have begun.
constexpr int kShortRun = 12;

DatumClass ClassOfType(Oid type) {
  FormData_pg_attribute attribute{};
  attribute.atttypid = type;
  get_typlenbyval(type, &attribute.attlen, &attribute.attbyval);
  return ClassOf(&attribute);
}

/// The attribute of a plain column of the table, 0 for other expressions.
AttrNumber ColumnOf(const Expr *expression) {
  const auto *node = reinterpret_cast<const Node *>(expression);
  return IsA(node, Var) ? reinterpret_cast<const Var *>(node)->varattno : 0;
}

Expr *ArgumentOf(const Aggref *aggregate, int index) {
  return static_cast<TargetEntry *>(list_nth(aggregate->args, index))->expr;
}

template <typename State>
State &At(std::byte *state) {
  return *reinterpret_cast<State *>(state);
}
template <typename State>
const State &At(const std::byte *state) {
  return *reinterpret_cast<const State *>(state);
}

class CountRowsTransition final : public Transition {
 public:
  uint32_t state_size() const noexcept override { return sizeof(int64_t); }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    const bool is_filtered = filter != nullptr;
    for (const GroupRun &run : runs)
      At<int64_t>(states.At(run.group) + offset) +=
          is_filtered ? CountRows(SliceOf(run, selection)) : run.rows;
  }
  bool TakeFooter(const FooterSource &source, std::byte *state) override {
    if (state != nullptr) At<int64_t>(state) += source.rows();
    return true;
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    *is_null = false;
    return Int64GetDatum(At<int64_t>(state));
  }
};

/// count(x) of any type.
class CountTransition final : public Transition {
 public:
  CountTransition(const Aggref *aggregate, const TransitionContext &context)
      : column_(ColumnOf(ArgumentOf(aggregate, 0))) {
    if (column_ != 0) return;
    row_arguments = static_cast<RowExpression **>(palloc(sizeof(RowExpression *)));
    row_arguments[0] = MakeRowExpression(context.evaluator, ArgumentOf(aggregate, 0));
    UseVectors(context.evaluator, row_arguments[0], ArgumentOf(aggregate, 0));
    row_argument_count = 1;
  }
  uint32_t state_size() const noexcept override { return sizeof(int64_t); }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    const Vector *vector =
        column_ != 0 ? BatchColumn(input.scan, column_) : row_arguments[0]->result;
    for (const GroupRun &run : runs) {
      uint32_t count = 0;
      if (vector != nullptr) {
        count = CountValues(*vector, SliceOf(run, selection));
      } else {
        const bool *nulls = row_arguments[0]->nulls;
        ForEachRow(selection, run.begin, run.end, [&](uint32_t row) { count += !nulls[row]; });
      }
      At<int64_t>(states.At(run.group) + offset) += count;
    }
  }
  bool TakeFooter(const FooterSource &source, std::byte *state) override {
    FooterColumn column;
    if (column_ == 0 || !source.Column(column_, &column) || !column.has_null_count) return false;
    if (state != nullptr) At<int64_t>(state) += source.rows() - static_cast<int64_t>(column.nulls);
    return true;
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    *is_null = false;
    return Int64GetDatum(At<int64_t>(state));
  }

 private:
  AttrNumber column_;
};

/// count(DISTINCT x): the pairs of group and value there have been.
class CountDistinctTransition final : public Transition {
 public:
  CountDistinctTransition(const Aggref *aggregate, const TransitionContext &context)
      : key_(MakeKey(ArgumentOf(aggregate, 0), context.evaluator, context.descriptor,
                     context.context)),
        memory_(context.context),
        seen_(2, &memory_) {
    row_arguments = &key_->row_expression;
    row_argument_count = key_->row_expression != nullptr ? 1 : 0;
  }
  uint32_t state_size() const noexcept override { return sizeof(int64_t); }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    // The key looks at the rows that have passed the FILTER only.
    Batch batch = *input.batch;
    if (selection != nullptr) batch.selection = *selection;
    batch.is_whole = selection == nullptr;
    key_->Split(BatchInput(input.scan, batch, input.memory));
    const KeyRuns &values = key_->runs;
    uint32_t at = 0;
    for (const GroupRun &run : runs) {
      auto &count = At<int64_t>(states.At(run.group) + offset);
      for (uint32_t row = run.begin; row < run.end;) {
        while (values.begins[at + 1] <= row) at++;
        const uint32_t end = std::min<uint32_t>(run.end, values.begins[at + 1]);
        if (!values.nulls[at] && CountRows({row, end, selection}) > 0)
          count += Note(run.group, values.words[at]);
        row = end;
      }
    }
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    *is_null = false;
    return Int64GetDatum(At<int64_t>(state));
  }
  size_t memory_bytes() const override { return seen_.memory_bytes(); }
  void Clear() override { seen_.Clear(); }
  void Rescan() override { key_->Rescan(); }

 private:
  /// 1 when the value is new to the group.
  int64_t Note(uint32_t group, int64_t word) {
    const int64_t pair[2] = {group, word};
    const uint32_t size = seen_.size();
    seen_.Find(pair);
    return seen_.size() - size;
  }

  Key *key_;
  ContextResource memory_;
  GroupTable seen_;
};

/// A transition over one vector of numbers.
class NumberTransition : public Transition {
 public:
  NumberTransition(const Aggref *aggregate, const TransitionContext &context) {
    Expr *expression = ArgumentOf(aggregate, 0);
    argument_.column = ColumnOf(expression);
    argument_.type = ClassOfType(exprType(reinterpret_cast<Node *>(expression)));
    if (argument_.column != 0) return;
    argument_.expression = MakeRowExpression(context.evaluator, expression);
    UseVectors(context.evaluator, argument_.expression, expression);
    argument_.values = New<Vector>(context.context, std::pmr::null_memory_resource());
    row_arguments = &argument_.expression;
    row_argument_count = 1;
  }

 protected:
  /// What footers say of the argument; false when nothing.
  bool FooterOf(const FooterSource &source, FooterColumn *column) const {
    return argument_.column != 0 && source.Column(argument_.column, column) &&
           column->type == argument_.type.type;
  }

  VectorArgument argument_{};
};

struct IntegerSumState {
  int64_t count;
  int64_t unused;
  __int128 sum;
  __int128 squares;
};

/// The digits of numericvar_serialize(): of the internal states of numeric.c.
void SendNumeric(StringInfo buffer, __int128 value) {
  uint16_t digits[12];
  int count = 0;
  auto rest =
      value < 0 ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  for (; rest != 0; rest /= 10000) digits[count++] = static_cast<uint16_t>(rest % 10000);
  pq_sendint32(buffer, static_cast<uint32>(count));
  pq_sendint32(buffer, static_cast<uint32>(count == 0 ? 0 : count - 1));  // weight
  pq_sendint32(buffer, value < 0 ? 0x4000 : 0);                           // NUMERIC_NEG
  pq_sendint32(buffer, 0);                                                // scale
  while (count > 0) pq_sendint16(buffer, digits[--count]);
}

/// Sums of integers, exact.
class IntegerSumTransition final : public NumberTransition {
 public:
  IntegerSumTransition(const Aggref *aggregate, const AggregateFunction &function,
                       const TransitionContext &context)
      : NumberTransition(aggregate, context), kind_(function.kind) {
    if (OidIsValid(function.deserialize))
      deserialize_ =
          MakeAggregateCall(function.deserialize, 2, InvalidOid, context.fake, context.context);
  }
  uint32_t state_size() const noexcept override { return sizeof(IntegerSumState); }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    const Vector &vector = ArgumentVector(argument_, input, selection);
    for (const GroupRun &run : runs) {
      const IntegerSummary summary =
          SummarizeIntegers(vector, SliceOf(run, selection), kSummarySum);
      auto &state = At<IntegerSumState>(states.At(run.group) + offset);
      state.count += summary.count;
      state.sum += summary.sum;
      if (kind_ != TransitionKind::kIntegerMoments) continue;
      ForEachRow(selection, run.begin, run.end, [&](uint32_t row) {
        if (!vector.IsNull(row))
          state.squares += static_cast<__int128>(vector.integers[row]) * vector.integers[row];
      });
    }
  }
  bool TakeFooter(const FooterSource &source, std::byte *state) override {
    FooterColumn column;
    if (kind_ == TransitionKind::kIntegerMoments || !FooterOf(source, &column) ||
        !column.has_null_count)
      return false;
    if (column.nulls == source.rows()) return true;
    if (!column.has_sum) return false;
    if (state == nullptr) return true;
    auto &sum = At<IntegerSumState>(state);
    sum.count += source.rows() - static_cast<int64_t>(column.nulls);
    sum.sum += column.integer_sum;
    return true;
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    const auto &sum = At<IntegerSumState>(state);
    *is_null = sum.count == 0 && kind_ != TransitionKind::kIntegerAverage;
    if (*is_null) return 0;
    if (kind_ == TransitionKind::kIntegerSum) return Int64GetDatum(static_cast<int64_t>(sum.sum));
    if (kind_ == TransitionKind::kIntegerAverage) {
      Datum values[2] = {Int64GetDatum(sum.count), Int64GetDatum(static_cast<int64_t>(sum.sum))};
      return PointerGetDatum(construct_array(values, 2, INT8OID, sizeof(int64), true, 'd'));
    }
    bool bytes_are_null;
    deserialize_->args[0] = {Serialized(state, &bytes_are_null), false};
    deserialize_->args[1] = {0, false};
    deserialize_->isnull = false;
    return FunctionCallInvoke(deserialize_);
  }
  Datum Serialized(const std::byte *state, bool *is_null) override {
    const auto &sum = At<IntegerSumState>(state);
    *is_null = sum.count == 0;
    if (*is_null) return 0;
    StringInfoData buffer;
    pq_begintypsend(&buffer);
    pq_sendint64(&buffer, static_cast<uint64>(sum.count));
    SendNumeric(&buffer, sum.sum);
    if (kind_ == TransitionKind::kIntegerMoments) SendNumeric(&buffer, sum.squares);
    return PointerGetDatum(pq_endtypsend(&buffer));
  }

 private:
  TransitionKind kind_;
  FunctionCallInfo deserialize_ = nullptr;
};

/// Sums and variances of floats.
class RealTransition final : public NumberTransition {
 public:
  RealTransition(const Aggref *aggregate, const AggregateFunction &function, bool with_squares,
                 const TransitionContext &context)
      : NumberTransition(aggregate, context),
        state_type_(function.state_type),
        with_squares_(with_squares && function.kind == TransitionKind::kRealMoments) {}
  uint32_t state_size() const noexcept override { return sizeof(RealMoments); }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    const Vector &vector = ArgumentVector(argument_, input, selection);
    const bool is_plain =
        vector.type == PhysicalType::kFloat64 && !vector.any_null && !with_squares_;
    for (const GroupRun &run : runs) {
      auto &state = At<RealMoments>(states.At(run.group) + offset);
      const Slice slice = SliceOf(run, selection);
      if (is_plain && slice.selection == nullptr && run.rows <= kShortRun) {
        double sum = -0.0;
        for (uint32_t row = run.begin; row < run.end; row++) sum += vector.doubles[row];
        if (std::isfinite(sum)) {
          state.AddSum(run.rows, sum);
          continue;
        }
      }
      state.Add(vector, slice, with_squares_);
    }
  }
  bool TakeFooter(const FooterSource &source, std::byte *state) override {
    FooterColumn column;
    if (with_squares_ || !FooterOf(source, &column) || !column.has_null_count) return false;
    const uint64_t count = source.rows() - column.nulls;
    if (count > 0 && !column.has_sum) return false;
    if (state != nullptr && count > 0) At<RealMoments>(state).AddSum(count, column.real_sum);
    return true;
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    const auto &moments = At<RealMoments>(state);
    if (moments.HasOverflown(with_squares_)) float_overflow_error();
    const double sum = moments.Sum();
    *is_null = moments.count == 0 && state_type_ != FLOAT8ARRAYOID;
    if (*is_null) return 0;
    if (state_type_ == FLOAT8OID) return Float8GetDatum(sum);
    if (state_type_ == FLOAT4OID) {
      const auto narrow = static_cast<float>(sum);
      if (std::isinf(narrow) && !std::isinf(sum)) float_overflow_error();
      return Float4GetDatum(narrow);
    }
    Datum values[3] = {Float8GetDatum(static_cast<double>(moments.count)),
                       Float8GetDatum(moments.SumFromZero()), Float8GetDatum(moments.Squares())};
    return PointerGetDatum(construct_array(values, 3, FLOAT8OID, sizeof(float8), true, 'd'));
  }

 private:
  Oid state_type_;
  bool with_squares_;
};

template <typename Number>
struct ExtremeState {
  Number value;
  bool has_value;
};

/// min() and max() of numbers: of the least and greatest of a slice.
template <typename Number, bool is_least>
class ExtremeTransition final : public NumberTransition {
 public:
  using State = ExtremeState<Number>;
  using NumberTransition::NumberTransition;
  uint32_t state_size() const noexcept override { return sizeof(State); }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    const Vector &vector = ArgumentVector(argument_, input, selection);
    const bool is_plain = vector.type != PhysicalType::kFloat32 && !vector.any_null;
    for (const GroupRun &run : runs) {
      auto &state = At<State>(states.At(run.group) + offset);
      const Slice slice = SliceOf(run, selection);
      if (is_plain && slice.selection == nullptr && run.rows <= kShortRun &&
          TakeShort(ValuesOf(vector), run, state))
        continue;
      TakeSlice(vector, slice, state);
    }
  }
  bool TakeFooter(const FooterSource &source, std::byte *state) override {
    FooterColumn column;
    if (!FooterOf(source, &column)) return false;
    const bool is_all_null = column.has_null_count && column.nulls == source.rows();
    if (!column.has_range && !is_all_null) return false;
    if (state == nullptr || is_all_null) return true;
    if constexpr (std::is_same_v<Number, double>)
      Take(1, is_least ? column.min_real : column.max_real, At<State>(state));
    else
      Take(1, is_least ? column.min_integer : column.max_integer, At<State>(state));
    return true;
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    const auto &extreme = At<State>(state);
    *is_null = !extreme.has_value;
    if (*is_null) return 0;
    if constexpr (std::is_same_v<Number, double>)
      return argument_.type.type == PhysicalType::kFloat32
                 ? Float4GetDatum(static_cast<float>(extreme.value))
                 : Float8GetDatum(extreme.value);
    else
      return IntegerToDatum(extreme.value, argument_.type);
  }

 private:
  static const Number *ValuesOf(const Vector &vector) {
    if constexpr (std::is_same_v<Number, double>)
      return vector.doubles;
    else
      return vector.integers;
  }
  /// False when there is a NaN.
  static bool TakeShort(const Number *values, const GroupRun &run, State &state) {
    Number best = values[run.begin];
    bool is_ordered = true;
    for (uint32_t row = run.begin; row < run.end; row++) {
      best = (is_least ? values[row] < best : values[row] > best) ? values[row] : best;
      is_ordered &= values[row] == values[row];
    }
    if (is_ordered) Take(1, best, state);
    return is_ordered;
  }
  static void TakeSlice(const Vector &vector, const Slice &slice, State &state) {
    constexpr uint32_t kPart = is_least ? kSummaryMin : kSummaryMax;
    if constexpr (std::is_same_v<Number, double>) {
      const RealSummary summary = SummarizeReals(vector, slice, kPart);
      Take(summary.count, is_least ? summary.min : summary.max, state);
    } else {
      const IntegerSummary summary = SummarizeIntegers(vector, slice, kPart);
      Take(summary.count, is_least ? summary.min : summary.max, state);
    }
  }
  /// NaN is greater than all else.
  static bool IsLess(Number a, Number b) {
    if constexpr (std::is_same_v<Number, double>)
      return std::isnan(b) ? !std::isnan(a) : a < b;
    else
      return a < b;
  }
  static void Take(uint32_t count, Number value, State &state) {
    if (count == 0) return;
    if (state.has_value && !(is_least ? IsLess(value, state.value) : IsLess(state.value, value)))
      return;
    state = {value, true};
  }
};

struct FirstLastState {
  int64_t time;
  Datum value;  // by reference: in the context of the states
  bool has_time;
  bool value_is_null;
};

/// first() and last() of columns with integer times.
template <bool is_first>
class FirstLastTransition final : public Transition {
 public:
  FirstLastTransition(const Aggref *aggregate, const TransitionContext &context)
      : fake_(context.fake) {
    const auto *value = reinterpret_cast<Node *>(ArgumentOf(aggregate, 0));
    const auto *time = reinterpret_cast<Node *>(ArgumentOf(aggregate, 1));
    value_type_ = exprType(value);
    time_type_ = exprType(time);
    value_.column = ColumnOf(ArgumentOf(aggregate, 0));
    value_.type = ClassOfType(value_type_);
    time_ = ColumnOf(ArgumentOf(aggregate, 1));
    time_class_ = ClassOfType(time_type_);
  }
  uint32_t state_size() const noexcept override { return sizeof(FirstLastState); }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    const Vector &times = *BatchColumn(input.scan, time_);
    for (const GroupRun &run : runs) {
      const Slice slice = SliceOf(run, selection);
      const IntegerSummary summary =
          SummarizeIntegers(times, slice, is_first ? kSummaryMin : kSummaryMax);
      auto &state = At<FirstLastState>(states.At(run.group) + offset);
      const int64_t time = is_first ? summary.min : summary.max;
      if (summary.count == 0) continue;
      if (state.has_time && !(is_first ? time < state.time : time > state.time)) continue;
      Take(input, FindRow(times, slice, time), time, state);
    }
  }
  bool TakeFooter(const FooterSource &source, std::byte *state) override {
    FooterColumn column;
    FooterColumn times;
    if (source.time_attribute() != time_ || !value_.type.by_value ||
        !source.Column(value_.column, &column) || column.type != value_.type.type ||
        !column.has_ends || !source.Column(time_, &times) || !times.has_null_count ||
        times.nulls != 0)
      return false;
    if (state == nullptr) return true;
    auto &extreme = At<FirstLastState>(state);
    const int64_t time = is_first ? column.first_time : column.last_time;
    if (extreme.has_time && !(is_first ? time < extreme.time : time > extreme.time)) return true;
    extreme = {time, EndValue(column), true, false};
    return true;
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    const auto &extreme = At<FirstLastState>(state);
    *is_null = !extreme.has_time || extreme.value_is_null;
    return *is_null ? 0 : extreme.value;
  }
  /// As first_last.cpp lays it out.
  Datum Serialized(const std::byte *state, bool *is_null) override {
    const auto &extreme = At<FirstLastState>(state);
    *is_null = !extreme.has_time;
    if (*is_null) return 0;
    const Datum time = IntegerToDatum(extreme.time, time_class_);
    const Size size = VARHDRSZ + 2 * sizeof(Oid) +
                      datumEstimateSpace(time, false, time_class_.by_value, time_class_.length) +
                      datumEstimateSpace(extreme.value, extreme.value_is_null, value_.type.by_value,
                                         value_.type.length);
    auto *bytes = static_cast<bytea *>(palloc(size));
    SET_VARSIZE(bytes, size);
    char *at = VARDATA(bytes);
    memcpy(at, &value_type_, sizeof(Oid));
    memcpy(at + sizeof(Oid), &time_type_, sizeof(Oid));
    at += 2 * sizeof(Oid);
    datumSerialize(time, false, time_class_.by_value, time_class_.length, &at);
    datumSerialize(extreme.value, extreme.value_is_null, value_.type.by_value, value_.type.length,
                   &at);
    return PointerGetDatum(bytes);
  }

 private:
  /// The first row of the slice that has `time`.
  static uint32_t FindRow(const Vector &times, const Slice &slice, int64_t time) {
    const auto has_time = [&](uint32_t row) {
      return times.integers[row] == time && !times.IsNull(row) &&
             (slice.selection == nullptr || slice.selection->IsSelected(row));
    };
    uint32_t row = slice.begin;
    if constexpr (!is_first) {
      // Nearly always rows rise: look from the end.
      row = slice.end - 1;
      if (has_time(row)) {
        while (row > slice.begin && has_time(row - 1)) row--;
        return row;
      }
      row = slice.begin;
    }
    while (!has_time(row)) row++;
    return row;
  }
  Datum EndValue(const FooterColumn &column) const {
    const double real = is_first ? column.first_real : column.last_real;
    if (value_.type.type == PhysicalType::kFloat32) return Float4GetDatum(static_cast<float>(real));
    if (value_.type.type == PhysicalType::kFloat64) return Float8GetDatum(real);
    return IntegerToDatum(is_first ? column.first_integer : column.last_integer, value_.type);
  }
  void Take(const BatchInput &input, uint32_t row, int64_t time, FirstLastState &state) {
    bool is_null;
    Datum value = ArgumentDatum(value_, input, row, &is_null);
    if (!value_.type.by_value) {
      if (!is_null) {
        MemoryContext old = MemoryContextSwitchTo(fake_->curaggcontext->ecxt_per_tuple_memory);
        value = datumCopy(value, false, value_.type.length);
        MemoryContextSwitchTo(old);
      }
      if (state.has_time && !state.value_is_null) pfree(DatumGetPointer(state.value));
    }
    state = {time, is_null ? 0 : value, true, is_null};
  }

  AggState *fake_;
  DatumArgument value_{};
  AttrNumber time_;
  DatumClass time_class_;
  Oid value_type_, time_type_;
};

struct GenericState {
  Datum value;
  bool is_null;
  bool is_empty;  // strict transition without initial value: the first argument becomes the state
};

/// Any other aggregate: its transition function, row by row.
class GenericTransition final : public Transition {
 public:
  GenericTransition(const Aggref *aggregate, const AggregateFunction &function,
                    const TransitionContext &context)
      : fake_(context.fake) {
    Oid types[FUNC_MAX_ARGS];
    const int type_count = get_aggregate_argtypes(const_cast<Aggref *>(aggregate), types);
    argument_count_ = list_length(aggregate->args);
    call_ = MakeAggregateCall(function.transition, argument_count_ + 1, aggregate->inputcollid,
                              context.fake, context.context);
    Expr *transition_expression;
    build_aggregate_transfn_expr(types, type_count, 0, aggregate->aggvariadic, function.state_type,
                                 aggregate->inputcollid, function.transition, InvalidOid,
                                 &transition_expression, nullptr);
    fmgr_info_set_expr(reinterpret_cast<Node *>(transition_expression), call_->flinfo);
    get_typlenbyval(function.state_type, &state_length_, &state_by_value_);
    arguments_ = static_cast<DatumArgument *>(
        palloc0(sizeof(DatumArgument) * static_cast<size_t>(argument_count_ + 1)));
    row_arguments = static_cast<RowExpression **>(
        palloc(sizeof(RowExpression *) * static_cast<size_t>(argument_count_ + 1)));
    for (int i = 0; i < argument_count_; i++) {
      Expr *expression = ArgumentOf(aggregate, i);
      arguments_[i].column = ColumnOf(expression);
      if (arguments_[i].column != 0) {
        arguments_[i].type = ClassOf(TupleDescAttr(context.descriptor, arguments_[i].column - 1));
      } else {
        arguments_[i].expression = MakeRowExpression(context.evaluator, expression);
        row_arguments[row_argument_count++] = arguments_[i].expression;
      }
    }
    ReadInitialValue(aggregate, function);
  }
  uint32_t state_size() const noexcept override { return sizeof(GenericState); }
  void Start(std::byte *state) override {
    auto &generic = At<GenericState>(state);
    generic.is_null = initial_is_null_;
    generic.is_empty = initial_is_null_;
    generic.value = initial_is_null_ ? 0 : Keep(initial_value_);
  }
  void Advance(const BatchInput &input, std::span<const GroupRun> runs, const Selection *selection,
               GroupStates &states) override {
    MemoryContext old = MemoryContextSwitchTo(input.memory);
    for (const GroupRun &run : runs) {
      auto &state = At<GenericState>(states.At(run.group) + offset);
      ForEachRow(selection, run.begin, run.end,
                 [&](uint32_t row) { AdvanceRow(input, row, state); });
    }
    MemoryContextSwitchTo(old);
  }
  Datum Value(const std::byte *state, bool *is_null) override {
    const auto &generic = At<GenericState>(state);
    *is_null = generic.is_null;
    return generic.value;
  }

 private:
  void ReadInitialValue(const Aggref *aggregate, const AggregateFunction &function) {
    HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate->aggfnoid));
    if (!HeapTupleIsValid(tuple))
      elog(ERROR, "cache lookup failed for aggregate %u", aggregate->aggfnoid);
    const Datum start =
        SysCacheGetAttr(AGGFNOID, tuple, Anum_pg_aggregate_agginitval, &initial_is_null_);
    if (!initial_is_null_) {
      Oid input;
      Oid parameter;
      getTypeInputInfo(function.state_type, &input, &parameter);
      initial_value_ = OidInputFunctionCall(input, TextDatumGetCString(start), parameter, -1);
    }
    ReleaseSysCache(tuple);
  }
  MemoryContext states_context() const { return fake_->curaggcontext->ecxt_per_tuple_memory; }
  Datum Keep(Datum value) const {
    if (state_by_value_) return value;
    MemoryContext old = MemoryContextSwitchTo(states_context());
    const Datum copy = datumCopy(value, false, state_length_);
    MemoryContextSwitchTo(old);
    return copy;
  }
  void Release(Datum value) const {
    if (DatumIsReadWriteExpandedObject(value, false, state_length_))
      DeleteExpandedObject(value);
    else
      pfree(DatumGetPointer(value));
  }
  void AdvanceRow(const BatchInput &input, uint32_t row, GenericState &state) {
    for (int i = 0; i < argument_count_; i++) {
      bool is_null;
      call_->args[i + 1].value = ArgumentDatum(arguments_[i], input, row, &is_null);
      call_->args[i + 1].isnull = is_null;
      if (is_null && call_->flinfo->fn_strict) return;
    }
    if (call_->flinfo->fn_strict) {
      if (state.is_empty) {
        state = {Keep(call_->args[1].value), false, false};
        return;
      }
      if (state.is_null) return;
    }
    call_->args[0] = {state.value, state.is_null};
    call_->isnull = false;
    const Datum value = FunctionCallInvoke(call_);
    Replace(state, value, call_->isnull);
  }
  /// As nodeAgg.c does it: a new by-reference value is copied to where states live, unless it is an
  /// expanded object that the function has put there itself.
  void Replace(GenericState &state, Datum value, bool is_null) {
    if (!state_by_value_ && DatumGetPointer(value) != DatumGetPointer(state.value)) {
      Datum kept = value;
      const bool is_ours =
          !is_null && DatumIsReadWriteExpandedObject(value, false, state_length_) &&
          MemoryContextGetParent(DatumGetEOHP(value)->eoh_context) == states_context();
      if (is_null)
        kept = 0;
      else if (!is_ours)
        kept = Keep(value);
      if (!state.is_null) Release(state.value);
      value = kept;
    }
    state = {value, is_null, false};
  }

  AggState *fake_;
  FunctionCallInfo call_;
  DatumArgument *arguments_;
  int argument_count_;
  int16_t state_length_;
  bool state_by_value_;
  Datum initial_value_ = 0;
  bool initial_is_null_ = true;
};

template <bool is_least>
Transition *MakeExtreme(const Aggref *aggregate, const TransitionContext &context) {
  const DatumClass type = ClassOfType(exprType(reinterpret_cast<Node *>(ArgumentOf(aggregate, 0))));
  if (IsFloat(type.type))
    return New<ExtremeTransition<double, is_least>>(context.context, aggregate, context);
  return New<ExtremeTransition<int64_t, is_least>>(context.context, aggregate, context);
}

Transition *MakeKind(const Aggref *aggregate, const AggregateFunction &function, bool with_squares,
                     const TransitionContext &context) {
  switch (function.kind) {
    case TransitionKind::kCountRows:
      return New<CountRowsTransition>(context.context);
    case TransitionKind::kCount:
      return New<CountTransition>(context.context, aggregate, context);
    case TransitionKind::kCountDistinct:
      return New<CountDistinctTransition>(context.context, aggregate, context);
    case TransitionKind::kIntegerSum:
    case TransitionKind::kIntegerAverage:
    case TransitionKind::kBigSum:
    case TransitionKind::kIntegerMoments:
      return New<IntegerSumTransition>(context.context, aggregate, function, context);
    case TransitionKind::kRealSum:
    case TransitionKind::kRealMoments:
      return New<RealTransition>(context.context, aggregate, function, with_squares, context);
    case TransitionKind::kLeast:
      return MakeExtreme<true>(aggregate, context);
    case TransitionKind::kGreatest:
      return MakeExtreme<false>(aggregate, context);
    case TransitionKind::kFirst:
      return New<FirstLastTransition<true>>(context.context, aggregate, context);
    case TransitionKind::kLast:
      return New<FirstLastTransition<false>>(context.context, aggregate, context);
    case TransitionKind::kGeneric:
      break;
  }
  return New<GenericTransition>(context.context, aggregate, function, context);
}

}  // namespace

Datum Transition::Serialized(const std::byte *state, bool *is_null) {
  serialize->args[0].value = Value(state, is_null);
  serialize->args[0].isnull = *is_null;
  if (*is_null && serialize->flinfo->fn_strict) return 0;
  serialize->isnull = false;
  const Datum bytes = FunctionCallInvoke(serialize);
  *is_null = serialize->isnull;
  return bytes;
}

FunctionCallInfo MakeAggregateCall(Oid function, int arguments, Oid collation, AggState *fake,
                                   MemoryContext context) {
  auto *info = static_cast<FmgrInfo *>(MemoryContextAllocZero(context, sizeof(FmgrInfo)));
  fmgr_info_cxt(function, info, context);
  auto *call = static_cast<FunctionCallInfo>(
      MemoryContextAllocZero(context, SizeForFunctionCallInfo(arguments)));
  InitFunctionCallInfoData(*call, info, static_cast<short>(arguments), collation,
                           reinterpret_cast<Node *>(fake), nullptr);
  return call;
}

Transition *MakeTransition(const Aggref *aggregate, const AggregateFunction &function,
                           bool with_squares, const TransitionContext &context) {
  MemoryContext old = MemoryContextSwitchTo(context.context);
  Transition *transition = MakeKind(aggregate, function, with_squares, context);
  if (aggregate->aggfilter != nullptr) {
    transition->filter = MakeRowExpression(context.evaluator, aggregate->aggfilter);
    transition->condition =
        MakeVectorCondition(context.evaluator, context.relation, aggregate->aggfilter);
  }
  if (OidIsValid(function.serialize))
    transition->serialize =
        MakeAggregateCall(function.serialize, 1, InvalidOid, context.fake, context.context);
  MemoryContextSwitchTo(old);
  return transition;
}

}  // namespace tsext::pg
