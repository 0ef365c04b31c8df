#include "pg/job/policy_offset.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/integer_now.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

[[noreturn]] void WrongType(const char *name, const char *type, Oid time_type) {
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
           errmsg("\"%s\" is of type %s, which does not suit times of type %s", name, type,
                  format_type_be(time_type)),
           IsIntegerTimeType(time_type) ? errhint("Give an integer in the unit of the time column.")
                                        : errhint("Give an interval, such as '30 days'.")));
}

void CheckSign(const char *name, const PolicyOffset &offset, OffsetSign sign) {
  const Interval &interval = offset.interval;
  const bool has_positive = offset.is_integer
                                ? offset.integer > 0
                                : interval.month > 0 || interval.day > 0 || interval.time > 0;
  const bool has_negative = offset.is_integer
                                ? offset.integer < 0
                                : interval.month < 0 || interval.day < 0 || interval.time < 0;
  if (has_positive && has_negative) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"%s\" mixes positive and negative parts", name)));
  }
  if (has_negative || (!has_positive && sign == OffsetSign::kPositive)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg(sign == OffsetSign::kPositive ? "\"%s\" must be greater than zero"
                                                         : "\"%s\" must not be negative",
                           name),
                    errdetail("It counts back from now.")));
  }
}

PolicyOffset OffsetOfText(const char *text, Oid time_type) {
  PolicyOffset offset{};
  offset.is_integer = IsIntegerTimeType(time_type);
  if (offset.is_integer) {
    offset.integer = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text)));
  } else {
    offset.interval = *DatumGetIntervalP(DirectFunctionCall3(
        interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
  }
  return offset;
}

}  // namespace

PolicyOffset OffsetArgument(FunctionCallInfo fcinfo, int index, Oid time_type, const char *name,
                            OffsetSign sign) {
  PolicyOffset offset{};
  if (PG_ARGISNULL(index)) {
    offset.is_null = true;
    return offset;
  }
  const Oid type = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, index));
  const Datum value = PG_GETARG_DATUM(index);
  if (type == UNKNOWNOID) {
    offset = OffsetOfText(DatumGetCString(value), time_type);
  } else if (type == TEXTOID || type == VARCHAROID) {
    offset = OffsetOfText(TextDatumGetCString(value), time_type);
  } else if (type == INTERVALOID && !IsIntegerTimeType(time_type)) {
    offset.interval = *DatumGetIntervalP(value);
  } else if (IsIntegerTimeType(type) && IsIntegerTimeType(time_type)) {
    offset.is_integer = true;
    offset.integer = TimeOfDatum(value, type);
  } else {
    WrongType(name, format_type_be(type), time_type);
  }
  CheckSign(name, offset, sign);
  return offset;
}

void AppendOffset(StringInfo json, const char *key, const PolicyOffset &offset) {
  escape_json(json, key);
  appendStringInfoString(json, ": ");
  if (offset.is_null) {
    appendStringInfoString(json, "null");
  } else if (offset.is_integer) {
    appendStringInfo(json, INT64_FORMAT, offset.integer);
  } else {
    Interval interval = offset.interval;
    struct pg_itm parts;
    char text[MAXDATELEN + 1];
    interval2itm(interval, &parts);
    EncodeInterval(&parts, INTSTYLE_POSTGRES, text);
    escape_json(json, text);
  }
}

PolicyOffset OffsetOfConfig(const Jsonb *config, const char *key, Oid time_type, OffsetSign sign) {
  PolicyOffset offset{};
  offset.is_null = true;
  if (config == nullptr || !JB_ROOT_IS_OBJECT(config)) return offset;
  JsonbValue value;
  if (getKeyJsonValueFromContainer(const_cast<JsonbContainer *>(&config->root), key,
                                   static_cast<int>(strlen(key)), &value) == nullptr ||
      value.type == jbvNull)
    return offset;
  if (value.type == jbvString) {
    offset = OffsetOfText(pnstrdup(value.val.string.val, value.val.string.len), time_type);
  } else if (value.type == jbvNumeric && IsIntegerTimeType(time_type)) {
    offset.is_null = false;
    offset.is_integer = true;
    offset.integer =
        DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
  } else {
    WrongType(key, JsonbTypeName(&value), time_type);
  }
  CheckSign(key, offset, sign);
  return offset;
}

void CheckPolicyConfig(const Jsonb *config, const ConfigKey *keys, int count) {
  StringInfoData names;
  initStringInfo(&names);
  for (int i = 0; i < count; i++)
    appendStringInfo(&names, "%s\"%s\"", i == 0 ? "" : ", ", keys[i].name);
  int found = 0;
  for (int i = 0; i < count && config != nullptr && JB_ROOT_IS_OBJECT(config); i++) {
    JsonbValue value;
    if (getKeyJsonValueFromContainer(const_cast<JsonbContainer *>(&config->root), keys[i].name,
                                     static_cast<int>(strlen(keys[i].name)), &value) == nullptr ||
        (value.type == jbvNull && !keys[i].may_be_null))
      continue;
    found++;
    const bool is_number = value.type == jbvNumeric ||
                           (value.type == jbvString &&
                            strspn(pnstrdup(value.val.string.val, value.val.string.len),
                                   "-0123456789") == static_cast<size_t>(value.val.string.len));
    (void)OffsetOfConfig(config, keys[i].name, is_number ? INT8OID : TIMESTAMPTZOID, keys[i].sign);
  }
  if (found == count && found == static_cast<int>(JB_ROOT_COUNT(config))) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("the config of this policy does not fit"),
                  errdetail("It is an object with nothing but: %s.", names.data)));
}

int64_t TimeBeforeNow(Relation base, const PolicyOffset &offset, const char *name) {
  if (offset.is_integer) {
    int64_t time;
    if (pg_sub_s64_overflow(IntegerNow(base), offset.integer, &time)) return kTimeMinimum;
    return time;
  }
  Interval interval = offset.interval;
  return TimeArgument(IntervalPGetDatum(&interval), INTERVALOID, GetTableOptions(base)->time_type,
                      name);
}

}  // namespace tsext::pg
