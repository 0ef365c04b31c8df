#include "pg/catalog/label.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_type.h"
#include "commands/seclabel.h"
#include "common/int.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "storage/lock.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

bool IsBare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == ' ';
}

void SkipBlanks(const char **at) {
  while (**at == ' ') ++*at;
}

/// One bare or quoted value; nullptr when there is none.
char *ParseValue(const char **at) {
  StringInfoData value;
  initStringInfo(&value);
  SkipBlanks(at);
  if (**at == '"') {
    for (++*at;; ++*at) {
      if (**at == '\0') return nullptr;
      if (**at == '"' && *++*at != '"') break;
      appendStringInfoChar(&value, **at);
    }
    SkipBlanks(at);
    return value.data;
  }
  while (IsBare(**at)) appendStringInfoChar(&value, *(*at)++);
  while (value.len > 0 && value.data[value.len - 1] == ' ') value.data[--value.len] = '\0';
  return value.len > 0 ? value.data : nullptr;
}

/// {a,"b c"}; false when it is not a list. {} is an empty one.
bool ParseNames(const char **at, List **names) {
  SkipBlanks(at);
  if (**at != '{') return false;
  ++*at;
  SkipBlanks(at);
  if (**at == '}') {
    ++*at;
    SkipBlanks(at);
    return true;
  }
  for (;;) {
    char *name = ParseValue(at);
    if (name == nullptr) return false;
    *names = lappend(*names, name);
    if (**at == '}') break;
    if (**at != ',') return false;
    ++*at;
  }
  ++*at;
  SkipBlanks(at);
  return list_length(*names) <= kMaxSortColumns;
}

/// Parses the value of one key into the label. False: the value is malformed.
bool ParseOption(const char *key, const char **at, Label *label, bool *known) {
  *known = true;
  if (strcmp(key, "time_column") == 0)
    return label->time_column == nullptr && (label->time_column = ParseValue(at)) != nullptr;
  if (strcmp(key, "chunk_interval") == 0) {
    if (label->chunk_interval != nullptr) return false;
    char *text = ParseValue(at);
    int64_t width;
    if (text == nullptr) return false;
    if (strcmp(text, "auto") == 0) return true;
    label->chunk_interval = text;
    return ParseWidth(text, TIMESTAMPTZOID, &width) || ParseWidth(text, INT8OID, &width);
  }
  if (strcmp(key, "segment_by") == 0 || strcmp(key, "auto_segment_by") == 0) {
    if (label->segment_by_origin != SegmentByOrigin::kOpen) return false;
    label->segment_by_origin =
        key[0] == 'a' ? SegmentByOrigin::kAutomatic : SegmentByOrigin::kGiven;
    return ParseNames(at, &label->segment_by);
  }
  if (strcmp(key, "order_by") == 0)
    return label->order_by == nullptr && ParseNames(at, &label->order_by);
  if (strcmp(key, "decoded") == 0) {
    char *text = ParseValue(at);
    if (text == nullptr || label->decoded != Decoded::kUnset) return false;
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0) return false;
    label->decoded = strcmp(text, "off") == 0 ? Decoded::kOff : Decoded::kOn;
    return true;
  }
  *known = false;
  return false;
}

void AppendValue(StringInfo out, const char *value) {
  bool bare = value[0] != '\0' && value[0] != ' ' && value[strlen(value) - 1] != ' ';
  for (const char *c = value; *c != '\0'; ++c) bare = bare && IsBare(*c);
  if (bare) {
    appendStringInfoString(out, value);
    return;
  }
  appendStringInfoChar(out, '"');
  for (const char *c = value; *c != '\0'; ++c) {
    if (*c == '"') appendStringInfoChar(out, '"');
    appendStringInfoChar(out, *c);
  }
  appendStringInfoChar(out, '"');
}

void AppendKey(StringInfo out, const char *key) {
  appendStringInfo(out, "%s%s=", out->len > 0 ? ", " : "", key);
}

void AppendNames(StringInfo out, const char *key, const List *names) {
  AppendKey(out, key);
  appendStringInfoChar(out, '{');
  ListCell *cell;
  foreach (cell, names) {
    if (cell != list_head(names)) appendStringInfoChar(out, ',');
    AppendValue(out, static_cast<const char *>(lfirst(cell)));
  }
  appendStringInfoChar(out, '}');
}

struct Unit {
  const char *name;
  int64_t width_us;
};
// From wide to narrow: WidthText takes the first that divides.
constexpr Unit kUnits[] = {{"day", USECS_PER_DAY},
                           {"hour", USECS_PER_HOUR},
                           {"minute", USECS_PER_MINUTE},
                           {"second", USECS_PER_SEC},
                           {"microsecond", 1}};

}  // namespace

