// What keeps labels valid and true: the security label provider, which checks labels made by hand
// or restored from a dump, and the object access hook, which follows renamed and dropped columns.

#include "pg/base/boundary.hpp"
#include "pg/catalog/label.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "commands/seclabel.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {
namespace {

/// Called by SECURITY LABEL after the check of ownership. Columns are not looked up: a label that
/// names no column of the table falls back to the defaults.
void CheckLabel(const ObjectAddress *object, const char *text) {
  if (object->classId != RelationRelationId || object->objectSubId != 0 ||
      !IsTsextTable(object->objectId))
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("labels of provider \"%s\" belong to tsext tables", kLabelProvider)));
  char *problem = nullptr;
  if (text != nullptr && ParseLabel(text, &problem) == nullptr)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("label of table \"%s\" is malformed: %s", get_rel_name(object->objectId),
                           problem),
                    errhint("Set options with tsext.set_options().")));
  CacheInvalidateRelcacheByRelid(object->objectId);
}

}  // namespace

void InitOptions() {
  register_label_provider(kLabelProvider, [](const ObjectAddress *object, const char *text) {
    Enter([&] { CheckLabel(object, text); });
  });
}

}  // namespace tsext::pg
