#include "pg/exec/aggregate_key.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tsext/group_table.hpp"
#include "tsext/range_memo.hpp"
#include "tsext/slice.hpp"

#include "pg/base/boundary.hpp"
#include "pg/exec/monotone.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

/// How values of a type become words.
enum class WordKind : uint8_t {
  kInteger,  ///< by value, equal when the bits are
  kReal,     ///< floats: NaN equals NaN, -0 equals 0
  kBytes,    ///< equal when the bytes are: numbered
  kDatum,    ///< equal when the type says so: numbered
};

WordKind KindOf(Oid type, Oid collation) {
  const Oid base = getBaseType(type);
  switch (base) {
    case BOOLOID:
    case CHAROID:
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
    case DATEOID:
    case TIMEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case CASHOID:
      return WordKind::kInteger;
    case FLOAT4OID:
    case FLOAT8OID:
      return WordKind::kReal;
    case TEXTOID:
    case VARCHAROID:
      return !OidIsValid(collation) || get_collation_isdeterministic(collation) ? WordKind::kBytes
                                                                                : WordKind::kDatum;
    case UUIDOID:
    case BYTEAOID:
      return WordKind::kBytes;
    default:
      return type_is_enum(base) ? WordKind::kInteger : WordKind::kDatum;
  }
}

DatumClass ClassOfType(Oid type) {
  FormData_pg_attribute attribute{};
  attribute.atttypid = type;
  get_typlenbyval(type, &attribute.attlen, &attribute.attbyval);
  return ClassOf(&attribute);
}

int64_t RealWord(double value) noexcept {
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  if (value == 0) value = 0;
  return std::bit_cast<int64_t>(value);
}

/// Values of one type as words and back.
class Words {
 public:
  Words(Oid type, Oid collation, MemoryContext context)
      : kind_(KindOf(type, collation)),
        class_(ClassOfType(type)),
        collation_(collation),
        context_(context),
        memory_(context),
        bytes_(&memory_),
        hash_table_(1, &memory_),
        next_(&memory_),
        datums_(&memory_) {
    if (kind_ == WordKind::kDatum)
      order_ = lookup_type_cache(type, TYPECACHE_HASH_PROC_FINFO | TYPECACHE_EQ_OPR_FINFO);
  }

  WordKind kind() const noexcept { return kind_; }
  const DatumClass &datum_class() const noexcept { return class_; }

  int64_t OfDatum(Datum value) {
    switch (kind_) {
      case WordKind::kInteger:
        return DatumToInteger(value, class_);
      case WordKind::kReal:
        return OfReal(class_.length == sizeof(float4) ? DatumGetFloat4(value)
                                                      : DatumGetFloat8(value));
      case WordKind::kBytes: {
        void *detoasted;
        const ByteView view = DatumToBytes(value, class_, &detoasted);
        const int64_t word = OfBytes(view);
        if (detoasted != nullptr) pfree(detoasted);
        return word;
      }
      case WordKind::kDatum:
        break;
    }
    return Number(value);
  }
  int64_t OfReal(double value) noexcept {
    const int64_t word = RealWord(value);
    if (word == 0) (std::signbit(value) ? has_minus_zero_ : has_plus_zero_) = true;
    return word;
  }
  /// Forgets the zeros of an earlier scan.
  void Rescan() noexcept { has_plus_zero_ = has_minus_zero_ = false; }
  /// For the kinds kBytes and kDatum.
  int64_t OfBytes(ByteView value) {
    if (kind_ == WordKind::kDatum) return Number(BytesToDatum(value, class_));
    const uint32_t number = bytes_.Find(value);
    if (number == datums_.size()) datums_.push_back(0);
    return number;
  }

