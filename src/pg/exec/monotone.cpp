#include "pg/exec/monotone.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "pg/catalog/options.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "datatype/timestamp.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

/// What the arguments beside the rising one must be.
enum class Others : uint8_t {
  kNone,         ///< there are none
  kAny,          ///< anything without columns
  kPositive,     ///< positive constants: a factor or divisor
  kEpoch,        ///< the constant 'epoch'
  kSessionZone,  ///< anything, and the session's time zone is read; the rising one is a column
  kNamedZone,    ///< the last is a constant time zone; the rising one is a column
};

/// A call that rises with argument `rising`.
struct Rule {
  Oid function;
  int rising;  ///< -1: either of two
  Others others;
};

constexpr Rule kRules[] = {
    {F_DATE_TRUNC_TEXT_TIMESTAMP, 1, Others::kAny},
    {F_DATE_TRUNC_TEXT_TIMESTAMPTZ, 1, Others::kSessionZone},
    {F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT, 1, Others::kNamedZone},
    {F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP, 1, Others::kAny},
    {F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ, 1, Others::kAny},
    {F_EXTRACT_TEXT_TIMESTAMP, 1, Others::kEpoch},
    {F_EXTRACT_TEXT_TIMESTAMPTZ, 1, Others::kEpoch},
    {F_EXTRACT_TEXT_DATE, 1, Others::kEpoch},
    {F_DATE_PART_TEXT_TIMESTAMP, 1, Others::kEpoch},
    {F_DATE_PART_TEXT_TIMESTAMPTZ, 1, Others::kEpoch},
    {F_TIMEZONE_TEXT_TIMESTAMPTZ, 1, Others::kNamedZone},
    {F_DATE_TIMESTAMP, 0, Others::kNone},
    {F_DATE_TIMESTAMPTZ, 0, Others::kSessionZone},
    {F_TIMESTAMP_TIMESTAMPTZ, 0, Others::kSessionZone},
    {F_TIMESTAMP_DATE, 0, Others::kNone},
    {F_TO_TIMESTAMP_FLOAT8, 0, Others::kNone},
    {F_INT8_INT4, 0, Others::kNone},
    {F_INT8_INT2, 0, Others::kNone},
    {F_INT4_INT2, 0, Others::kNone},
    {F_INT4_INT8, 0, Others::kNone},
    {F_INT8_FLOAT8, 0, Others::kNone},
    {F_INT4_FLOAT8, 0, Others::kNone},
    {F_INT8_NUMERIC, 0, Others::kNone},
    {F_INT4_NUMERIC, 0, Others::kNone},
    {F_FLOAT8_INT2, 0, Others::kNone},
    {F_FLOAT8_INT4, 0, Others::kNone},
    {F_FLOAT8_INT8, 0, Others::kNone},
    {F_FLOAT8_NUMERIC, 0, Others::kNone},
    {F_NUMERIC_INT2, 0, Others::kNone},
    {F_NUMERIC_INT4, 0, Others::kNone},
    {F_NUMERIC_INT8, 0, Others::kNone},
    {F_NUMERIC_FLOAT8, 0, Others::kNone},
    {F_FLOOR_NUMERIC, 0, Others::kNone},
    {F_CEIL_NUMERIC, 0, Others::kNone},
    {F_CEILING_NUMERIC, 0, Others::kNone},
    {F_ROUND_NUMERIC, 0, Others::kNone},
    {F_TRUNC_NUMERIC, 0, Others::kNone},
    {F_FLOOR_FLOAT8, 0, Others::kNone},
    {F_CEIL_FLOAT8, 0, Others::kNone},
    {F_CEILING_FLOAT8, 0, Others::kNone},
    {F_ROUND_FLOAT8, 0, Others::kNone},
    {F_TRUNC_FLOAT8, 0, Others::kNone},
    {F_NUMERIC_DIV, 0, Others::kPositive},
    {F_FLOAT8DIV, 0, Others::kPositive},
    {F_INT4DIV, 0, Others::kPositive},
    {F_INT8DIV, 0, Others::kPositive},
    {F_INT84DIV, 0, Others::kPositive},
    {F_INT48DIV, 0, Others::kPositive},
    {F_NUMERIC_MUL, -1, Others::kPositive},
    {F_FLOAT8MUL, -1, Others::kPositive},
    {F_INT4MUL, -1, Others::kPositive},
    {F_INT8MUL, -1, Others::kPositive},
    {F_INT84MUL, -1, Others::kPositive},
    {F_INT48MUL, -1, Others::kPositive},
};

