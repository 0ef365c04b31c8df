// Time values: int64 in the unit of the time column's type, to and from Datums, arguments and text.

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

int64_t TimeOfDate(DateADT date) {
  if (DATE_IS_NOBEGIN(date)) return kTimeMinimum;
  if (DATE_IS_NOEND(date)) return kTimeMaximum;
  return date;
}

[[noreturn]] void WrongType(Oid value_type, Oid time_type, const char *argument_name) {
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
           errmsg("argument \"%s\" is of type %s, which does not suit a time column of type %s",
                  argument_name, format_type_be(value_type), format_type_be(time_type)),
           IsIntegerTimeType(time_type)
               ? errhint("Give an integer in the unit of the time column.")
               : errhint("Give an interval, which counts back from now(), or a time.")));
}

/// True when the text reads as a point in time, as opposed to an interval.
bool IsTimeLiteral(const char *text) {
  char work[MAXDATELEN + MAXDATEFIELDS];
  char *fields[MAXDATEFIELDS];
  int types[MAXDATEFIELDS];
  int count;
  int kind;
  struct pg_tm tm;
  fsec_t fraction;
  int zone;
  if (ParseDateTime(text, work, sizeof work, fields, types, MAXDATEFIELDS, &count) != 0)
    return false;
  return DecodeDateTime(fields, types, count, &kind, &tm, &fraction, &zone) == 0;
}

/// A timestamptz, timestamp or date as one of these three.
Datum ConvertTime(Datum value, Oid from, Oid to) {
  if (from == to) return value;
  PGFunction convert = nullptr;
  if (from == TIMESTAMPTZOID) convert = to == DATEOID ? timestamptz_date : timestamptz_timestamp;
  if (from == TIMESTAMPOID) convert = to == DATEOID ? timestamp_date : timestamp_timestamptz;
  if (from == DATEOID) convert = to == TIMESTAMPOID ? date_timestamp : date_timestamptz;
  return DirectFunctionCall1(convert, value);
}

int64_t BeforeNow(Datum interval, Oid time_type) {
  Datum now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
  if (time_type == TIMESTAMPTZOID)
    return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, now, interval));
  Datum local = DirectFunctionCall1(timestamptz_timestamp, now);
  Datum before = DirectFunctionCall2(timestamp_mi_interval, local, interval);
  return TimeOfDatum(ConvertTime(before, TIMESTAMPOID, time_type), time_type);
}

int64_t TimeOfLiteral(const char *text, Oid time_type, const char *argument_name) {
  if (IsIntegerTimeType(time_type) || IsTimeLiteral(text)) return TimeOfText(text, time_type);
  if (strspn(text, " 0123456789") == strlen(text))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("argument \"%s\" is neither a time nor an interval: \"%s\"",
                           argument_name, text),
                    errhint("Give an interval with its unit, such as '7 days', or a time.")));
  return BeforeNow(DirectFunctionCall3(interval_in, CStringGetDatum(text),
                                       ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)),
                   time_type);
}

}  // namespace

bool IsIntegerTimeType(Oid type) {
  return type == INT8OID || type == INT4OID || type == INT2OID;
}

bool IsTimeType(Oid type) {
  return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID ||
         IsIntegerTimeType(type);
}

int64_t DayOfType(Oid time_type) {
  switch (time_type) {
    case TIMESTAMPTZOID:
    case TIMESTAMPOID:
    case INT8OID:
      return USECS_PER_DAY;
    case INT4OID:
      return SECS_PER_DAY;
    case INT2OID:
      return 10000;
    default:
      return 1;
  }
}

int64_t TimeOfDatum(Datum value, Oid time_type) {
  switch (time_type) {
    case DATEOID:
      return TimeOfDate(DatumGetDateADT(value));
    case INT4OID:
      return DatumGetInt32(value);
    case INT2OID:
      return DatumGetInt16(value);
    default:
      // timestamptz, timestamp: their infinities are the ends of int64 already.
      return DatumGetInt64(value);
  }
}

Datum DatumOfTime(int64_t time, Oid time_type) {
  switch (time_type) {
    case DATEOID:
      if (time == kTimeMinimum) return DateADTGetDatum(DATEVAL_NOBEGIN);
      if (time == kTimeMaximum) return DateADTGetDatum(DATEVAL_NOEND);
      return DateADTGetDatum(static_cast<DateADT>(time));
    case INT4OID:
      return Int32GetDatum(static_cast<int32>(time));
    case INT2OID:
      return Int16GetDatum(static_cast<int16>(time));
    default:
      return Int64GetDatum(time);
  }
}

