#include "pg/base/stop_point.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "pg/base/boundary.hpp"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
}

namespace tsext::pg {

char *stop_point_setting = nullptr;

namespace {

/// The action set for `name`: a pointer behind "name:" into the setting, or nullptr.
const char *FindAction(const char *name) {
  const size_t length = strlen(name);
  for (const char *at = stop_point_setting; at != nullptr && *at != '\0';) {
    while (*at == ' ' || *at == ',') at++;
    if (strncmp(at, name, length) == 0 && at[length] == ':') return at + length + 1;
    at = strchr(at, ',');
  }
  return nullptr;
}

}  // namespace

void StopPointReached(const char *name) {
  const char *action = FindAction(name);
  if (action == nullptr) return;
  if (strncmp(action, "crash", 5) == 0) {
    kill(getpid(), SIGKILL);
  } else if (strncmp(action, "full", 4) == 0) {
    ereport(ERROR, (errcode(ERRCODE_DISK_FULL),
                    errmsg("stop point \"%s\" reached: no space left on device", name)));
  } else if (strncmp(action, "wait:", 5) == 0) {
    const Datum key = Int64GetDatum(strtoll(action + 5, nullptr, 10));
    DirectFunctionCall1(pg_advisory_lock_int8, key);
    DirectFunctionCall1(pg_advisory_unlock_int8, key);
  } else {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("stop point \"%s\" reached", name)));
  }
}

void DefineStopPointSetting() {
  DefineCustomStringVariable(
      "tsext.stop_point", "Makes a named step of tsext fail, crash or wait, for tests.",
      "Form: name:error, name:full, name:crash or name:wait:KEY, separated by commas.",
      &stop_point_setting, "", PGC_SUSET, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL, nullptr, nullptr,
      nullptr);
}

}  // namespace tsext::pg