/// Whether results may be too large for their type, however harmless the arguments look.
bool MayOverflow(Oid function) {
  switch (function) {
    case F_TIMESTAMP_DATE:
    case F_TO_TIMESTAMP_FLOAT8:
    case F_INT4_INT8:
    case F_INT8_FLOAT8:
    case F_INT4_FLOAT8:
    case F_INT8_NUMERIC:
    case F_INT4_NUMERIC:
    case F_FLOAT8DIV:
    case F_FLOAT8MUL:
    case F_INT4MUL:
    case F_INT8MUL:
    case F_INT84MUL:
    case F_INT48MUL:
      return true;
    default:
      return false;
  }
}

bool IsPositive(Node *node) {
  if (!IsA(node, Const)) return false;
  const auto *constant = reinterpret_cast<Const *>(node);
  if (constant->constisnull) return false;
  switch (constant->consttype) {
    case INT2OID:
      return DatumGetInt16(constant->constvalue) > 0;
    case INT4OID:
      return DatumGetInt32(constant->constvalue) > 0;
    case INT8OID:
      return DatumGetInt64(constant->constvalue) > 0;
    case FLOAT8OID:
      return DatumGetFloat8(constant->constvalue) > 0 &&
             std::isfinite(DatumGetFloat8(constant->constvalue));
    case NUMERICOID: {
      const Numeric number = DatumGetNumeric(constant->constvalue);
      return !numeric_is_nan(number) && !numeric_is_inf(number) &&
             DatumGetBool(DirectFunctionCall2(numeric_gt, constant->constvalue,
                                              NumericGetDatum(int64_to_numeric(0))));
    }
    default:
      return false;
  }
}

double ConstantNumber(Node *node) {
  if (!IsA(node, Const)) return 0;
  const auto *constant = reinterpret_cast<Const *>(node);
  if (constant->constisnull) return 0;
  switch (constant->consttype) {
    case INT2OID:
      return DatumGetInt16(constant->constvalue);
    case INT4OID:
      return DatumGetInt32(constant->constvalue);
    case INT8OID:
      return static_cast<double>(DatumGetInt64(constant->constvalue));
    case FLOAT8OID:
      return DatumGetFloat8(constant->constvalue);
    case NUMERICOID:
      return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, constant->constvalue));
    default:
      return 0;
  }
}

char *ConstantText(Node *node) {
  if (!IsA(node, Const)) return nullptr;
  const auto *constant = reinterpret_cast<Const *>(node);
  if (constant->constisnull || constant->consttype != TEXTOID) return nullptr;
  return TextDatumGetCString(constant->constvalue);
}

/// time_bucket() of this extension, by its C functions. All of them rise with the second argument:
/// buckets of local time, too, follow one another without gap or overlap.
bool IsTimeBucket(Oid function, bool *has_zone) {
  if (function < FirstGenbkiObjectId) return false;
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  bool is_null;
  const Datum source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
  bool found = false;
  if (!is_null) {
    char *symbol = TextDatumGetCString(source);
    constexpr char kPrefix[] = "tsext_time_bucket_";
    found = strncmp(symbol, kPrefix, sizeof kPrefix - 1) == 0;
    *has_zone = strcmp(symbol, "tsext_time_bucket_zone") == 0;
    pfree(symbol);
  }
  ReleaseSysCache(tuple);
  return found;
}