Label *ParseLabel(const char *text, char **problem) {
  auto *label = static_cast<Label *>(palloc(sizeof(Label)));
  *label = Label{};
  const char *at = text;
  SkipBlanks(&at);
  while (*at != '\0') {
    char *key = ParseValue(&at);
    if (key == nullptr || *at != '=') {
      *problem = psprintf("key=value is expected at \"%s\"", at);
      return nullptr;
    }
    ++at;
    bool known;
    const char *value = at;
    if (!ParseOption(key, &at, label, &known)) {
      *problem = known ? psprintf("the value of option \"%s\" is malformed at \"%s\"", key, value)
                       : psprintf("option \"%s\" is unknown", key);
      return nullptr;
    }
    if (*at == ',') {
      ++at;
      SkipBlanks(&at);
      if (*at != '\0') continue;
    } else if (*at == '\0') {
      break;
    }
    *problem = psprintf("a comma and an option are expected at \"%s\"", at);
    return nullptr;
  }
  return label;
}

char *FormatLabel(const Label *label) {
  StringInfoData text;
  initStringInfo(&text);
  if (label->time_column != nullptr) {
    AppendKey(&text, "time_column");
    AppendValue(&text, label->time_column);
  }
  if (label->chunk_interval != nullptr) {
    AppendKey(&text, "chunk_interval");
    AppendValue(&text, label->chunk_interval);
  }
  if (label->segment_by_origin == SegmentByOrigin::kGiven)
    AppendNames(&text, "segment_by", label->segment_by);
  if (label->segment_by_origin == SegmentByOrigin::kAutomatic)
    AppendNames(&text, "auto_segment_by", label->segment_by);
  if (label->order_by != nullptr) AppendNames(&text, "order_by", label->order_by);
  if (label->decoded != Decoded::kUnset) {
    AppendKey(&text, "decoded");
    AppendValue(&text, label->decoded == Decoded::kOff ? "off" : "on");
  }
  return text.len > 0 ? text.data : nullptr;
}

bool ParseWidth(const char *text, Oid time_type, int64_t *width) {
  int64_t count = 0;
  const char *at = text;
  if (*at < '0' || *at > '9') return false;
  for (; *at >= '0' && *at <= '9'; ++at) {
    if (pg_mul_s64_overflow(count, 10, &count) || pg_add_s64_overflow(count, *at - '0', &count))
      return false;
  }
  if (count <= 0) return false;
  SkipBlanks(&at);
  const bool is_integer = time_type == INT8OID || time_type == INT4OID || time_type == INT2OID;
  if (is_integer) {
    *width = count;
    return *at == '\0';
  }
  for (const Unit &unit : kUnits) {
    const size_t length = strlen(unit.name);
    if (strncmp(at, unit.name, length) != 0) continue;
    if (at[length] != '\0' && strcmp(at + length, "s") != 0) return false;
    if (pg_mul_s64_overflow(count, unit.width_us, width)) return false;
    if (time_type != DATEOID) return true;
    if (*width % USECS_PER_DAY != 0) return false;
    *width /= USECS_PER_DAY;
    return true;
  }
  return false;
}

char *WidthText(int64_t width, Oid time_type) {
  if (time_type == DATEOID) return psprintf(INT64_FORMAT " day%s", width, width == 1 ? "" : "s");
  if (time_type != TIMESTAMPTZOID && time_type != TIMESTAMPOID)
    return psprintf(INT64_FORMAT, width);
  for (const Unit &unit : kUnits) {
    if (width % unit.width_us != 0) continue;
    const int64_t count = width / unit.width_us;
    return psprintf(INT64_FORMAT " %s%s", count, unit.name, count == 1 ? "" : "s");
  }
  pg_unreachable();
}

Label *ReadLabel(Oid relation_id) {
  ObjectAddress address;
  ObjectAddressSet(address, RelationRelationId, relation_id);
  const char *text = GetSecurityLabel(&address, kLabelProvider);
  char *problem = nullptr;
  Label *label = ParseLabel(text != nullptr ? text : "", &problem);
  return label != nullptr ? label : ParseLabel("", &problem);
}

void WriteLabel(Oid relation_id, const Label *label) {
  ObjectAddress address;
  ObjectAddressSet(address, RelationRelationId, relation_id);
  SetSecurityLabel(&address, kLabelProvider, FormatLabel(label));
  // Labels send no invalidation themselves. A relation that this command makes is not in pg_class
  // yet, and nobody has cached it.
  if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation_id)))
    CacheInvalidateRelcacheByRelid(relation_id);
}

bool LockLabel(Oid relation_id, LabelLock how) {
  LOCKTAG tag;
  // No lock of the server itself uses this tag: it locks relations as relations.
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, SecLabelRelationId, relation_id, 0);
  if (LockAcquire(&tag, ExclusiveLock, false, how == LabelLock::kTry) == LOCKACQUIRE_NOT_AVAIL)
    return false;
  // Whoever held the lock before may have committed a label that our last snapshot does not see.
  InvalidateCatalogSnapshot();
  return true;
}

}  // namespace tsext::pg