  Datum Value(int64_t word) {
    if (kind_ == WordKind::kInteger) return IntegerToDatum(word, class_);
    if (kind_ == WordKind::kReal) {
      auto value = std::bit_cast<double>(word);
      if (word == 0 && has_minus_zero_ && !has_plus_zero_) value = -0.0;
      return class_.length == sizeof(float4) ? Float4GetDatum(static_cast<float>(value))
                                             : Float8GetDatum(value);
    }
    Datum &datum = datums_[static_cast<size_t>(word)];
    if (kind_ == WordKind::kBytes && datum == 0) {
      MemoryContext old = MemoryContextSwitchTo(context_);
      datum = BytesToDatum(bytes_.Value(static_cast<uint32_t>(word)), class_);
      MemoryContextSwitchTo(old);
    }
    return datum;
  }

 private:
  /// Numbers by the type's own hash function and equality. Values of one hash are chained.
  int64_t Number(Datum value) {
    const auto hash = static_cast<int64_t>(
        DatumGetUInt32(FunctionCall1Coll(&order_->hash_proc_finfo, collation_, value)));
    const uint32_t chain = hash_table_.Find(&hash);
    if (chain == first_.size()) first_.push_back(-1);
    for (int64_t number = first_[chain]; number >= 0; number = next_[static_cast<size_t>(number)]) {
      if (DatumGetBool(FunctionCall2Coll(&order_->eq_opr_finfo, collation_,
                                         datums_[static_cast<size_t>(number)], value)))
        return number;
    }
    MemoryContext old = MemoryContextSwitchTo(context_);
    const Datum copy = class_.length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value))
                                           : datumCopy(value, class_.by_value, class_.length);
    MemoryContextSwitchTo(old);
    datums_.push_back(copy);
    next_.push_back(first_[chain]);
    return first_[chain] = static_cast<int64_t>(datums_.size()) - 1;
  }

  WordKind kind_;
  // Zeros are one word: it is -0 where all of them were.
  bool has_plus_zero_ = false;
  bool has_minus_zero_ = false;
  DatumClass class_;
  Oid collation_;
  MemoryContext context_;
  ContextResource memory_;
  BytesTable bytes_;
  TypeCacheEntry *order_ = nullptr;
  GroupTable hash_table_;
  std::pmr::vector<int64_t> first_{&memory_};  // of each hash: the value numbered last
  std::pmr::vector<int64_t> next_;             // of each value: the one before with this hash
  std::pmr::vector<Datum> datums_;             // kBytes: 0 until it is asked for
};

/// A column of integers or floats.
class NumberColumnKey final : public Key {
 public:
  NumberColumnKey(const Var *column, Oid collation, MemoryContext context)
      : column_(column->varattno), words_(column->vartype, collation, context) {
    std::fill(std::begin(runs.nulls), std::end(runs.nulls), false);
  }
  void Split(const BatchInput &input) override {
    const Vector &vector = *BatchColumn(input.scan, column_);
    const uint32_t rows = input.batch->rows;
    if (words_.kind() == WordKind::kInteger && !vector.any_null) {
      if (has_had_nulls_) std::fill(std::begin(runs.nulls), std::end(runs.nulls), false);
      has_had_nulls_ = false;
      const int64_t *values = vector.integers + input.begin;
      runs.count = FindRuns(values, input.end - input.begin, runs.begins);
      for (uint32_t i = 0; i < runs.count; i++) runs.words[i] = values[runs.begins[i]];
      runs.Shift(input.begin, rows);
      return;
    }
    has_had_nulls_ = true;
    runs.Start();
    for (uint32_t row = input.begin; row < input.end; row++) {
      const bool is_null = vector.IsNull(row);
      runs.Add(row, is_null ? 0 : WordAt(vector, row), is_null);
    }
    runs.Finish(rows);
  }
  bool TakeFooter(const FooterSource &source, int64_t *word) override {
    FooterColumn column;
    if (words_.kind() != WordKind::kInteger || !source.Column(column_, &column) ||
        !column.has_range || !column.has_null_count || column.nulls != 0)
      return false;
    *word = column.min_integer;
    return column.min_integer == column.max_integer;
  }
  Datum Value(int64_t word) override { return words_.Value(word); }
  const char *Method() const override { return "column"; }
  void Rescan() override { words_.Rescan(); }