/// Function and arguments of a call, by name or by operator.
bool SplitCall(Expr *expression, Oid *function, List **arguments) {
  if (IsA(expression, FuncExpr)) {
    const auto *call = reinterpret_cast<FuncExpr *>(expression);
    *function = call->funcid;
    *arguments = call->args;
    return !call->funcretset;
  }
  if (!IsA(expression, OpExpr)) return false;
  auto *call = reinterpret_cast<OpExpr *>(expression);
  set_opfuncid(call);
  *function = call->opfuncid;
  *arguments = call->args;
  return !call->opretset;
}

class Recognizer {
 public:
  explicit Recognizer(Monotone *result) : result_(result) {}

  bool Rises(Expr *expression) {
    if (IsA(expression, RelabelType))
      return Rises(reinterpret_cast<RelabelType *>(expression)->arg);
    if (IsA(expression, Var)) return IsColumn(reinterpret_cast<Var *>(expression));
    Oid function;
    List *arguments;
    if (!SplitCall(expression, &function, &arguments)) return false;
    bool has_zone;
    if (IsTimeBucket(function, &has_zone))
      return RisesWith(arguments, 1, Others::kAny) && NoteWidth(function, arguments);
    for (const Rule &rule : kRules) {
      if (rule.function != function) continue;
      result_->may_fail = result_->may_fail || MayOverflow(function);
      const int rising = rule.rising >= 0 ? rule.rising : IsA(linitial(arguments), Const) ? 1 : 0;
      return RisesWith(arguments, rising, rule.others) && NoteWidth(function, arguments);
    }
    return false;
  }

 private:
  bool IsColumn(const Var *column) {
    const Oid type = getBaseType(column->vartype);
    if (column->varattno <= 0 || column->varlevelsup != 0 || !IsTimeType(type)) return false;
    result_->column = column->varattno;
    result_->column_type = type;
    return true;
  }

  bool RisesWith(List *arguments, int rising, Others others) {
    if (list_length(arguments) <= rising) return false;
    for (int i = 0; i < list_length(arguments); i++)
      if (i != rising && !IsAllowed(static_cast<Node *>(list_nth(arguments, i)), others))
        return false;
    auto *inner = static_cast<Expr *>(list_nth(arguments, rising));
    if (others == Others::kSessionZone || others == Others::kNamedZone) {
      if (!IsA(inner, Var)) return false;
      pg_tz *zone = others == Others::kSessionZone
                        ? session_timezone
                        : NamedZone(static_cast<Node *>(list_nth(
                              arguments, rising == 1 && list_length(arguments) > 2 ? 2 : 0)));
      if (zone == nullptr) return false;
      result_->zones = lappend(result_->zones, zone);
    }
    return Rises(inner);
  }

  /// Days or seconds in the column's units.
  double Days(double days) const {
    return result_->column_type == DATEOID ? days : days * USECS_PER_DAY;
  }

  /// Keeps typical_width; called from the inside out. Always true.
  bool NoteWidth(Oid function, List *arguments) {
    double width = 0;
    switch (function) {
      case F_DATE_TRUNC_TEXT_TIMESTAMP:
      case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
      case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
        width = UnitWidth(static_cast<Node *>(linitial(arguments)));
        break;
      case F_DATE_TIMESTAMP:
      case F_DATE_TIMESTAMPTZ:
        width = Days(1);
        break;
      case F_EXTRACT_TEXT_TIMESTAMP:
      case F_EXTRACT_TEXT_TIMESTAMPTZ:
      case F_EXTRACT_TEXT_DATE:
      case F_DATE_PART_TEXT_TIMESTAMP:
      case F_DATE_PART_TEXT_TIMESTAMPTZ:
        unit_ = Days(1.0 / SECS_PER_DAY);
        break;
      case F_NUMERIC_DIV:
      case F_FLOAT8DIV:
      case F_INT4DIV:
      case F_INT8DIV:
      case F_INT84DIV:
      case F_INT48DIV:
        width = unit_ * ConstantNumber(static_cast<Node *>(lsecond(arguments)));
        break;
      default: {
        const auto *first = static_cast<Node *>(linitial(arguments));
        if (!IsA(first, Const) || reinterpret_cast<const Const *>(first)->constisnull) break;
        const auto *constant = reinterpret_cast<const Const *>(first);
        bool has_zone;
        if (constant->consttype == INTERVALOID) {
          const Interval *interval = DatumGetIntervalP(constant->constvalue);
          width = Days(interval->month * 30.4 + interval->day +
                       static_cast<double>(interval->time) / USECS_PER_DAY);
        } else if (IsTimeBucket(function, &has_zone)) {
          width = ConstantNumber(static_cast<Node *>(linitial(arguments)));
        }
      }
    }
    result_->typical_width = std::max(result_->typical_width, width);
    return true;
  }

