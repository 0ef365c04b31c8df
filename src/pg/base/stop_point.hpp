#pragma once

// Named places where a test can make a process fail, crash or wait: SET tsext.stop_point =
// 'name:action', action one of error, full (the error of a full disk), crash (SIGKILL to itself),
// or wait:KEY (blocks while another session holds pg_advisory_lock(KEY)). Several, separated by
// commas. Off by default; superusers only. Costs one branch when off.

namespace tsext::pg {

extern char *stop_point_setting;

void StopPointReached(const char *name);
void DefineStopPointSetting();

/// Marks a step of write, compact, merge, delete or retention.
inline void StopPoint(const char *name) {
  if (__builtin_expect(stop_point_setting != nullptr && stop_point_setting[0] != '\0', 0))
    StopPointReached(name);
}

}  // namespace tsext::pg