 private:
  int64_t WordAt(const Vector &vector, uint32_t row) {
    if (words_.kind() == WordKind::kInteger) return vector.integers[row];
    return words_.OfReal(vector.type == PhysicalType::kFloat32 ? vector.floats[row]
                                                               : vector.doubles[row]);
  }
  AttrNumber column_;
  Words words_;
  bool has_had_nulls_ = false;
};

/// A column of text and the like: by the codes of its dictionary, where it has one.
class BytesColumnKey final : public Key {
 public:
  BytesColumnKey(const Var *column, Oid collation, MemoryContext context)
      : column_(column->varattno),
        words_(column->vartype, collation, context),
        memory_(context),
        code_words_(&memory_) {}
  void Split(const BatchInput &input) override {
    const CodeVector *codes = BatchCodes(input.scan, column_);
    MemoryContext old = MemoryContextSwitchTo(input.memory);
    if (codes != nullptr)
      SplitCodes(input, *codes);
    else
      SplitBytes(input);
    MemoryContextSwitchTo(old);
  }
  bool TakeFooter(const FooterSource &source, int64_t *word) override {
    FooterColumn column;
    if (words_.kind() != WordKind::kBytes || !source.Column(column_, &column) ||
        column.footer == nullptr || column.nulls != 0 || column.type != PhysicalType::kText)
      return false;
    const Statistic &min = column.footer->min;
    const Statistic &max = column.footer->max;
    if (!min.valid || !max.valid || min.truncated || max.truncated || min.bytes != max.bytes)
      return false;
    *word = words_.OfBytes({reinterpret_cast<const std::byte *>(min.bytes.data()),
                            static_cast<uint32_t>(min.bytes.size())});
    return true;
  }
  Datum Value(int64_t word) override { return words_.Value(word); }
  const char *Method() const override { return "dictionary"; }
  void Rescan() override { segment_ = -1; }

 private:
  void SplitCodes(const BatchInput &input, const CodeVector &codes) {
    if (input.batch->segment->seg != segment_) {
      segment_ = input.batch->segment->seg;
      dictionary_ = BatchDictionary(input.scan, column_);
      code_words_.assign(dictionary_.size(), -1);
    }
    const uint32_t rows = input.batch->rows;
    if (!codes.any_null) {
      const uint32_t *values = codes.codes.data() + input.begin;
      runs.count = FindRuns(values, input.end - input.begin, runs.begins);
      for (uint32_t i = 0; i < runs.count; i++) {
        runs.words[i] = WordOfCode(values[runs.begins[i]]);
        runs.nulls[i] = false;
      }
      runs.Shift(input.begin, rows);
      return;
    }
    runs.Start();
    for (uint32_t row = input.begin; row < input.end; row++) {
      const bool is_null = codes.IsNull(row);
      runs.Add(row, is_null ? 0 : WordOfCode(codes.codes[row]), is_null);
    }
    runs.Finish(rows);
  }
  int64_t WordOfCode(uint32_t code) {
    int64_t &word = code_words_[code];
    if (word < 0) word = words_.OfBytes(dictionary_[code]);
    return word;
  }
  void SplitBytes(const BatchInput &input) {
    const Vector &vector = *BatchColumn(input.scan, column_);
    runs.Start();
    ByteView previous;
    int64_t word = -1;
    for (uint32_t row = input.begin; row < input.end; row++) {
      if (vector.IsNull(row)) {
        runs.Add(row, 0, true);
        continue;
      }
      const ByteView value = vector.bytes[row];
      const bool is_same =
          word >= 0 && value.size == previous.size &&
          (value.data == previous.data || memcmp(value.data, previous.data, value.size) == 0);
      if (!is_same) word = words_.OfBytes(value);
      previous = value;
      runs.Add(row, word, false);
    }
    runs.Finish(input.batch->rows);
  }