  double UnitWidth(Node *node) const {
    static constexpr struct {
      const char *name;
      double days;
    } kUnits[] = {{"second", 1.0 / 86400},
                  {"minute", 1.0 / 1440},
                  {"hour", 1.0 / 24},
                  {"day", 1},
                  {"week", 7},
                  {"month", 30.4},
                  {"quarter", 91},
                  {"year", 365}};
    const char *name = ConstantText(node);
    if (name == nullptr) return 0;
    for (const auto &unit : kUnits)
      if (pg_strncasecmp(name, unit.name, strlen(unit.name)) == 0) return Days(unit.days);
    return 0;
  }

  /// Abbreviations have rules of their own; full names have a slash, or are UTC.
  static pg_tz *NamedZone(Node *node) {
    char *name = ConstantText(node);
    if (name == nullptr || (strchr(name, '/') == nullptr && strcmp(name, "UTC") != 0))
      return nullptr;
    return pg_tzset(name);
  }

  static bool IsAllowed(Node *node, Others others) {
    if (contain_var_clause(node) || contain_volatile_functions(node)) return false;
    if (others == Others::kPositive) return IsPositive(node);
    if (others != Others::kEpoch) return true;
    char *unit = ConstantText(node);
    return unit != nullptr && pg_strcasecmp(unit, "epoch") == 0;
  }

  Monotone *result_;
  double unit_ = 1;  // what one is worth in the column's units, after extract(epoch …)
};

int64_t IntervalWidth(const Const *constant) {
  const Interval *interval = DatumGetIntervalP(constant->constvalue);
  int64_t days_us;
  int64_t width;
  if (interval->month != 0 ||
      __builtin_mul_overflow(int64_t{interval->day}, int64_t{USECS_PER_DAY}, &days_us) ||
      __builtin_add_overflow(days_us, interval->time, &width)) {
    return 0;
  }
  return std::max<int64_t>(width, 0);
}

int64_t IntegerConstant(const Const *constant) {
  switch (constant->consttype) {
    case INT2OID:
      return DatumGetInt16(constant->constvalue);
    case INT4OID:
      return DatumGetInt32(constant->constvalue);
    default:
      return DatumGetInt64(constant->constvalue);
  }
}

int64_t LeastOfType(Oid type) {
  switch (type) {
    case INT2OID:
      return PG_INT16_MIN;
    case INT4OID:
      return PG_INT32_MIN;
    case INT8OID:
      return PG_INT64_MIN;
    case DATEOID:
      return DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE;
    default:
      return MIN_TIMESTAMP;
  }
}