void TimeTypeRange(Oid time_type, int64_t *minimum, int64_t *maximum) {
  switch (time_type) {
    case TIMESTAMPTZOID:
    case TIMESTAMPOID:
      *minimum = MIN_TIMESTAMP;
      *maximum = END_TIMESTAMP - 1;
      break;
    case DATEOID:
      *minimum = DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE;
      *maximum = DATE_END_JULIAN - POSTGRES_EPOCH_JDATE - 1;
      break;
    case INT4OID:
      *minimum = PG_INT32_MIN;
      *maximum = PG_INT32_MAX;
      break;
    case INT2OID:
      *minimum = PG_INT16_MIN;
      *maximum = PG_INT16_MAX;
      break;
    default:
      *minimum = PG_INT64_MIN;
      *maximum = PG_INT64_MAX;
      break;
  }
}

int64_t TimeArgument(Datum value, Oid value_type, Oid time_type, const char *argument_name) {
  if (!OidIsValid(time_type))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("argument \"%s\" needs a table with a time column", argument_name)));
  switch (value_type) {
    case UNKNOWNOID:
      return TimeOfLiteral(DatumGetCString(value), time_type, argument_name);
    case TEXTOID:
    case VARCHAROID:
      return TimeOfLiteral(TextDatumGetCString(value), time_type, argument_name);
    case INTERVALOID:
      if (IsIntegerTimeType(time_type)) break;
      return BeforeNow(value, time_type);
    case TIMESTAMPTZOID:
    case TIMESTAMPOID:
    case DATEOID:
      if (IsIntegerTimeType(time_type)) break;
      return TimeOfDatum(ConvertTime(value, value_type, time_type), time_type);
    case INT8OID:
    case INT4OID:
    case INT2OID:
      if (!IsIntegerTimeType(time_type)) break;
      return TimeOfDatum(value, value_type);
    default:
      break;
  }
  WrongType(value_type, time_type, argument_name);
}

char *TimeText(int64_t time, Oid time_type) {
  if (IsIntegerTimeType(time_type) && time != kTimeMinimum && time != kTimeMaximum)
    return psprintf(INT64_FORMAT, time);
  int64_t minimum;
  int64_t maximum;
  TimeTypeRange(time_type, &minimum, &maximum);
  if (time == kTimeMinimum || time < minimum) return pstrdup("-infinity");
  if (time == kTimeMaximum || time > maximum) return pstrdup("infinity");
  // ISO whatever DateStyle says: the text is part of chunk names and must read back the same.
  char text[MAXDATELEN + 1];
  struct pg_tm tm;
  fsec_t fraction = 0;
  int zone = 0;
  const char *zone_name = nullptr;
  if (time_type == DATEOID) {
    j2date(static_cast<int>(time) + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
    EncodeDateOnly(&tm, USE_ISO_DATES, text);
    return pstrdup(text);
  }
  const bool has_zone = time_type == TIMESTAMPTZOID;
  if (!OidIsValid(time_type) || timestamp2tm(time, has_zone ? &zone : nullptr, &tm, &fraction,
                                             has_zone ? &zone_name : nullptr, nullptr) != 0)
    return psprintf(INT64_FORMAT, time);
  EncodeDateTime(&tm, fraction, has_zone, zone, zone_name, USE_ISO_DATES, text);
  return pstrdup(text);
}

int64_t TimeOfText(const char *text, Oid time_type) {
  if (strcmp(text, "-infinity") == 0) return kTimeMinimum;
  if (strcmp(text, "infinity") == 0) return kTimeMaximum;
  Datum literal = CStringGetDatum(text);
  Datum none = ObjectIdGetDatum(InvalidOid);
  Datum no_typmod = Int32GetDatum(-1);
  switch (time_type) {
    case TIMESTAMPTZOID:
      return DatumGetInt64(DirectFunctionCall3(timestamptz_in, literal, none, no_typmod));
    case TIMESTAMPOID:
      return DatumGetInt64(DirectFunctionCall3(timestamp_in, literal, none, no_typmod));
    case DATEOID:
      return TimeOfDate(DatumGetDateADT(DirectFunctionCall1(date_in, literal)));
    default:
      return DatumGetInt64(DirectFunctionCall1(int8in, literal));
  }
}

}  // namespace tsext::pg