  AttrNumber column_;
  Words words_;
  ContextResource memory_;
  int32_t segment_ = -1;
  std::span<const ByteView> dictionary_;
  std::pmr::vector<int64_t> code_words_;
};

/// An expression that rises with an integer column: borders are found by arithmetic where buckets
/// have one width, else by search, and what was found is remembered. PostgreSQL evaluates the
/// expression, for selected rows only.
class MonotoneKey final : public Key {
 public:
  MonotoneKey(Expr *expression, const Monotone &monotone, RowEvaluator *evaluator,
              TupleDesc descriptor, MemoryContext context)
      : monotone_(monotone),
        words_(exprType(reinterpret_cast<Node *>(expression)),
               exprCollation(reinterpret_cast<Node *>(expression)), context),
        column_class_(ClassOf(TupleDescAttr(descriptor, monotone.column - 1))),
        evaluator_(evaluator),
        expression_(ExecInitExpr(expression, evaluator->child)),
        memory_(context),
        memo_(&memory_),
        era_{monotone.zones, 1, 0} {}

  void Split(const BatchInput &input) override {
    const Vector &vector = *BatchColumn(input.scan, monotone_.column);
    const Selection *selection = input.gaps();
    runs.Start();
    if (vector.any_null || (selection != nullptr && monotone_.width == 0)) {
      ForEachRow(selection, input.begin, input.end, [&](uint32_t row) {
        if (vector.IsNull(row))
          runs.Add(row, 0, true);
        else
          Add(row, Find(vector.integers[row]));
      });
    } else {
      SplitRising(vector.integers, input.begin, input.end, selection);
    }
    runs.Finish(input.batch->rows);
  }
  bool TakeFooter(const FooterSource &source, int64_t *word) override {
    FooterColumn column;
    if (!source.Column(monotone_.column, &column) || !column.has_range || !column.has_null_count ||
        column.nulls != 0)
      return false;
    // Both ends are values of rows, so the expression may be evaluated there.
    const Range first = Find(column.min_integer);
    *word = first.word;
    return !first.is_null && first.to >= column.max_integer;
  }
  Datum Value(int64_t word) override { return words_.Value(word); }
  void SetBound(BatchOrder order, int64_t bound) override {
    bound_order_ = order;
    bound_ = bound;
  }
  void Rescan() override {
    bound_order_ = BatchOrder::kAny;
    memo_.Clear();
    words_.Rescan();
    has_anchor_ = false;
  }
  bool BucketOf(int64_t time, int64_t *start) override {
    // The ends stand for "anything", and need not be values of the column's type.
    if (time == kTimeMinimum || time == kTimeMaximum || !IsFixed(time)) return false;
    *start = Find(time).word;
    return true;
  }
  const char *Method() const override { return monotone_.width > 0 ? "buckets" : "search"; }

 private:
  using Range = RangeMemo::Range;

  void Add(uint32_t row, const Range &range) { runs.Add(row, range.word, range.is_null); }