/// Fills `width` and `least` for time_bucket() and date_bin() of a column. `least` keeps away from
/// starts below the type's range, which are errors, and, for date_bin(), from times before the
/// origin, where minor versions of PostgreSQL differ at the borders.
void FindWidth(Expr *expression, Monotone *result) {
  Oid function;
  List *arguments;
  if (!SplitCall(expression, &function, &arguments) || list_length(arguments) < 2) return;
  const auto *width = static_cast<Node *>(linitial(arguments));
  if (!IsA(lsecond(arguments), Var) || !IsA(width, Const)) return;
  const auto *constant = reinterpret_cast<const Const *>(width);
  if (constant->constisnull) return;
  bool has_zone = false;
  const bool is_bin = function == F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP ||
                      function == F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ;
  if (!is_bin && (!IsTimeBucket(function, &has_zone) || has_zone)) return;

  int64_t units =
      constant->consttype == INTERVALOID ? IntervalWidth(constant) : IntegerConstant(constant);
  if (result->column_type == DATEOID && units > 0)
    units = USECS_PER_DAY % units == 0 ? 1 : units / USECS_PER_DAY;
  if (units <= 0) return;
  if (__builtin_add_overflow(LeastOfType(result->column_type), units, &result->least)) return;
  if (is_bin) {
    const auto *origin = static_cast<Node *>(lthird(arguments));
    if (!IsA(origin, Const) || reinterpret_cast<const Const *>(origin)->constisnull) return;
    const Timestamp start = DatumGetTimestamp(reinterpret_cast<const Const *>(origin)->constvalue);
    if (TIMESTAMP_NOT_FINITE(start)) return;
    result->least = std::max(result->least, start);
  }
  result->width = units;
}

}  // namespace

bool IsMonotone(Expr *expression, Monotone *result) {
  *result = Monotone{};
  if (IsA(expression, Var)) return false;  // a key of its own kind
  if (!Recognizer(result).Rises(expression)) return false;
  if (result->column == 0) return false;
  FindWidth(expression, result);
  return true;
}

bool IsMonotoneColumn(Expr *expression, Monotone *result) {
  *result = Monotone{};
  return IsA(expression, Var) && Recognizer(result).Rises(expression);
}

bool RisesWith(Node *node, Index rel, AttrNumber attribute) {
  while (node != nullptr && IsA(node, RelabelType))
    node = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(node)->arg);
  if (node == nullptr) return false;
  if (IsA(node, Var))
    return reinterpret_cast<Var *>(node)->varno == static_cast<int>(rel) &&
           reinterpret_cast<Var *>(node)->varattno == attribute;
  int varno;
  Monotone monotone;
  return bms_get_singleton_member(pull_varnos(nullptr, node), &varno) &&
         varno == static_cast<int>(rel) && IsMonotone(reinterpret_cast<Expr *>(node), &monotone) &&
         monotone.column == attribute;
}

void FindZoneEra(ZoneEra *era, int64_t time) {
  if (time >= era->from && time <= era->to) return;
  constexpr int64_t kEpochSeconds =
      (int64_t{POSTGRES_EPOCH_JDATE} - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
  int64_t to = PG_INT64_MAX - 1;
  if (TIMESTAMP_NOT_FINITE(time)) {
    to = time;
  } else {
    const int64_t second = time / USECS_PER_SEC - (time % USECS_PER_SEC < 0 ? 1 : 0);
    const pg_time_t unix_second = second + kEpochSeconds;
    ListCell *cell;
    foreach (cell, era->zones) {
      long offset_before;
      long offset_after;
      int is_dst_before;
      int is_dst_after;
      pg_time_t boundary;
      const int found =
          pg_next_dst_boundary(&unix_second, &offset_before, &is_dst_before, &boundary,
                               &offset_after, &is_dst_after, static_cast<pg_tz *>(lfirst(cell)));
      int64_t end;
      if (found < 0) {
        end = time + 1;
      } else if (found == 0 ||
                 __builtin_mul_overflow(boundary - kEpochSeconds, USECS_PER_SEC, &end)) {
        continue;
      }
      to = std::min(to, end - 1);
    }
  }
  // The same change ends it: then nothing changes between the two times either.
  const bool is_same = era->from <= era->to && era->to == to && time < era->from;
  *era = {era->zones, time, is_same ? std::max(era->to, to) : to};
}

}  // namespace tsext::pg