  /// The rows first .. last - 1. selection: nullptr when all of them are selected.
  void SplitRising(const int64_t *values, uint32_t first, uint32_t last,
                   const Selection *selection) {
    uint16_t begins[kVectorSize + 1];
    const uint32_t count = FindAscendingRuns(values + first, last - first, begins);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t row = first + begins[i];
      const uint32_t run_end = first + begins[i + 1];
      uint32_t end = run_end;
      // What is not wanted is one run of whatever bucket.
      if (bound_order_ == BatchOrder::kNewest && IsFixed(values[row]) &&
          Find(values[row]).word < bound_) {
        Add(row, Find(values[row]));
        row = static_cast<uint32_t>(std::lower_bound(values + row, values + end, bound_) - values);
      } else if (bound_order_ == BatchOrder::kOldest && IsFixed(values[end - 1]) &&
                 Find(values[end - 1]).word > bound_) {
        end = FirstOfLast(values, row, end);
      }
      while (row < end) {
        // Rows that are not selected may hold what the expression does not bear.
        if (selection != nullptr && !selection->IsSelected(row) && !IsFixed(values[row])) {
          row++;
          continue;
        }
        Range range = Find(values[row]);
        uint32_t next = FirstAbove(values, row, end, range.to);
        if (next < end && selection == nullptr && !IsFixed(values[next - 1])) {
          range = Gallop(values, next - 1, end, range);
          next = FirstAbove(values, next - 1, end, range.to);
        }
        Add(row, range);
        row = next;
      }
      if (end < run_end) Add(end, Find(values[end]));
    }
  }

  /// The first row of begin .. end - 1, whose values rise, that starts a bucket after bound_.
  uint32_t FirstOfLast(const int64_t *values, uint32_t begin, uint32_t end) const {
    int64_t limit;
    if (__builtin_add_overflow(bound_, monotone_.width, &limit)) return end;
    return static_cast<uint32_t>(std::lower_bound(values + begin, values + end, limit) - values);
  }

  /// The first row of row + 1 .. end - 1 whose value is above `limit`, or `end`. Values rise, that
  /// of `row` is not above.
  static uint32_t FirstAbove(const int64_t *values, uint32_t row, uint32_t end, int64_t limit) {
    uint32_t low = row;
    uint32_t step = 1;
    while (low + step < end && values[low + step] <= limit) {
      low += step;
      step *= 2;
    }
    return static_cast<uint32_t>(
        std::upper_bound(values + low, values + std::min(low + step, end), limit) - values);
  }

  /// Whether buckets of one width hold at `value`.
  bool IsFixed(int64_t value) const {
    if (monotone_.width == 0 || !has_anchor_ || value < monotone_.least) return false;
    switch (monotone_.column_type) {
      case DATEOID:
        return value < std::numeric_limits<int32_t>::max();
      case TIMESTAMPOID:
      case TIMESTAMPTZOID:
        return value < std::numeric_limits<int64_t>::max();
      default:
        return true;
    }
  }

  /// A range around `value` in which the expression is constant.
  Range Find(int64_t value) {
    if (IsFixed(value)) {
      int64_t distance;
      if (!__builtin_sub_overflow(value, anchor_, &distance)) {
        int64_t into = distance % monotone_.width;
        if (into < 0) into += monotone_.width;
        const int64_t start = value - into;
        int64_t to;
        if (__builtin_add_overflow(start, monotone_.width - 1, &to)) to = value;
        return {start, to, start, false};
      }
    }
    if (const Range *known = memo_.Find(value)) return *known;
    return Evaluate(value);
  }

  Range Evaluate(int64_t value) {
    bool is_null;
    const Datum datum = EvaluateOver(evaluator_, expression_, monotone_.column,
                                     IntegerToDatum(value, column_class_), &is_null);
    const int64_t word = is_null ? 0 : words_.OfDatum(datum);
    if (monotone_.width > 0 && !is_null && !has_anchor_ && value >= monotone_.least) {
      anchor_ = word;
      has_anchor_ = true;
      // Infinity is its own bucket and no start of others.
      has_anchor_ = IsFixed(value);
    }
    if (monotone_.zones != NIL) FindZoneEra(&era_, value);
    const int64_t from = monotone_.zones != NIL ? era_.from : std::numeric_limits<int64_t>::min();
    return memo_.Add(value, word, is_null, from);
  }

  /// Extends `range`, which ends with the value of `row`, over the rows that follow.
  Range Gallop(const int64_t *values, uint32_t row, uint32_t end, Range range) {
    int64_t limit = std::numeric_limits<int64_t>::max();
    if (monotone_.zones != NIL) {
      FindZoneEra(&era_, values[row]);
      limit = era_.to;
    }
    const auto is_same = [&](uint32_t at) {
      if (values[at] > limit) return false;
      const Range *known = memo_.Find(values[at]);
      const Range other = known != nullptr ? *known : Evaluate(values[at]);
      return other.word == range.word && other.is_null == range.is_null;
    };
    uint32_t low = row;
    uint32_t step = 1;
    while (low + step < end && is_same(low + step)) {
      low += step;
      step *= 2;
    }
    uint32_t high = std::min(low + step, end);
    while (low + 1 < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (is_same(middle))
        low = middle;
      else
        high = middle;
    }
    range.to = values[low];
    return memo_.Join(range);
  }

  Monotone monotone_;
  Words words_;
  DatumClass column_class_;
  RowEvaluator *evaluator_;
  ExprState *expression_;
  ContextResource memory_;
  RangeMemo memo_;
  ZoneEra era_;
  int64_t anchor_ = 0;  // the start of some bucket
  bool has_anchor_ = false;
  BatchOrder bound_order_ = BatchOrder::kAny;
  int64_t bound_ = 0;
};

/// Any other expression, row by row; one without columns once a scan.
class ExpressionKey final : public Key {
 public:
  ExpressionKey(Expr *expression, RowEvaluator *evaluator, MemoryContext context)
      : words_(exprType(reinterpret_cast<Node *>(expression)),
               exprCollation(reinterpret_cast<Node *>(expression)), context),
        evaluator_(evaluator) {
    RowExpression *rows = MakeRowExpression(evaluator, expression);
    if (contain_var_clause(reinterpret_cast<Node *>(expression)))
      row_expression = rows;
    else
      constant_ = rows->state;
  }
  void Split(const BatchInput &input) override {
    const uint32_t rows = input.batch->rows;
    runs.Start();
    if (constant_ != nullptr) {
      bool is_null;
      const Datum value = EvaluateOver(evaluator_, constant_, 0, 0, &is_null);
      runs.Add(0, is_null ? 0 : words_.OfDatum(value), is_null);
    } else {
      const RowExpression &values = *row_expression;
      ForEachRow(input.selection(), 0, rows, [&](uint32_t row) {
        const bool is_null = values.nulls[row];
        runs.Add(row, is_null ? 0 : words_.OfDatum(values.values[row]), is_null);
      });
    }
    runs.Finish(rows);
  }
  Datum Value(int64_t word) override { return words_.Value(word); }
  const char *Method() const override { return constant_ != nullptr ? "constant" : "row by row"; }
  void Rescan() override { words_.Rescan(); }

 private:
  Words words_;
  RowEvaluator *evaluator_;
  ExprState *constant_ = nullptr;
};

}  // namespace

bool IsGroupable(Oid type, Oid equality) {
  const TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_HASH_PROC);
  return entry->eq_opr == equality && OidIsValid(entry->hash_proc);
}

Key *MakeKey(Expr *expression, RowEvaluator *evaluator, TupleDesc descriptor,
             MemoryContext context) {
  MemoryContext old = MemoryContextSwitchTo(context);
  Key *key = nullptr;
  Monotone monotone;
  if (IsA(expression, Var)) {
    const auto *column = reinterpret_cast<Var *>(expression);
    const WordKind kind = KindOf(column->vartype, column->varcollid);
    const bool is_number =
        IsInteger(ClassOfType(column->vartype).type) || IsFloat(ClassOfType(column->vartype).type);
    if (kind == WordKind::kInteger || kind == WordKind::kReal)
      key = New<NumberColumnKey>(context, column, column->varcollid, context);
    else if (!is_number)
      key = New<BytesColumnKey>(context, column, column->varcollid, context);
  } else if (IsMonotone(expression, &monotone)) {
    key = New<MonotoneKey>(context, expression, monotone, evaluator, descriptor, context);
  }
  if (key == nullptr) key = New<ExpressionKey>(context, expression, evaluator, context);
  MemoryContextSwitchTo(old);
  return key;
}

}  // namespace tsext::pg
